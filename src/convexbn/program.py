"""The gated convex program and its referee.

    min_W  L(sum_i D_i U W_i, Y) + beta sum_{i,c} ||W_i[:, c]||

over blocks W_i (r+1, C), one per gate (Ergen et al. 2022, Section 2; gates as in Mishkin, Sahiner
and Pilanci 2022). The design `A = [D_1 U, ..., D_P U]` is never formed. The dual is

    max_V  -L*(-V)   subject to   ||U^T D_i v_c|| <= beta   for all i, c,

so any residual, scaled per class until it is feasible, bounds the optimum from below: objective
minus this bound is a certificate of how far a solution can be from the global optimum.

:func:`certify` is the referee: in float64, from the weights that a solver returned and nothing
else that it computed.
"""

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from convexbn.inputs import check_choice, check_finite, check_positive, check_same_length
from convexbn.losses import LOSSES, Squared
from convexbn.penalties import PENALTIES, Group

# Bytes that the largest intermediate of one pass over the design may take.
PASS_BYTES = 256 * 2**20


def forward(U, D, W) -> torch.Tensor:
    """Return `sum_i D_i U W_i`, the predictions.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    W : Tensor, shape (r + 1, P, C)

    Returns
    -------
    Tensor, shape (n, C)
    """
    U, D, swapped = _narrow_last(U, D.to(W.dtype))
    if swapped:
        W = W.transpose(0, 1)
    n, C = len(U), W.shape[2]
    out = W.new_zeros(n, C)
    for columns in _chunks(n, D.shape[1], C, W.element_size()):
        block = W[:, columns]
        projected = (U @ block.reshape(len(block), -1)).view(n, block.shape[1], C)
        out += torch.einsum("np,npc->nc", D[:, columns], projected)
    return out


def adjoint(U, D, V) -> torch.Tensor:
    """Return the blocks `U^T D_i V`, the adjoint of :func:`forward`.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    V : Tensor, shape (n, C)

    Returns
    -------
    Tensor, shape (r + 1, P, C)
    """
    U, D, swapped = _narrow_last(U, D.to(V.dtype))
    n, C = V.shape
    out = V.new_empty(U.shape[1], D.shape[1], C)
    for columns in _chunks(n, D.shape[1], C, V.element_size()):
        masked = D[:, columns, None] * V[:, None, :]  # (n, columns, C)
        out[:, columns] = (U.T @ masked.view(n, -1)).view(len(out), -1, C)
    return out.transpose(0, 1).contiguous() if swapped else out


def _narrow_last(U, D):
    """Order the two factors so that the intermediate of a pass, (n, narrow, C), is the smaller one.

    `sum_i D_i U W_i` is `sum_{a,i} U[:, a] D[:, i] W[a, i]`: U and D play the same part in it.
    """
    swapped = U.shape[1] < D.shape[1]
    return (D, U, True) if swapped else (U, D, False)


def _chunks(n, width, C, element_size):
    """Yield slices of `width` columns whose intermediate (n, columns, C) fits `PASS_BYTES`."""
    step = max(1, PASS_BYTES // max(1, n * C * element_size))
    for start in range(0, width, step):
        yield slice(start, min(start + step, width))


@dataclass(frozen=True)
class Program:
    """One instance of the gated program, on one device and in one precision.

    Attributes
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    Y : Tensor, shape (n, C)
    beta : float
        Weight decay of the network, weight of the penalty here.
    """

    U: torch.Tensor
    D: torch.Tensor
    Y: torch.Tensor
    beta: float
    loss: Squared
    penalty: Group

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (r + 1, P, C) of the weights."""
        return self.U.shape[1], self.D.shape[1], self.Y.shape[1]

    def to(self, dtype) -> "Program":
        """Return the same program in another precision."""
        return replace(self, U=self.U.to(dtype), Y=self.Y.to(dtype))

    def forward(self, W) -> torch.Tensor:
        """Return the predictions (n, C) of weights (r + 1, P, C)."""
        return forward(self.U, self.D, W)

    def adjoint(self, V) -> torch.Tensor:
        """Return the blocks `U^T D_i V`, shape (r + 1, P, C)."""
        return adjoint(self.U, self.D, V)

    def objective(self, W, F) -> float:
        """Return the objective at W, whose predictions are F."""
        return float(self.loss.value(F, self.Y) + self.beta * self.penalty.value(W))

    def dual_objective(self, V, T) -> float:
        """Return the dual objective at V scaled into feasibility, T its blocks `U^T D_i V`."""
        # One unit of rounding inside the limit, so that the scaled point is feasible as computed.
        room = self.beta * (1 - torch.finfo(V.dtype).eps)
        limit = room / self.penalty.dual_norm(T).clamp_min(torch.finfo(V.dtype).tiny)
        scaled = V * self.loss.best_scale(V, self.Y, limit)
        return float(self.loss.dual_value(scaled, self.Y))

    def beta_max(self) -> float:
        """Return the smallest beta at which the zero weights are optimal."""
        V = self.loss.negative_gradient(torch.zeros_like(self.Y), self.Y)
        return float(self.penalty.dual_norm(self.adjoint(V)).max())


def make_program(U, D, Y, beta, *, model, loss, penalty, device=None) -> Program:
    """Check the inputs of the public functions and gather them in float64 on `device`.

    Raises
    ------
    ValueError
        For an unknown name, NaN or infinity, lengths that do not match, or beta <= 0.
    """
    check_choice("model", model, ["gated"])
    check_choice("loss", loss, LOSSES)
    check_choice("penalty", penalty, PENALTIES)
    check_positive("beta", beta)
    U, Y = (torch.as_tensor(a, dtype=torch.float64, device=device) for a in (U, Y))
    D = torch.as_tensor(D, device=device)
    dimensions = U.ndim == 2 and D.ndim == 2 and Y.ndim in (1, 2)
    if D.dtype != torch.bool or not dimensions or 0 in (*U.shape, *D.shape, *Y.shape):
        raise ValueError(
            "expected non-empty U (n, r+1), D (n, P) of bool and Y (n,) or (n, C), got shapes "
            f"{tuple(U.shape)}, {tuple(D.shape)} of {D.dtype}, {tuple(Y.shape)}; "
            "make D with activation(U, G)"
        )
    check_same_length("U", U, "D", D)
    check_same_length("U", U, "Y", Y)
    check_finite("U", U)
    check_finite("Y", Y)
    Y = Y.reshape(len(Y), -1)
    return Program(U, D, Y, float(beta), LOSSES[loss], PENALTIES[penalty])


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
        Largest violation of a constraint; 0 for the gated program, which has none.
    iterations : int
        Of the solver.
    seconds : float
        Wall time of the solver.
    converged : bool
        Whether the relative gap is within the tolerance.
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
    U, D, Y, beta, weights, *, model="gated", loss="squared", penalty="group", tol=1e-6, device=None
) -> Certificate:
    """Judge weights: objective, dual bound and gap in float64, independent of any solver.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1)
    D : array or tensor of bool, shape (n, P)
    Y : array or tensor, shape (n,) or (n, C)
    beta : float
    weights : array or tensor, shape (r + 1, P, C)
    model, loss, penalty : str
        As in :func:`convexbn.solve`.
    tol : float
        Relative gap up to which the weights count as optimal.
    device : str, optional

    Raises
    ------
    ValueError
        For inputs that do not fit together; see the message.
    """
    program = make_program(U, D, Y, beta, model=model, loss=loss, penalty=penalty, device=device)
    W = torch.as_tensor(np.asarray(weights) if not torch.is_tensor(weights) else weights)
    W = W.to(device=program.U.device, dtype=torch.float64)
    if tuple(W.shape) != program.shape:
        raise ValueError(f"weights must have shape {program.shape}, got {tuple(W.shape)}")
    check_finite("weights", W)
    return referee(program, W, tol)


def referee(program: Program, W, tol) -> Certificate:
    """Judge weights of a program that is already in float64; see :func:`certify`."""
    F = program.forward(W)
    V = program.loss.negative_gradient(F, program.Y)
    objective = program.objective(W, F)
    dual = program.dual_objective(V, program.adjoint(V))
    gap = objective - dual
    # An objective of zero is optimal: it is a sum of terms that cannot be negative.
    relative = gap / objective if objective != 0 else 0.0
    met = math.isfinite(relative) and relative <= tol
    verdict = f"relative gap {relative:.1e} {'within' if met else 'above'} tolerance {tol:.0e}"
    return Certificate(objective, dual, gap, relative, converged=met, reason=verdict)
