"""Singular values of a product of Gaussian matrices, and the density that they tend to.

The squared singular values x of `G_M ... G_1 / N^(M/2)`, where G_m (N, N) has independent standard
normal entries, have for N to infinity the Fuss-Catalan distribution. Its moments are the
Fuss-Catalan numbers `binom((M + 1) k, k) / (M k + 1)`: 1, and M + 1 for k = 2. Its density rho is
known in a parameter 0 < phi < pi / (M + 1) (Forrester and Liu 2015):

    x   = sin((M + 1) phi)^(M + 1) / (sin(phi) sin(M phi)^M),
    rho = sin(phi)^2 sin(M phi)^(M - 1) / (pi sin((M + 1) phi)^M).

Near 0, rho falls like x^(-M / (M + 1)): the deeper the product of linear maps, the more nearly
singular it is.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

MATRICES = [
    *("size", "factors", "draw", "exponent", "second_moment", "distance"),
    *("low", "high", "density"),
]
BINS = 40  # of the logarithm of x
LOWEST = 1e-6  # the first bin begins here; what is below is in none
FITTED = (
    0.01,
    0.1,
)  # shares of the smallest squared singular values that the exponent is fitted to
NODES = 400


class Density(NamedTuple):
    """The exact density at some points, in ascending order.

    Attributes
    ----------
    x, rho, weight : ndarray, shape (nodes,)
        A sum over points times `weight` is an integral over the distribution.
    """

    x: np.ndarray
    rho: np.ndarray
    weight: np.ndarray

    def below(self, x: np.ndarray) -> np.ndarray:
        """Return the share of the distribution below x, to about 1e-5."""
        share = np.cumsum(self.weight) - self.weight / 2
        return np.interp(np.log(x), np.log(self.x), share, left=0, right=1)


def density(factors: int, nodes: int = NODES) -> Density:
    """Return the exact density for a product of `factors` matrices.

    Parameters
    ----------
    factors : int
        M, at least 1.
    nodes : int
        Points of Gauss-Legendre quadrature in phi.
    """
    M = factors
    t, weight = np.polynomial.legendre.leggauss(nodes)
    end = np.pi / (M + 1)
    phi = end * (1 - t) / 2  # descending, so that x ascends
    one, many, more = np.sin(phi), np.sin(M * phi), np.sin((M + 1) * phi)
    x = more ** (M + 1) / (one * many**M)
    rho = one**2 * many ** (M - 1) / (np.pi * more**M)
    # d log x / d phi
    slope = (M + 1) ** 2 / np.tan((M + 1) * phi) - 1 / np.tan(phi) - M**2 / np.tan(M * phi)
    return Density(x, rho, end / 2 * weight * rho * x * -slope)


def measure(settings: dict, seed: int) -> pd.DataFrame:
    """Draw products of matrices, and compare their singular values with the exact density.

    Parameters
    ----------
    settings : dict
        `size` (N), `factors` (values of M) and `draws` (of each).
    seed : int

    Returns
    -------
    DataFrame
        Columns `MATRICES`, a row for each draw and bin of x from `low` to `high`, with the
        `density` in it. The draw's `exponent` is that of its density near 0, `second_moment` the
        mean of x^2, and `distance` the largest between its distribution function and the exact one.
    """
    tables = []
    for factors in settings["factors"]:
        exact = density(factors)
        edges = np.geomspace(LOWEST, (factors + 1) ** (factors + 1) / factors**factors, BINS + 1)
        for draw in range(settings["draws"]):
            rng = np.random.default_rng([seed, factors, draw])
            x = squared_singular_values(settings["size"], factors, rng)
            counts, _ = np.histogram(x, edges)
            bins = {"low": edges[:-1], "high": edges[1:]}
            table = pd.DataFrame(bins | {"density": counts / (len(x) * np.diff(edges))})
            tables.append(table.assign(factors=factors, draw=draw, **_described(x, exact)))
    return pd.concat(tables, ignore_index=True).assign(size=settings["size"])[MATRICES]


def squared_singular_values(size: int, factors: int, rng: np.random.Generator) -> np.ndarray:
    """Return those of a product of Gaussian matrices, in ascending order."""
    product = np.eye(size)
    for _ in range(factors):
        product = rng.standard_normal((size, size)) @ product / np.sqrt(size)
    return np.linalg.svd(product, compute_uv=False)[::-1] ** 2


def _described(x: np.ndarray, exact: Density) -> dict[str, float]:
    share = np.arange(1, len(x) + 1) / len(x)
    below = exact.below(x)
    distance = np.maximum(np.abs(below - share), np.abs(below - share + 1 / len(x)))
    return {
        "exponent": exponent(x),
        "second_moment": float(np.mean(x**2)),
        "distance": float(distance.max()),
    }


def exponent(x: np.ndarray) -> float:
    """Return the exponent a of a density ~ x^a near 0, from a sample in ascending order.

    The distribution function is then ~ x^(a + 1): a + 1 is its slope in logarithms, by least
    squares over the shares `FITTED`. The very smallest values are left out, as for matrices of
    finite size they do not follow the limit.
    """
    share = (np.arange(len(x)) + 0.5) / len(x)
    fitted = (share >= FITTED[0]) & (share <= FITTED[1])
    return float(np.polyfit(np.log(x[fitted]), np.log(share[fitted]), 1)[0] - 1)
