"""Units of a program: its design and targets as numbers near 1, whatever units they came in.

With the squared loss, `U = 2^a U'`, `Y = 2^b Y'` and `beta = 2^(a + b) beta'` make the same program
in other units: the weights are `2^(b - a)` times, the dual variables `2^b` times and the objective
is `4^b` times what it is for U', Y' and beta'. Powers of two round nothing. So a solver, and the
referee, see the same numbers for targets of 1e-300 as for targets of 1, and no square over- or
underflows. Labels have no unit (b = 0), and neither have the data of BN after the ReLU (a = 0).
"""

import math
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from convexbn.programs.gated import GatedProgram
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.relu import ExactProgram, ReLUProgram

Program = TypeVar("Program", GatedProgram, ReLUProgram, ExactProgram, GatedProgram | ExactProgram)

_STEP = 1000  # largest exponent at once: 2.0**1000 and 2.0**-1000 are normal numbers


@dataclass(frozen=True)
class Units:
    """Binary exponents of the units in which a caller states a program.

    Attributes
    ----------
    design, targets : int
        The exponents a and b.
    """

    design: int = 0
    targets: int = 0

    @classmethod
    def of(cls, program: GatedProgram | ExactProgram) -> "Units":
        """Return the units of a program in float64.

        A whitened design, labels and one-hot targets are in the unit 1 as they are.
        """
        design, targets = 0, 0
        processes = program.processes if isinstance(program, GatedProgram) else ALONE
        if isinstance(program, GatedProgram | ReLUProgram):
            design = _design_exponent(program.U, processes)
        if program.loss.name == "squared":
            targets = exponent(program.Y, processes)
        return cls(design, targets)

    def taken_off(self, program: Program) -> Program:
        """Return a program that is stated in these units as numbers near 1.

        Raises
        ------
        ValueError
            If beta is too large or too small for the units of design and targets.
        """
        return self.taken_off_data(replace(program, beta=self.taken_off_beta(program.beta)))

    def taken_off_data(self, program: Program) -> Program:
        """Return a program whose design and targets are stated in these units, and beta is not."""
        program = replace(program, Y=scaled(program.Y, -self.targets))
        if isinstance(program, GatedProgram | ReLUProgram):
            program = replace(program, U=scaled(program.U, -self.design))
        return program

    def taken_off_beta(self, beta: float) -> float:
        """Return a weight decay in these units as that of a program without them.

        Raises
        ------
        ValueError
            As :meth:`taken_off`.
        """
        plain = scaled_number(beta, -self.design - self.targets)
        if not 0 < plain < math.inf:
            raise ValueError(
                "beta must be comparable with the size of the design times that of the targets, "
                f"got {beta:g} for {scaled_number(1.0, self.design):g} times "
                f"{scaled_number(1.0, self.targets):g}; state all three in similar units"
            )
        return plain

    def put_on_beta(self, beta: float) -> float:
        """Return a weight decay of a program without its units in these units."""
        return scaled_number(beta, self.design + self.targets)

    def put_on_weights(self, W: Tensor) -> Tensor:
        """Return weights of a program without its units in these units."""
        return scaled(W, self.targets - self.design)

    def taken_off_weights(self, W: Tensor) -> Tensor:
        """Return weights in these units as those of a program without its units."""
        return scaled(W, self.design - self.targets)

    def put_on_dual(self, values: Tensor) -> Tensor:
        """Return a dual variable, multipliers or predictions in these units."""
        return scaled(values, self.targets)

    def taken_off_dual(self, values: Tensor) -> Tensor:
        """Return a dual variable or multipliers in these units as those of the other program."""
        return scaled(values, -self.targets)

    def put_on_value(self, value: float) -> float:
        """Return an objective, bound or gap in these units, in which it can over- or underflow."""
        return scaled_number(value, 2 * self.targets)


def scaled(values: Tensor, exponent: int) -> Tensor:
    """Return values in float64 times a power of two: exact, unless they over- or underflow."""
    while exponent:
        step = max(-_STEP, min(_STEP, exponent))
        values, exponent = values * 2.0**step, exponent - step
    return values


def scaled_number(number: float, exponent: int) -> float:
    """Return a number times a power of two, infinite if it overflows."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)


def exponent(values: Tensor, processes: Processes = ALONE) -> int:
    """Return the binary exponent of the largest of values, 0 where all are zero."""
    largest = float(processes.largest(values.abs().max()))
    return round(math.log2(largest)) if largest > 0 else 0


def _design_exponent(U: Tensor, processes: Processes) -> int:
    """Return the exponent of the root of the mean of the columns' squared lengths."""
    largest = float(processes.largest(U.abs().max()))
    if largest == 0:
        return 0
    # No square over- or underflows.
    length = float(processes.lengths(U / largest, apart=False))
    return round(math.log2(largest) + math.log2(length / math.sqrt(U.shape[1])))
