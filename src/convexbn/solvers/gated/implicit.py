"""The derivative of the gated program's solution, by implicit differentiation.

With V = -L'(A W), H the Hessian of the objective along the active blocks
(:mod:`convexbn.solvers.gated.linearization`), g the derivative of a function of the optimal weights
with respect to these, and `H x = g`: as the data move the optimality conditions, they move the
function by

    <A x, dV at fixed A W> + <V, dA x> - <L'' A x, dA W> - <x, A^T V> dbeta / beta.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.gated import GatedProgram
from convexbn.solvers.gated.linearization import inner, linearized
from convexbn.solvers.gated.passes import Passes

_POLISHED = 1e-13  # relative distance from the fixed point at which rounding ends the polishing
_PATIENCE = 2  # steps without progress: a block that is to become inactive passes zero in one


@dataclass(frozen=True)
class Gradients:
    """Derivatives with respect to the data of a program.

    Attributes
    ----------
    U : Tensor, shape (K n, r + 1)
    Y : Tensor, shape (n, C)
        For targets of any value; for the cross-entropy, rows along which these sum to one.
    beta : float
    """

    U: Tensor
    Y: Tensor
    beta: float


def differentiate(
    program: GatedProgram, passes: Passes, W: Tensor, g: Tensor, tol: float
) -> Gradients:
    """Return the derivatives of a function of the optimal weights with respect to the data.

    Parameters
    ----------
    program : GatedProgram
    passes : Passes
    W : Tensor, shape (r + 1, P, C)
        Optimal weights. Blocks of zeros count as inactive, and keep no derivative.
    g : Tensor, shape (r + 1, P, C)
        The function's derivative with respect to the weights.
    tol : float
        Relative residual of `H x = g`.

    Raises
    ------
    NotDifferentiableError
        If conjugate gradients cannot reach it, as H is singular.
    """
    U, Y, beta = torch.zeros_like(program.U), torch.zeros_like(program.Y), 0.0
    for part in linearized(program, passes, W):
        x = part.solve(part.gather(g), tol)
        image = part.forward(x)
        Y[:, part.columns] = part.targets_gradient(image)
        beta -= inner(x, part.T)
        U += part.design_gradient(part.V, x)
        U -= part.design_gradient(part.hessian(image), part.blocks)
    return Gradients(U, Y, beta / program.beta)


def polish(program: GatedProgram, passes: Passes, W: Tensor, steps: int) -> tuple[Tensor, float]:
    """Return weights nearer to the optimum than W (r + 1, P, C), and how far prox still moves them.

    Newton's method on the fixed point brings weights that are near the optimum to within rounding
    of it, once the active blocks are known. The distance is relative to the weights' size.

    Parameters
    ----------
    program : GatedProgram
    passes : Passes
    W : Tensor, shape (r + 1, P, C)
    steps : int
        Steps at most, besides one of prox.
    """
    best, least, stale = W, math.inf, 0
    for step in range(steps + 1):
        size = float(torch.linalg.vector_norm(W))
        if size == 0:
            return W, 0.0
        sigma = _typical_length(W) / program.beta
        V = program.loss.negative_gradient(program.forward(W), program.Y)
        moved = program.penalty.prox(W + sigma * program.adjoint(V), sigma * program.beta)
        move = moved - W
        distance = float(torch.linalg.vector_norm(move)) / size
        stale = 0 if distance < least / 2 else stale + 1
        if distance < least:
            best, least = moved, distance
        if distance <= _POLISHED or stale == _PATIENCE or step == steps:
            break
        W, image = moved.clone(), program.forward(move)
        for part in linearized(program, passes, moved):
            part.add(W, part.correction(move, image, sigma))
    return best, least


def on_the_edge(program: GatedProgram, W: Tensor, margin: float) -> bool:
    """Return whether a block is on the edge of being active, where the solution has a kink.

    For the nuclear norm the same of each singular value of a block.

    Parameters
    ----------
    program : GatedProgram
    W : Tensor, shape (r + 1, P, C)
        Optimal weights.
    margin : float
        Relative distance from beta, of dual norms, and from zero, of weights, that counts as none.
    """
    V = program.loss.negative_gradient(program.forward(W), program.Y)
    dual, sizes = (program.penalty.sizes(blocks) for blocks in (program.adjoint(V), W))
    return bool(((dual >= (1 - margin) * program.beta) & (sizes <= margin * sizes.amax())).any())


def _typical_length(W: Tensor) -> float:
    """Return the root mean square of the lengths of the columns that are not zero."""
    squares = W.square().sum(dim=0)
    return float(squares[squares > 0].mean().sqrt())
