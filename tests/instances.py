"""Small random instances of the gated program, with independent ways to write and solve it."""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np

from convexbn.arrangements.gates import activation
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
    # If no gate is active anywhere, any beta will do.
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


def interior_point(U, D, Y, beta, loss="squared", penalty="group"):
    """Solve by CVXPY and Clarabel; return the optimal value and the weights."""
    p, P, C = U.shape[1], D.shape[1], Y.shape[1]
    W = cp.Variable((P * p, C))
    blocks = [W[i * p : (i + 1) * p] for i in range(P)]
    if penalty == "group":
        cost = sum(cp.norm(block[:, c]) for block in blocks for c in range(C))
    else:
        cost = sum(cp.normNuc(block) for block in blocks)
    program = cp.Problem(cp.Minimize(_CVXPY_LOSSES[loss](dense(U, D) @ W, Y) + beta * cost))
    program.solve(solver=cp.CLARABEL)  # to 1e-8, by default
    return program.value, W.value.reshape(P, p, C).transpose(1, 0, 2)


_CVXPY_LOSSES = {
    "squared": lambda F, Y: cp.sum_squares(F - Y) / 2,
    "logistic": lambda F, Y: cp.sum(cp.logistic(cp.multiply(-Y, F))),
    "squared_hinge": lambda F, Y: cp.sum_squares(cp.pos(1 - cp.multiply(Y, F))),
    "cross_entropy": lambda F, Y: cp.sum(cp.log_sum_exp(F, axis=1)) - cp.sum(cp.multiply(Y, F)),
}


def with_targets(problem, loss) -> Problem:
    """Return the problem with targets that suit the loss."""
    signs = np.where(problem.Y >= 0, 1.0, -1.0)
    classes = np.eye(problem.Y.shape[1])[problem.Y.argmax(1)]
    targets = {"squared": problem.Y, "cross_entropy": classes}
    return replace(problem, Y=targets.get(loss, signs))


def apart(*certificates) -> float:
    """Return the largest distance between the predictions of certified solutions.

    The squared loss is 1-strongly convex in the predictions, so that those of a solution with gap
    g are within sqrt(2 g) of the optimal ones.
    """
    return sum(np.sqrt(2 * max(c.gap, 0)) for c in certificates)


@dataclass(frozen=True)
class ConeProblem:
    """An instance of an exact program; `gates` (p, P) lie inside the cones of D."""

    model: str
    U: np.ndarray
    D: np.ndarray
    y: np.ndarray
    beta: float
    gates: np.ndarray
    loss: str = "squared"

    @property
    def data(self):
        return self.U, self.D, self.y, self.beta

    def feasible_weights(self) -> np.ndarray:
        """Return weights whose blocks are the gates themselves, of different lengths."""
        P = self.gates.shape[1]
        lengths = np.random.default_rng(7).exponential(0.1, (2, 1, P))
        blocks = self.gates
        if self.model == "relu_bn":  # the shift is in no cone
            blocks = np.vstack([blocks, np.linspace(-1, 1, P)])
        return lengths * blocks

    def network_objective(self, W) -> float:
        """Return the objective of the network whose neurons are the blocks, with no patterns."""
        activations, norms = _neurons(self.U, np.asarray(W), self.model)
        f = activations[0].sum(1) - activations[1].sum(1)
        return float(LOSS_VALUES[self.loss](f, self.y) + self.beta * norms.sum())


LOSS_VALUES = {
    "squared": lambda f, y: 0.5 * np.sum((f - y) ** 2),
    "logistic": lambda f, y: np.logaddexp(0, -y * f).sum(),
    "squared_hinge": lambda f, y: np.sum(np.maximum(0, 1 - y * f) ** 2),
}


def _neurons(U, W, model):
    """Return the activations (2, n, P) of the neurons of W (2, p, P), and their norms."""
    if model == "relu_bn":
        hidden = np.maximum(U @ W[:, :-1], 0)
        centred = hidden - hidden.mean(1, keepdims=True)
        shift = W[:, -1:]
        norms = np.sqrt((centred**2).sum(1) + shift[:, 0] ** 2)
        return centred + shift / np.sqrt(len(U)), norms
    patches = U if U.ndim == 3 else U[None]
    return np.maximum(patches[:, None] @ W, 0).sum(0), np.linalg.norm(W, axis=1)


def make_cones(model, seed, n=12, d=2, P=6, K=3, loss="squared", share=0.1) -> ConeProblem:
    """Draw normal data, targets and gates; model "cnn" is "relu" with K patches per sample."""
    rng = np.random.default_rng(seed)
    if model == "relu_bn":
        U = rng.standard_normal((n, d))
    elif model == "cnn":
        U = whiten(rng.standard_normal((K * n, d))).U.reshape(K, n, -1)
    else:
        U = whiten(rng.standard_normal((n, d))).U
    gates = rng.standard_normal((U.shape[-1], P))
    y = rng.standard_normal(n)
    y = y if loss == "squared" else np.where(y >= 0, 1.0, -1.0)
    # The order of magnitude at which the solution vanishes.
    beta = share * np.linalg.norm(np.atleast_2d(y @ (U if U.ndim == 2 else U.sum(0))))
    name = "relu" if model == "cnn" else model
    return ConeProblem(name, U, activation(U, gates), y, float(beta), gates, loss)


def cone_optimum(problem: ConeProblem, **solver) -> float:
    """Return the optimum of an exact program, written as in the paper; by default from Clarabel."""
    U = problem.U if problem.U.ndim == 3 else problem.U[None]
    D = problem.D if problem.D.ndim == 3 else problem.D[None]
    n, scores, cost, constraints = len(problem.y), 0, 0, []
    for i in range(D.shape[2]):
        for sign in (1, -1):
            block = cp.Variable(problem.U.shape[-1])
            constraints += [
                (2 * D[k, :, i] - 1)[:, None] * U[k] @ block >= 0 for k in range(len(U))
            ]
            gated = sum(D[k, :, [i]].T * U[k] for k in range(len(U)))
            if problem.model == "relu_bn":
                gated = gated - gated.mean(0)
                shift = cp.Variable()
                scores = scores + sign * (gated @ block + shift / np.sqrt(n))
                cost = cost + cp.norm(cp.hstack([gated @ block, shift]))
            else:
                scores = scores + sign * (gated @ block)
                cost = cost + cp.norm(block)
    objective = _CVXPY_LOSSES[problem.loss](scores, problem.y) + problem.beta * cost
    program = cp.Problem(cp.Minimize(objective), constraints)
    program.solve(**{"solver": cp.CLARABEL, **solver})
    return program.value
