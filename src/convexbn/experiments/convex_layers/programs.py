"""Layers whose gradients are tried: functions of Agrawal et al. (2019) as programs, and others.

Each is drawn at random, away from the kinks of its solution. The functions that are known in closed
form are written down a second time, in torch, for autograd to differentiate.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from convexbn.arrangements.gates import activation, sample_gates

if TYPE_CHECKING:
    import cvxpy as cp


class Instance(NamedTuple):
    """A program with values for its parameters.

    Attributes
    ----------
    problem : cvxpy.Problem
    parameters, variables : sequence of cvxpy.Parameter, of cvxpy.Variable
    values : list of Tensor
    closed_form : callable, optional
        From the values to the solution, a tuple of tensors.
    """

    problem: "cp.Problem"
    parameters: "Sequence[cp.Parameter]"
    variables: "Sequence[cp.Variable]"
    values: list[torch.Tensor]
    closed_form: Callable[..., tuple[torch.Tensor, ...]] | None = None


def _tensors(*arrays: Any) -> list[torch.Tensor]:
    return [torch.as_tensor(np.asarray(a, dtype=np.float64)) for a in arrays]


def relu(rng: np.random.Generator) -> Instance:
    """Return relu(x) = argmin ||y - x||^2 over y >= 0."""
    import cvxpy as cp

    x, y = cp.Parameter(8, name="x"), cp.Variable(8)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y - x)), [y >= 0])
    values = rng.choice([-1, 1], 8) * rng.uniform(0.1, 2, 8)
    return Instance(problem, [x], [y], _tensors(values), lambda x: (torch.relu(x),))


def sigmoid(rng: np.random.Generator) -> Instance:
    """Return the logistic function, argmin -x^T y - sum H(y), H the binary entropy."""
    import cvxpy as cp

    x, y = cp.Parameter(8, name="x"), cp.Variable(8)
    entropy = cp.sum(cp.entr(y) + cp.entr(1 - y))
    problem = cp.Problem(cp.Minimize(-x @ y - entropy))
    return Instance(problem, [x], [y], _tensors(rng.normal(size=8)), lambda x: (x.sigmoid(),))


def softmax(rng: np.random.Generator) -> Instance:
    """Return softmax(x) = argmin -x^T y + sum y log y over the simplex."""
    import cvxpy as cp

    x, y = cp.Parameter(8, name="x"), cp.Variable(8)
    problem = cp.Problem(cp.Minimize(-x @ y - cp.sum(cp.entr(y))), [cp.sum(y) == 1])
    return Instance(problem, [x], [y], _tensors(rng.normal(size=8)), lambda x: (x.softmax(0),))


def sparsemax(rng: np.random.Generator) -> Instance:
    """Return the projection of x on the simplex."""
    import cvxpy as cp

    x, y = cp.Parameter(8, name="x"), cp.Variable(8)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y - x)), [y >= 0, cp.sum(y) == 1])
    return Instance(problem, [x], [y], _tensors(rng.uniform(0, 0.5, 8)), _on_simplex)


def _on_simplex(x: torch.Tensor) -> tuple[torch.Tensor]:
    """Project by sorting: with k entries left, y = relu(x - t), t = (sum of them - 1) / k."""
    largest = x.sort(descending=True).values
    thresholds = (largest.cumsum(0) - 1) / torch.arange(1, len(x) + 1)
    k = int((largest > thresholds).sum())
    return (torch.relu(x - thresholds[k - 1]),)


def quadratic(rng: np.random.Generator) -> Instance:
    """Return argmin ||L x||^2 / 2 + q^T x under A x = b, G x <= h, a quadratic program."""
    import cvxpy as cp

    n, equalities, inequalities = 6, 2, 5
    L, A = cp.Parameter((n, n), name="L"), cp.Parameter((equalities, n), name="A")
    G, q = cp.Parameter((inequalities, n), name="G"), cp.Parameter(n, name="q")
    b, h = cp.Parameter(equalities, name="b"), cp.Parameter(inequalities, name="h")
    x = cp.Variable(n)
    objective = cp.Minimize(cp.sum_squares(L @ x) / 2 + q @ x)
    problem = cp.Problem(objective, [A @ x == b, G @ x <= h])
    inner, rows = rng.normal(size=n), rng.normal(size=(equalities + inequalities, n))
    sides = rows @ inner + np.append(np.zeros(equalities), rng.uniform(0.1, 1, inequalities))
    root = np.eye(n) + rng.normal(size=(n, n)) / n
    parts = rows[:equalities], sides[:equalities], rows[equalities:], sides[equalities:]
    values = _tensors(root, rng.normal(size=n), *parts)
    return Instance(problem, [L, q, A, b, G, h], [x], values)


def ridge(rng: np.random.Generator) -> Instance:
    """Return ridge regression, argmin ||F w - y||^2 + lambda ||w||^2."""
    import cvxpy as cp

    F, y = cp.Parameter((10, 4), name="F"), cp.Parameter(10, name="y")
    penalty, w = cp.Parameter(nonneg=True, name="lambda"), cp.Variable(4)
    objective = cp.sum_squares(F @ w - y) + penalty * cp.sum_squares(w)
    values = _tensors(rng.normal(size=(10, 4)), rng.normal(size=10), rng.uniform(0.1, 1))
    return Instance(cp.Problem(cp.Minimize(objective)), [F, y, penalty], [w], values, _solved)


def _solved(F: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor) -> tuple[torch.Tensor]:
    """Solve the normal equations."""
    gram = F.T @ F + penalty * torch.eye(F.shape[1], dtype=F.dtype)
    return (torch.linalg.solve(gram, F.T @ y),)


def elastic_net(rng: np.random.Generator) -> Instance:
    """Return the logistic regression with elastic net of the paper's poisoned data."""
    labels = np.arange(30) % 2
    problem, X, variables = logistic_regression(labels)
    points = rng.normal(size=(30, 2), scale=3) + np.where(labels, 2, -2)[:, None]
    return Instance(problem, [X], variables, _tensors(points))


def logistic_regression(
    labels: np.ndarray,
) -> "tuple[cp.Problem, cp.Parameter, list[cp.Variable]]":
    """Return a logistic regression with elastic net: problem, points X (n, 2), variables (a, b).

    min  1/n sum_i [ log(1 + exp(z_i)) - y_i z_i ] + 0.1 ||a||_1 + 0.1 ||a||_2^2,   z = X a + b

    Parameters
    ----------
    labels : array (n,)
        0 or 1.
    """
    import cvxpy as cp

    n = len(labels)
    X, a, b = cp.Parameter((n, 2), name="X"), cp.Variable(2, name="a"), cp.Variable(name="b")
    loss = cp.sum(cp.logistic(X @ a + b)) - labels @ (X @ a + b)
    net = 0.1 * cp.norm(a, 1) + 0.1 * cp.sum_squares(a)
    return cp.Problem(cp.Minimize(loss / n + net)), X, [a, b]


def cone(rng: np.random.Generator) -> Instance:
    """Return argmin ||F x - g|| + lambda ||x|| over x >= 0, a second-order cone program."""
    import cvxpy as cp

    F, g = cp.Parameter((12, 5), name="F"), cp.Parameter(12, name="g")
    weight, x = cp.Parameter(nonneg=True, name="lambda"), cp.Variable(5)
    objective = cp.norm(F @ x - g) + weight * cp.norm(x)
    inner = rng.normal(size=5)
    F_value = rng.normal(size=(12, 5))
    g_value = F_value @ inner + 0.3 * rng.normal(size=12)
    values = _tensors(F_value, g_value, rng.uniform(0.1, 0.3))
    return Instance(cp.Problem(cp.Minimize(objective), [x >= 0]), [F, g, weight], [x], values)


def nuclear(rng: np.random.Generator) -> Instance:
    """Return argmin ||X - Y||_F^2 / 2 + lambda ||X||_*, a semidefinite program."""
    import cvxpy as cp

    Y, weight = cp.Parameter((4, 3), name="Y"), cp.Parameter(nonneg=True, name="lambda")
    X = cp.Variable((4, 3))
    objective = cp.sum_squares(X - Y) / 2 + weight * cp.normNuc(X)
    values = _tensors(rng.normal(size=(4, 3)), rng.uniform(0.3, 0.6))
    return Instance(cp.Problem(cp.Minimize(objective)), [Y, weight], [X], values, _shrunk)


def _shrunk(Y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor]:
    """Take the weight off each singular value."""
    left, singular_values, right = torch.linalg.svd(Y, full_matrices=False)
    return ((left * torch.relu(singular_values - weight)) @ right,)


def gated_bn(rng: np.random.Generator) -> Instance:
    """Return the gated program of a BN network, whose design and beta are parameters.

    min  ||sum_i D_i U diag(g) s_i - y||^2 / 2 + beta sum_i ||s_i||

    The scaled blocks D_i U diag(g) enter as one parameter: the product of two is not DPP.
    """
    import cvxpy as cp

    n, p, P = 15, 3, 4
    U = np.linalg.qr(rng.normal(size=(n, p)))[0]
    D = activation(U, sample_gates(U, P, seed=int(rng.integers(2**31))))  # (n, P)
    gains = rng.uniform(0.5, 1, p)
    blocks = np.hstack([gate[:, None] * U * gains for gate in np.asarray(D).T])  # (n, P p)
    B, y = cp.Parameter((n, P * p), name="blocks"), cp.Parameter(n, name="y")
    beta, s = cp.Parameter(nonneg=True, name="beta"), cp.Variable((p, P))
    residual = B @ cp.vec(s, order="F") - y
    objective = cp.sum_squares(residual) / 2 + beta * cp.sum(cp.norm(s, axis=0))
    values = _tensors(blocks, rng.normal(size=n), rng.uniform(0.1, 0.3))
    return Instance(cp.Problem(cp.Minimize(objective)), [B, y, beta], [s], values)


PROGRAMS: dict[str, Callable[[np.random.Generator], Instance]] = {
    "ReLU": relu,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "sparsemax": sparsemax,
    "ridge regression": ridge,
    "quadratic program": quadratic,
    "logistic, elastic net": elastic_net,
    "second-order cone": cone,
    "nuclear norm": nuclear,
    "gated BN program": gated_bn,
}
