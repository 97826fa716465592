"""The referee, which bounds the distance of a solution from the global optimum.

:func:`certify` works in float64, from the weights and any dual variables that a solver returned,
and uses nothing else that the solver computed. The objective of the network whose neurons the
weights are bounds the optimum from above, a feasible dual point bounds it from below. A gap below
zero by more than the tolerance proves that one of the two is wrong, and is no certificate.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from convexbn.calls import public
from convexbn.inputs import ArrayLike, as_beta, check_tolerance
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import check_shared, checked, make_program, spread
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.relu import ExactProgram
from convexbn.programs.units import Units


@dataclass(frozen=True)
class Certificate:
    """Proof of the quality of a solution, in float64.

    Attributes
    ----------
    objective : float
        Objective of the network of the weights: an upper bound of the network's optimum.
    dual_objective : float
        Objective of a feasible dual point: a lower bound of the optimum.
    gap : float
        `objective - dual_objective`: other weights can be better by at most this.
    relative_gap : float
        `gap / objective`, also where these over- or underflow in the units of the targets.
    violation : float
        Largest difference that leaving their cones makes to the blocks' predictions of a sample,
        relative to the largest target; 0 for the gated program, which has no cones.
    iterations : int
        Iterations of the solver; 0 where no solver ran.
    seconds : float
        Wall time of the solver.
    converged : bool
        Whether relative gap and violation are within the tolerance.
    stopped : str
        Why the solver stopped: "tolerance", "iterations" (the limit was reached), "precision" (no
        more progress) or "interrupt" (Ctrl-C); "" where no solver ran.
    reason : str
        Verdict in words.
    """

    objective: float
    dual_objective: float
    gap: float
    relative_gap: float
    violation: float = 0.0
    iterations: int = 0
    seconds: float = 0.0
    converged: bool = False
    stopped: str = ""
    reason: str = ""

    def as_dict(self) -> dict[str, float | int | bool | str]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


@public
def certify(
    U: ArrayLike,
    D: ArrayLike,
    Y: ArrayLike,
    beta: float,
    weights: ArrayLike,
    *,
    model: str = "gated",
    loss: str = "squared",
    penalty: str = "group",
    dual: ArrayLike | None = None,
    multipliers: ArrayLike | None = None,
    tol: float = 1e-6,
    device: str | torch.device | None = None,
    distributed: bool = False,
) -> Certificate:
    """Return the certificate of weights: objective, dual bound and gap, independent of any solver.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1) or (K, n, r + 1)
    D : array or tensor of bool, shape (n, P) or (K, n, P)
    Y : array or tensor, shape (n,) or (n, C)
    beta : float
    weights : array or tensor, shape (r + 1, P, C), or (2, r + 1, P) for the ReLU models
    model, loss, penalty : str
        As in :func:`convexbn.solve`.
    dual : array or tensor, shape (n, C), optional
        Dual variable, which is scaled until it is feasible. By default the negative gradient of
        the loss at the weights: as valid, but a looser bound near the optimum.
    multipliers : array or tensor, shape (2, P, h), optional
        Multipliers >= 0 of the ReLU models' constraints. Without them the dual bound is that of the
        program without constraints: valid but loose.
    tol : float
        Relative gap and violation up to which the weights count as optimal.
    device : str or torch.device, optional
        Device to compute on; that of U by default.
    distributed : bool
        Whether the samples are spread over processes, as in :func:`convexbn.solve`: U, D, Y and
        `dual` are this one's rows.

    Raises
    ------
    ValueError
        For inputs that do not fit together; the message says what was expected.
    """
    processes = Processes.running() if distributed else ALONE
    terms: dict[str, Any] = {"model": model, "loss": loss, "penalty": penalty}

    def prepared() -> tuple:
        check_tolerance(tol)
        program = make_program(U, D, Y, as_beta(beta), device=device, **terms)
        W = checked(program, "weights", weights, program.shape)
        return spread(program, processes), W, _checked_witness(program, dual, multipliers)

    program, W, witness = processes.together(prepared)
    check_shared(program, W, tol=tol, witness=sorted(witness), **terms)
    units = Units.of(program)
    return judged(units.taken_off(program), units, W, tol, **witness)


def relative_gap(objective: float, dual_objective: float) -> float:
    """Return the gap relative to the objective.

    It is 0 for an objective of zero, which is optimal: a sum of terms that cannot be negative.
    """
    if objective == 0:
        return 0.0 if dual_objective <= 0 else -math.inf
    return (objective - dual_objective) / objective


def judged(
    program: GatedProgram | ExactProgram,
    units: Units,
    W: torch.Tensor,
    tol: float,
    **witness: torch.Tensor,
) -> Certificate:
    """Return the certificate, in a caller's units, of weights in these units; see :func:`certify`.

    The program is without them.
    """
    values = {name: units.taken_off_dual(value) for name, value in witness.items()}
    plain = referee(program, units.taken_off_weights(W), tol, **values)
    bounds = plain.objective, plain.dual_objective, plain.gap
    objective, dual, gap = (units.put_on_value(value) for value in bounds)
    return replace(plain, objective=objective, dual_objective=dual, gap=gap)


def referee(
    program: GatedProgram | ExactProgram, W: torch.Tensor, tol: float, **witness: torch.Tensor
) -> Certificate:
    """Return the certificate of weights of a program in float64 whose numbers are near 1."""
    objective, dual, violation = program.judge(W, **witness)
    relative = relative_gap(objective, dual)
    met = math.isfinite(relative) and abs(relative) <= tol and violation <= tol
    return Certificate(
        *(objective, dual, objective - dual, relative, violation),
        converged=met,
        reason=_verdict(relative, violation, tol),
    )


def _verdict(relative: float, violation: float, tol: float) -> str:
    """Return the outcome in words."""
    place = "within" if abs(relative) <= tol else "above" if not relative < 0 else "below minus"
    words = f"relative gap {relative:.1e} {place} tolerance {tol:.0e}"
    return words if violation <= tol else f"{words}, violation {violation:.1e} above it"


def _checked_witness(program, dual, multipliers) -> dict[str, torch.Tensor]:
    """Return the arguments of the referee besides the weights, checked."""
    if multipliers is not None and not isinstance(program, ExactProgram):
        raise ValueError("multipliers belong to constraints, and model 'gated' has none; omit them")
    witness = {}
    if dual is not None:
        witness["dual"] = checked(program, "dual", dual, program.Y.shape)
    if multipliers is None:
        return witness
    P = program.shape[2]
    multipliers = checked(program, "multipliers", multipliers, (2, P, program.constraints))
    if (multipliers < 0).any():
        raise ValueError(
            f"multipliers must be >= 0, the least is {float(multipliers.min()):.1e}; "
            "clip them at zero"
        )
    return witness | {"multipliers": multipliers}
