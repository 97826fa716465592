"""Small random instances of the gated program, with independent ways to write and solve it."""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from convexbn.gates import activation
from convexbn.whitening import whiten


@dataclass(frozen=True)
class Problem:
    """An instance of the program in numpy, with beta a share of the largest sensible one."""

    U: np.ndarray
    D: np.ndarray
    Y: np.ndarray
    beta: float

    @property
    def data(self):
        return self.U, self.D, self.Y, self.beta

    @property
    def shape(self):
        return self.U.shape[1], self.D.shape[1], self.Y.shape[1]


def make(seed, n=24, d=4, P=6, C=2, share=0.1) -> Problem:
    """Draw normal data, gates (not kept apart) and targets; U has r + 1 = min(d, n - 1) + 1."""
    rng = np.random.default_rng(seed)
    U = whiten(rng.standard_normal((n, d))).U
    D = activation(U, rng.standard_normal((U.shape[1], P)))
    Y = rng.standard_normal((n, C))
    # Where no gate is active anywhere, any beta will do.
    return Problem(U, D, Y, float(share * (beta_max(U, D, Y) or 1)))


def beta_max(U, D, Y) -> float:
    """Return max over gates and classes of ||U^T D_i y_c||, one block at a time."""
    blocks = [U.T @ (D[:, i] * Y[:, c]) for i in range(D.shape[1]) for c in range(Y.shape[1])]
    return max(np.linalg.norm(block) for block in blocks)


def dense(U, D) -> np.ndarray:
    """Return the design [D_1 U, ..., D_P U], shape (n, P (r + 1))."""
    return np.hstack([D[:, [i]] * U for i in range(D.shape[1])])


def flat(W) -> np.ndarray:
    """Order weights (r + 1, P, C) as the columns of :func:`dense`."""
    return np.asarray(W).transpose(1, 0, 2).reshape(-1, W.shape[2])


def objective(U, D, Y, beta, W) -> float:
    """Return the objective, written as in the paper."""
    W = np.asarray(W, dtype=np.float64)
    F = dense(U, D) @ flat(W)
    return 0.5 * np.sum((F - Y) ** 2) + beta * np.linalg.norm(W, axis=0).sum()


def interior_point(U, D, Y, beta):
    """Solve by CVXPY and Clarabel; return the optimal value and the weights."""
    p, P, C = U.shape[1], D.shape[1], Y.shape[1]
    W = cp.Variable((P * p, C))
    blocks = [cp.norm(W[i * p : (i + 1) * p, c]) for i in range(P) for c in range(C)]
    loss = cp.sum_squares(dense(U, D) @ W - Y) / 2
    program = cp.Problem(cp.Minimize(loss + beta * sum(blocks)))
    program.solve(solver=cp.CLARABEL)  # to 1e-8, by default
    return program.value, W.value.reshape(P, p, C).transpose(1, 0, 2)


def apart(*certificates) -> float:
    """Return how far apart the predictions of certified solutions can be.

    The squared loss is 1-strongly convex in the predictions, so that those of a solution with gap
    g are within sqrt(2 g) of the optimal ones.
    """
    return sum(np.sqrt(2 * max(c.gap, 0)) for c in certificates)
