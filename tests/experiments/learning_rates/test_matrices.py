"""Products of Gaussian matrices: the exact density, and how near their spectra come to it."""

from math import comb

import numpy as np
import pytest

from convexbn.experiments.learning_rates import matrices
from convexbn.experiments.learning_rates.matrices import density, exponent


@pytest.mark.parametrize("factors", [1, 2, 3, 5])
@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
def test_moments_of_the_exact_density_are_the_fuss_catalan_numbers(factors, k):
    exact = density(factors)
    expected = comb((factors + 1) * k, k) / (factors * k + 1)
    assert (exact.weight * exact.x**k).sum() == pytest.approx(expected, rel=1e-9)


def test_the_density_of_one_matrix_is_that_of_marchenko_and_pastur():
    exact = density(1)
    expected = np.sqrt((4 - exact.x) / exact.x) / (2 * np.pi)
    # Near x = 4 the difference 4 - x cancels.
    np.testing.assert_allclose(exact.rho, expected, rtol=1e-6, atol=1e-8)
    # Its distribution function at 2 is 1/2 + 1/pi.
    assert exact.below(np.array([2.0]))[0] == pytest.approx(0.5 + 1 / np.pi, abs=2e-5)


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_the_density_falls_by_its_power_near_zero(factors):
    exact = density(factors)
    a, b = 0, 20
    slope = np.log(exact.rho[b] / exact.rho[a]) / np.log(exact.x[b] / exact.x[a])
    assert slope == pytest.approx(-factors / (factors + 1), abs=0.01)
    # The exponent that is fitted to a sample is that of quantiles of a power: x = share^(M + 1).
    share = (np.arange(600) + 0.5) / 600
    assert exponent(share ** (factors + 1)) == pytest.approx(-factors / (factors + 1))


def test_the_product_of_one_matrix_is_the_matrix():
    found = matrices.squared_singular_values(20, 1, np.random.default_rng(3))
    G = np.random.default_rng(3).standard_normal((20, 20))
    np.testing.assert_allclose(found, np.linalg.eigvalsh(G @ G.T) / 20, atol=1e-12)


def test_spectra_are_near_the_exact_density():
    table = matrices.measure({"size": 200, "factors": [1, 2], "draws": 3}, seed=0)
    assert list(table.columns) == matrices.MATRICES
    draws = table.drop_duplicates(["factors", "draw"])
    assert len(draws) == 6
    mean = draws.groupby("factors")[["second_moment", "distance"]].mean()
    # Of matrices of size 200; deviations shrink as the inverse of the size.
    np.testing.assert_allclose(mean["second_moment"], [2, 3], rtol=0.05)
    assert (mean["distance"] < 0.03).all()
    share = (table["density"] * (table["high"] - table["low"])).groupby(table["factors"]).sum()
    # What is missing lies below the first bin, or beyond the end of the spectrum by a little.
    assert (share / 3).between(0.98, 1 + 1e-9).all()
