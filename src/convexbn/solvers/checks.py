"""Designs and targets that are solved to something else than the caller thinks: warnings."""

import torch
from torch import Tensor

from convexbn.calls import warn
from convexbn.inputs import ArrayLike, as_tensor
from convexbn.programs.gated import GatedProgram
from convexbn.programs.processes import ALONE
from convexbn.programs.relu import ExactProgram, ReLUProgram

# The columns of a whitened design are orthonormal up to gains of at most 1. What an entry of
# float16 rounds is 5e-4, and a tenth of this tolerance in the cosine of two columns of 100 entries.
# Data of independent features have cosines of 1 / sqrt(n), and n of 10,000 is reached.
_ROUNDED = 1e-2


def warn_of_design(program: GatedProgram | ExactProgram) -> None:
    """Warn if the design of a program in float64 is not whitened.

    It takes three passes over U: its Gram matrix G has the columns' squared norms on the diagonal,
    and is otherwise zero if it maps a vector of random signs to their multiples by these.
    """
    if not isinstance(program, GatedProgram | ReLUProgram):
        return  # the data themselves
    processes = program.processes if isinstance(program, GatedProgram) else ALONE
    U = program.U.flatten(0, -2)
    norms = processes.lengths(U)
    units = torch.where(norms > 0, 1 / norms, 0.0)
    signs = _signs(units)
    image = processes.total(U.T @ (U @ (units * signs))) * units
    coupled = float((image - signs * (norms > 0)).abs().max())
    if float(norms.max()) <= 1 + _ROUNDED and coupled <= _ROUNDED:
        return
    warn(
        "the design U is not whitened: its columns have norms from "
        f"{float(norms.min()):.3g} to {float(norms.max()):.3g}"
        f"{' and are not orthogonal' if coupled > _ROUNDED else ', above 1'}. The optimum is that "
        "of this design, and of no network with batch normalization: give whiten(X).U of the "
        "samples that are solved for"
    )


def _signs(like: Tensor) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)  # the same in all processes
    drawn = torch.randint(0, 2, (len(like),), generator=generator, device="cpu")
    return (2 * drawn - 1).to(like)


def warn_of_labels(name: str, Y: ArrayLike, loss: str) -> None:
    """Warn if the squared loss takes the labels of several classes, called `name`, for numbers."""
    classes = 0 if loss != "squared" else counted_classes(Y, name)
    if classes:
        warn(
            f"{name} are whole numbers from 0 to {classes - 1}, as labels of {classes} classes "
            "are, and the squared loss takes them for numbers: give np.eye(C)[labels], (n, C), for "
            f"classes, or {name} as floats if they are numbers"
        )


def counted_classes(Y: ArrayLike, name: str = "y") -> int:
    """Return how many classes one column of integers counts from 0, if more than two; else 0.

    Floats are numbers: their dtype is the caller's word. Two classes lie on a line in any case. Of
    three and more, labels have an order and distances, which classes do not. Each has two samples,
    at least on average, or the numbers are too many to be labels.
    """
    found = as_tensor(name, Y, None, finite=False, copy=False)
    is_whole = not (found.is_floating_point() or found.dtype == torch.bool)
    if not is_whole or found.numel() != len(found):
        return 0
    values = found.unique()
    C = len(values)
    counts = 3 <= C <= len(found) / 2 and int(values[0]) == 0 and int(values[-1]) == C - 1
    return C if counts else 0
