"""The referee: how far from the global optimum a solution can be.

:func:`certify` works in float64, from the weights that a solver returned, any dual variables
handed over with them, and nothing else that the solver computed. The objective bounds the optimum
from above, a feasible dual point bounds it from below.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch

from convexbn.inputs import check_choice, check_finite, check_positive, check_same_length
from convexbn.programs import memory
from convexbn.programs.gated import Program
from convexbn.programs.losses import LOSSES
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.relu import ConeProgram, relu_program
from convexbn.programs.relu_bn import relu_bn_program

# "gated": patterns fixed by gates; "relu": the ReLU network, whose blocks are confined to cones;
# "relu_bn": the same with batch normalization after the ReLU.
MODELS = ("gated", "relu", "relu_bn")


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


def make_program(U, D, Y, beta, *, model, loss, penalty, device=None) -> Program | ConeProgram:
    """Check the inputs of the public functions and gather them in float64 on `device`.

    Raises
    ------
    ValueError
        For an unknown name, NaN or infinity, lengths that do not match, targets that the loss or
        the model is not for, beta <= 0, or a program that solving needs more memory for than
        there is.
    """
    check_choice("model", model, MODELS)
    check_choice("loss", loss, LOSSES)
    check_choice("penalty", penalty, PENALTIES)
    check_positive("beta", beta)
    U, D, Y = (a if torch.is_tensor(a) else torch.as_tensor(np.asarray(a)) for a in (U, D, Y))
    _check_shapes(U, D, Y)
    device = device or U.device
    _check_memory(U, D, Y, device, model=model, loss=loss, penalty=penalty)
    U, Y = (a.to(device=device, dtype=torch.float64) for a in (U, Y))
    D = D.to(device)
    check_finite("U", U)
    check_finite("Y", Y)
    Y = Y.reshape(len(Y), -1)
    LOSSES[loss].check_targets(Y)
    if model == "gated":
        U, D = U.reshape(-1, U.shape[-1]), D.reshape(-1, D.shape[-1])
        return Program(U, D, Y, float(beta), LOSSES[loss], PENALTIES[penalty])
    _check_scalar(model, U, Y, loss, penalty)
    build = relu_program if model == "relu" else relu_bn_program
    if model == "relu" and U.ndim == 2:
        U, D = U[None], D[None]
    return build(U, D, Y, float(beta), LOSSES[loss])


def checked(program, name: str, values, shape) -> torch.Tensor:
    """Return values as a float64 tensor beside the program, of the given shape and finite."""
    values = torch.as_tensor(values if torch.is_tensor(values) else np.asarray(values))
    values = values.to(device=program.Y.device, dtype=torch.float64)
    if tuple(values.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(values.shape)}")
    check_finite(name, values)
    return values


def _check_shapes(U, D, Y) -> None:
    dimensions = U.ndim == D.ndim and U.ndim in (2, 3) and Y.ndim in (1, 2)
    if D.dtype != torch.bool or not dimensions or 0 in (*U.shape, *D.shape, *Y.shape):
        raise ValueError(
            "expected non-empty U (n, r+1), D (n, P) of bool (or both with an axis of K patches "
            f"before these) and Y (n,) or (n, C), got shapes {tuple(U.shape)}, {tuple(D.shape)} of "
            f"{D.dtype}, {tuple(Y.shape)}; make D with activation(U, G)"
        )
    samples = U.movedim(-2, 0)
    check_same_length("U", samples, "D", D.movedim(-2, 0))
    check_same_length("U", samples, "Y", Y)
    if len(U) != len(D):
        raise ValueError(f"U and D must have the same patches, got {len(U)} and {len(D)}")


def _check_memory(U, D, Y, device, **terms) -> None:
    patches, outputs = len(U) if U.ndim == 3 else 1, Y[0].numel()
    memory.check(len(Y), U.shape[-1], D.shape[-1], outputs, patches, device=device, **terms)


def _check_scalar(model, U, Y, loss, penalty) -> None:
    """Refuse what the exact programs are not for."""
    if Y.shape[1] != 1:
        raise ValueError(
            f"model {model!r} is for one output, Y (n,) or (n, 1), got {tuple(Y.shape)}; solve one "
            "program per class, or take model 'gated'"
        )
    check_choice(f"loss of model {model!r}", loss, [k for k in LOSSES if k != "cross_entropy"])
    check_choice(f"penalty of model {model!r}", penalty, ["group"])
    if model == "relu_bn" and U.ndim != 2:
        raise ValueError(f"model 'relu_bn' takes the data X (n, d), got shape {tuple(U.shape)}")


def _checked_witness(program, dual, multipliers) -> dict:
    """Return what was given besides the weights, checked."""
    has_cones = isinstance(program, ConeProgram)
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
