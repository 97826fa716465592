"""Networks for several weight decays, each from the solution for the next larger one."""

import copy
from collections.abc import Iterable

import numpy as np
from sklearn.base import clone

from convexbn.calls import public
from convexbn.estimators.base import ConvexBN
from convexbn.inputs import ArrayLike, as_betas, check_between, is_number


@public
def network_path(
    estimator: ConvexBN,
    X: ArrayLike,
    y: ArrayLike,
    *,
    betas: Iterable[float] | None = None,
    n_betas: int = 20,
    eps: float = 1e-2,
) -> list[ConvexBN]:
    """Fit an estimator for several weight decays, on one whitened design with the same gates.

    Parameters
    ----------
    estimator : ConvexBNRegressor or ConvexBNClassifier
        It is cloned; its `beta` does not matter.
    X : array-like, shape (n, d)
    y : array-like, shape (n,), or (n, C) for a regressor
    betas : iterable of float, optional
        By default `n_betas` of them, from `beta_max_` to `eps` of it, evenly spaced in their
        logarithm.
    n_betas : int
    eps : float

    Returns
    -------
    list of estimators
        Fitted ones, by descending `beta`; each has a `certificate_` of its own. An interrupt ends
        the path with the best so far.

    Raises
    ------
    ValueError
        As :meth:`ConvexBNRegressor.fit`.

    Warns
    -----
    ConvergenceWarning
        Once, if certificates miss `tol`.
    """
    if not hasattr(estimator, "beta"):
        raise ValueError(
            "estimator must have one beta, as ConvexBNClassifier and ConvexBNRegressor do, got a "
            f"{type(estimator).__name__}"
        )
    path = uncommented(estimator, X, y, betas=betas, n_betas=n_betas, eps=eps)
    path[0]._warn_of((network.beta, network.certificate_) for network in path)
    return path


def uncommented(
    estimator: ConvexBN,
    X: ArrayLike,
    y: ArrayLike,
    *,
    betas: Iterable[float] | None,
    n_betas: int = 20,
    eps: float = 1e-2,
) -> list[ConvexBN]:
    """Return the networks of :func:`network_path`, without a word about their certificates."""
    first = clone(estimator)
    X, Y, loss = first._targets(X, y)
    D = first._design(X, Y, loss)
    first.beta_max_ = first._largest_beta(D, Y, loss)
    found = first._solutions(D, Y, grid(first.beta_max_, betas, n_betas, eps), loss)
    return [copy.copy(first).set_params(beta=s.beta)._take(s) for s in found]


def grid(beta_max: float, betas: Iterable[float] | None, n_betas: int, eps: float) -> np.ndarray:
    """Return weight decays in descending order: those given, or `n_betas` from `beta_max` down.

    Raises
    ------
    ValueError
        If one is not a positive number, or there is nothing to make them of.
    """
    if betas is not None:
        return np.sort(as_betas(betas))[::-1]
    check_between("n_betas", n_betas, 1, 10**6)
    if not (is_number(eps) and 0 < eps < 1):
        raise ValueError(
            f"eps must be between 0 and 1, got {eps!r}; it is the smallest beta / beta_max"
        )
    if beta_max == 0:
        raise ValueError("y must not be zero for all samples: the network is zero for every beta")
    return beta_max * np.geomspace(1, eps, n_betas)
