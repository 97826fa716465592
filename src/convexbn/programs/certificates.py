"""The referee: how far from the global optimum a solution can be.

:func:`certify` works in float64, from the weights that a solver returned, any dual variables
handed over with them, and nothing else that the solver computed. The objective bounds the optimum
from above, a feasible dual point bounds it from below.
"""

import math
from dataclasses import asdict, dataclass

from convexbn.programs.instances import checked, make_program
from convexbn.programs.relu import ExactProgram


@dataclass(frozen=True)
class Certificate:
    """What is known, in float64, about how good a solution is.

    Attributes
    ----------
    objective : float
        Of the weights; an upper bound of the optimum.
    dual_objective : float
        Of a feasible dual point; a lower bound of the optimum.
    gap : float
        `objective - dual_objective`: no weights can be better by more.
    relative_gap : float
        `gap / objective`.
    violation : float
        Largest violation of a cone constraint, relative to the largest target; 0 for the gated
        program, which has none.
    iterations : int
        Of the solver.
    seconds : float
        Wall time of the solver.
    converged : bool
        Whether relative gap and violation are within the tolerance.
    reason : str
        Why the solver stopped.
    """

    objective: float
    dual_objective: float
    gap: float
    relative_gap: float
    violation: float = 0.0
    iterations: int = 0
    seconds: float = 0.0
    converged: bool = False
    reason: str = ""

    def as_dict(self) -> dict:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


def certify(
    U,
    D,
    Y,
    beta,
    weights,
    *,
    model="gated",
    loss="squared",
    penalty="group",
    dual=None,
    multipliers=None,
    tol=1e-6,
    device=None,
) -> Certificate:
    """Judge weights: objective, dual bound and gap in float64, independent of any solver.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1) or (K, n, r + 1)
    D : array or tensor of bool, shape (n, P) or (K, n, P)
    Y : array or tensor, shape (n,) or (n, C)
    beta : float
    weights : array or tensor, shape (r + 1, P, C), or (2, r + 1, P) for the ReLU models
    model, loss, penalty : str
        As in :func:`convexbn.solve_path`.
    dual : array or tensor, shape (n, C), optional
        For model "gated", a dual variable, which is scaled until it is feasible. Without it that
        of the weights is taken, the negative gradient of the loss: as valid, but near the optimum
        a looser bound.
    multipliers : array or tensor, shape (2, P, h), optional
        Of the ReLU models' constraints, not negative. Without them the dual bound is still valid,
        but that of a looser program.
    tol : float
        Relative gap, and violation, up to which the weights count as optimal.
    device : str, optional

    Raises
    ------
    ValueError
        For inputs that do not fit together; see the message.
    """
    program = make_program(U, D, Y, beta, model=model, loss=loss, penalty=penalty, device=device)
    W = checked(program, "weights", weights, program.shape)
    witness = _checked_witness(program, dual, multipliers)
    return referee(program, W, tol, **witness)


def referee(program, W, tol, **witness) -> Certificate:
    """Judge weights of a program that is already in float64; see :func:`certify`."""
    objective, dual, violation = program.judge(W, **witness)
    gap = objective - dual
    # An objective of zero is optimal: it is a sum of terms that cannot be negative.
    relative = gap / objective if objective != 0 else 0.0
    met = math.isfinite(relative) and max(relative, violation) <= tol
    verdict = f"relative gap {relative:.1e} {'within' if relative <= tol else 'above'}"
    verdict = f"{verdict} tolerance {tol:.0e}"
    if violation > tol:
        verdict = f"{verdict}, violation {violation:.1e} above it"
    return Certificate(objective, dual, gap, relative, violation, converged=met, reason=verdict)


def _checked_witness(program, dual, multipliers) -> dict:
    """Return what was given besides the weights, checked."""
    has_cones = isinstance(program, ExactProgram)
    if multipliers is not None and not has_cones:
        raise ValueError("multipliers belong to constraints, and model 'gated' has none; omit them")
    if dual is not None and has_cones:
        raise ValueError("a dual variable is for model 'gated'; give the ReLU models multipliers")
    if dual is not None:
        return {"dual": checked(program, "dual", dual, program.Y.shape)}
    if multipliers is None:
        return {}
    _, _, P = program.shape
    multipliers = checked(program, "multipliers", multipliers, (2, P, program.constraints))
    if (multipliers < 0).any():
        raise ValueError(
            f"multipliers must be >= 0, the least is {float(multipliers.min()):.1e}; "
            "clip them at zero"
        )
    return {"multipliers": multipliers}
