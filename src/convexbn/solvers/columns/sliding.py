"""Joint moves of all neurons of the exact problem, across the borders of their cones.

Neurons s_j with signs +-1 of their output weights have the objective

    L(sum_j +- relu(U s_j), y) + beta sum_j ||s_j||,

that of a network with weight decay at its best split between the layers. It has kinks: where a
neuron is on the border of cones, and where it is zero. :func:`slide` takes Newton's steps on the
objective with the kinks rounded off (:func:`convexbn.solvers.columns.sphere.soft_relu`; `||s||`
likewise), each shortened until the rounded objective falls; the caller makes the rounding smaller.
Kinks of samples that want the neuron active bend the objective down: their part of the Hessian is
left out. The rest is block diagonal plus the coupling of the blocks by the loss,

    B + J^T L'' J,    J = [+-D_j U]  (n, m p),

and is factorized as it stands where m p <= n, by Woodbury's identity with a matrix of size n
otherwise. :func:`shrink` is the lasso of the neurons' output weights, directions fixed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.design import pooled
from convexbn.programs.terms import NewtonLoss
from convexbn.solvers.columns.sphere import grams, soft_relu

_STEPS = 30  # most steps of Newton's method
_DECREASE = 1e-4  # fall of the objective, relative to the softness, that ends them
_DAMPING = 1e-6  # relative curvature of a norm along its own direction
_NORM = 1e-2  # rounding of the norms, relative to that of the ReLU
_LASSO = 500  # steps of the lasso at most
_SHORTEST = 2**-20  # share of a step in a line search
_LONGEST = 2  # step, relative to the neurons


@dataclass(frozen=True)
class NeuronProblem:
    """The exact problem, in float64 on one device.

    Attributes
    ----------
    rows : Tensor, shape (K n, p)
        Whitened designs of the K patches, one below the other.
    Y : Tensor, shape (n, 1)
    beta : float
    loss : NewtonLoss
    """

    rows: Tensor
    Y: Tensor
    beta: float
    loss: NewtonLoss

    @property
    def patches(self) -> int:
        """Patches per sample, K."""
        return len(self.rows) // len(self.Y)

    def features(self, W: Tensor) -> Tensor:
        """Return `relu(U w_j)`, pooled, shape (n, m), of W (m, p)."""
        return pooled((self.rows @ W.T).clamp_min_(0), self.patches)

    def predictions(self, S: Tensor, signs: Tensor) -> Tensor:
        """Return the predictions (n, 1) of neurons S (m, p)."""
        return pooled((self.rows @ S.T).clamp_min_(0) @ signs[:, None], self.patches)

    def objective(self, S: Tensor, signs: Tensor) -> float:
        """Return the objective at neurons S (m, p)."""
        norms = torch.linalg.vector_norm(S, dim=1).sum()
        return float(self.loss.value(self.predictions(S, signs), self.Y) + self.beta * norms)

    def residual(self, S: Tensor, signs: Tensor) -> Tensor:
        """Return v = -L'(F), shape (n, 1), at neurons S (m, p)."""
        return self.loss.negative_gradient(self.predictions(S, signs), self.Y)


@dataclass(frozen=True)
class _Rounded:
    """The objective of neurons with signs (m,), its kinks rounded off."""

    problem: NeuronProblem
    signs: Tensor
    softness: float

    def norms(self, S):
        return (S.square().sum(1) + (_NORM * self.softness) ** 2).sqrt()

    def value(self, S) -> float:
        problem = self.problem
        soft = soft_relu(problem.rows @ S.T, self.softness)[0]
        F = pooled(soft @ self.signs[:, None], problem.patches)
        return float(problem.loss.value(F, problem.Y) + problem.beta * self.norms(S).sum())

    def newton(self, S) -> tuple[Tensor, float]:
        """Return the Newton step (m, p) at S, and by how much the objective falls along it."""
        problem, rows = self.problem, self.problem.rows
        soft, slope, bend = soft_relu(rows @ S.T, self.softness)
        F = pooled(soft @ self.signs[:, None], problem.patches)
        v = problem.loss.negative_gradient(F, problem.Y)
        wanted = v.repeat(problem.patches, 1) * self.signs  # (K n, m)
        norms = self.norms(S)[:, None]
        gradient = problem.beta * S / norms - (slope * wanted).T @ rows
        blocks = grams(rows, wanted.neg().clamp_min_(0) * bend) + self._norm_curvature(S, norms)
        J = ((slope * self.signs)[:, :, None] * rows[:, None, :]).flatten(1)
        J = pooled(J, problem.patches) * problem.loss.hessian(F, problem.Y).sqrt()  # (n, m p)
        step = -_solved(blocks, J, gradient)
        return step, -float((step * gradient).sum())

    def _norm_curvature(self, S, norms):
        identity, units = torch.eye(S.shape[1], dtype=S.dtype, device=S.device), S / norms
        projection = (1 + _DAMPING) * identity - units[:, :, None] * units[:, None, :]
        return self.problem.beta / norms[:, :, None] * projection


def _solved(blocks, J, right):
    """Return the x (m, p) with `(blocks + J^T J) x = right`."""
    m, p = right.shape
    if m * p <= len(J):
        matrix = (J.T @ J).view(m, p, m, p)
        every = torch.arange(m, device=J.device)
        matrix[every, :, every] += blocks
        factor = torch.linalg.cholesky(matrix.view(m * p, m * p))
        return torch.cholesky_solve(right.reshape(-1, 1), factor).view(m, p)
    factors = torch.linalg.cholesky(blocks)
    columns = J.view(-1, m, p).permute(1, 2, 0)
    X = torch.linalg.solve_triangular(factors, columns, upper=False).reshape(m * p, -1)
    coupling = X.T @ X
    coupling.diagonal().add_(1)
    coupling = torch.linalg.cholesky(coupling)

    def by_blocks(x):
        return torch.cholesky_solve(x[..., None], factors)[..., 0]

    def by_woodbury(x):
        x = by_blocks(x)
        shared = torch.cholesky_solve(J @ x.reshape(-1, 1), coupling)
        return x - by_blocks((J.T @ shared).view(m, p))

    x = by_woodbury(right)
    applied = (blocks @ x[..., None])[..., 0] + (J.T @ (J @ x.reshape(-1))).view(m, p)
    return x + by_woodbury(right - applied)  # recovers the digits that the identity loses


def slide(problem: NeuronProblem, S: Tensor, signs: Tensor, relative: float) -> Tensor:
    """Return neurons (m, p) at a local minimum of the rounded objective.

    Parameters
    ----------
    problem : NeuronProblem
    S : Tensor, shape (m, p)
    signs : Tensor, shape (m,)
    relative : float
        Rounding of the ReLU, relative to a typical pre-activation.
    """
    rounded = _Rounded(problem, signs, relative * typical(problem, S))
    value = rounded.value(S)
    for _ in range(_STEPS):
        try:
            step, fall = rounded.newton(S)
        except torch.linalg.LinAlgError:  # rounding allows no further step
            break
        if not fall > _DECREASE * relative * value:
            break
        # Where the loss is flat, only the damping limits the change of a neuron's length.
        longest = _LONGEST * torch.linalg.matrix_norm(S) / torch.linalg.matrix_norm(step)
        length, there = min(1.0, float(longest)), math.inf
        shortest = _SHORTEST * length
        while length > shortest:
            there = rounded.value(S + length * step)
            if there <= value - 1e-4 * length * fall:
                break
            length /= 2
        else:
            break
        S, value = S + length * step, there
    return S


def typical(problem: NeuronProblem, S: Tensor) -> float:
    """Return the root mean square of the pre-activations of neurons S (m, p)."""
    return float(torch.linalg.matrix_norm(problem.rows @ S.T)) / (len(problem.rows) * len(S)) ** 0.5


def shrink(problem: NeuronProblem, W: Tensor, signs: Tensor, lengths: Tensor) -> Tensor:
    """Return the best lengths (m,) of neurons with the unit directions W (m, p).

    Solves `min L(sum_j +- c_j relu(U w_j)) + beta sum c_j, c >= 0`, by FISTA with restarts, from
    `lengths`; only roughly, as sliding follows.
    """
    X = problem.features(W) * signs
    step = 1 / (problem.loss.lipschitz * float(torch.linalg.matrix_norm(X, 2)) ** 2)
    c, ahead, momentum = lengths, lengths, 1.0
    for _ in range(_LASSO):
        v = problem.loss.negative_gradient(X @ ahead[:, None], problem.Y)
        there = (ahead + step * ((X.T @ v)[:, 0] - problem.beta)).clamp_min(0)
        change = there - c
        if float((ahead - there) @ change) > 0:
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = there + (momentum - 1) / following * change
        c, momentum = there, following
        if float(change.abs().sum()) <= 1e-7 * float(c.sum()):
            break
    return c
