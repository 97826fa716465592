"""The risk of ridge regression on normal data, given the samples x.

The estimator is `w = (X^T X + lambda I)^{-1} X^T y`. With `X^T X = V diag(s) V^T` and
`Z = V diag(sqrt(s))` its mean over the noise and its variance along direction i are

    w* - Z diag(1 / (s + lambda)) Z^T w*   (the bias),      sigma^2 sum_j Z_ij^2 / (s_j + lambda)^2,

so the risk given X has a closed form, for all lambda by one eigendecomposition: of `X^T X`, or,
with fewer samples than features, of `X X^T = U diag(s) U^T`, where `Z = X^T U`. Only X is drawn.
"""

import numpy as np

from convexbn.experiments.ridge.problems import Problem
from convexbn.inputs import ArrayLike, as_array, check_between

SPREAD = (1e-7, 1e2)  # smallest and largest lambda > 0 tried, in units of n times the largest h


def penalties_for(problem: Problem, n: int, count: int) -> np.ndarray:
    """Return `count` log-spaced values of lambda to try, and 0 where n samples allow it."""
    positive = np.geomspace(*SPREAD, count) * n * problem.h.max()
    return np.concatenate([[0.0], positive]) if n >= len(problem.h) else positive


def draw(problem: Problem, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a matrix X of min(n, d) rows whose X^T X has the law of n samples from N(0, H).

    With at least as many samples as features it is Bartlett's triangular factor of a Wishart
    matrix: the law of `X^T X` is all that the risk depends on.
    """
    check_between("the number of samples", n, 1, 10**9)
    d = len(problem.h)
    rows = rng.standard_normal((min(n, d), d))
    if n >= d:
        rows = np.triu(rows, 1)
        rows[np.diag_indices(d)] = np.sqrt(rng.chisquare(n - np.arange(d)))
    return rows * np.sqrt(problem.h)


def factor(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Z (d, r) and s (r,), r = min(n, d), of samples X (n, d)."""
    if len(X) < X.shape[1]:
        s, U = np.linalg.eigh(X @ X.T)
        return X.T @ U, s
    s, V = np.linalg.eigh(X.T @ X)
    return V * np.sqrt(s.clip(min=0)), s


def risks(
    problem: Problem, factors: tuple[np.ndarray, np.ndarray], penalties: ArrayLike
) -> np.ndarray:
    """Return the risk along each direction given X, the mean over the noise.

    Parameters
    ----------
    problem : Problem
    factors : tuple
        Of :func:`factor`.
    penalties : array, shape (L,)
        Values of lambda.

    Returns
    -------
    ndarray, shape (L, d)

    Raises
    ------
    ValueError
        If a lambda is negative, or 0 with fewer samples than features.
    """
    (Z, s), values = factors, as_array("lambda", penalties)
    _check_penalties(values, *Z.shape)
    inverse = 1 / (s[:, None] + values)  # (r, L)
    fitted = np.einsum("rl,rc->rlc", inverse, Z.T @ problem.w)
    bias = problem.w[:, None] - np.tensordot(Z, fitted, axes=1)  # (d, L, C)
    variance = problem.noise.sum() * (Z**2 @ inverse**2)  # (d, L)
    return (problem.h[:, None] * ((bias**2).sum(axis=2) + variance)).T


def _check_penalties(values: np.ndarray, d: int, n: int) -> None:
    if values.ndim != 1 or not (values >= 0).all():
        raise ValueError(f"lambda must be a list of numbers >= 0, got {values.tolist()}")
    if n < d and not values.all():
        raise ValueError(
            f"lambda = 0 has no unique solution with {n} samples of {d} features; leave it out, or "
            f"give at least {d} samples"
        )
