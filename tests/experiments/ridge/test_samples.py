"""Tuning, interpolation, and the intervals over seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from convexbn.experiments.ridge import samples


def table(sizes, sgd, n, ridge) -> pd.DataFrame:
    """Return a table of risks: `ridge` has a row per seed."""
    rows = [("sgd", None, *pair) for pair in zip(sizes, sgd, strict=True)]
    for seed, risks in enumerate(ridge):
        rows += [("ridge", seed, *pair) for pair in zip(n, risks, strict=True)]
    return pd.DataFrame(rows, columns=["method", "seed", "n", "risk"])


@pytest.mark.parametrize("ends", [(32, 4096), (2, 2), (16, 60), (30, 34)])
def test_sizes_are_even_and_go_on_as_they_began(ends):
    inside, wide = samples.sizes(*ends), samples.sizes(*ends, 8, 4)
    assert inside[0] == ends[0]
    assert inside[-1] == ends[1]
    assert not [N for N in wide if N % 2]
    # With few samples the next step may not be a whole number of pairs.
    assert {N for N in wide if ends[0] <= N <= ends[1]} == set(inside)
    assert wide[0] <= max(2, ends[0] / 8 * 1.5)
    assert wide[-1] == pytest.approx(4 * ends[1], rel=0.25)
    assert samples.sizes(32, 4096)[::2] == [2**k for k in range(5, 13)]


@pytest.mark.parametrize("ends", [(31, 64), (32, 63), (64, 32), (0, 8)])
def test_odd_or_unordered_sizes_are_refused(ends):
    with pytest.raises(ValueError, match=r"samples must be two even numbers.*got \["):
        samples.sizes(*ends)


def test_power_laws_are_interpolated_exactly():
    n = np.array([10.0, 40.0, 90.0])
    levels = 5 * np.array([10.0, 17.0, 55.0, 90.0]) ** -1.5
    np.testing.assert_allclose(samples.needed(n, 5 * n**-1.5, levels), [10, 17, 55, 90])


def test_a_risk_that_rises_again_counts_from_where_it_was_reached():
    n, risks = [10, 20, 40, 60, 80], [4.0, 1.0, 3.0, 2.0, 0.5]
    found = samples.needed(n, risks, [9.0, 1.0, 0.999999, 0.5, 0.4])
    # From 20 to 80 the smallest risk falls only with the next smaller one.
    np.testing.assert_allclose(found, [10, 20, 20, 80, np.inf], rtol=1e-5)


@pytest.mark.parametrize("wrong", [([1, 2], [1.0, 0.0], [1.0]), ([1, 2], [2.0, 1.0], [-1.0])])
def test_risks_that_have_no_logarithm_are_refused(wrong):
    with pytest.raises(ValueError, match="must be positive"):
        samples.needed(*wrong)


@pytest.mark.parametrize(
    ("risks", "values", "expected"),
    [
        ([[3.0, 1.0, 2.0]], [1, 2, 3], (1, False)),
        ([[1.0, 2.0, 3.0]], [1, 2, 3], (0, True)),
        ([[3.0, 2.0, 1.0]], [1, 2, 3], (2, True)),
        ([[1.0, 2.0, 3.0]], [0, 2, 3], (0, False)),  # there is no lambda below 0
        ([[3.0, 1.0, 2.0]], [0, 2, 3], (1, False)),
        ([[1.0, 2.0, 9.0], [9.0, 2.0, 1.0]], [1, 2, 3], (1, False)),  # on the mean, not per seed
    ],
)
def test_the_best_value_is_flagged_at_the_end_of_the_grid(risks, values, expected):
    assert samples.best(np.array(risks), np.array(values)) == expected


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).standard_normal(7)
    others = [np.delete(values, i).mean() for i in range(7)]
    found = samples.jackknife([values.mean(), *others])
    mean, error = values.mean(), stats.sem(values)
    expected = stats.t.interval(0.95, df=6, loc=mean, scale=error)
    np.testing.assert_allclose(
        [found.low, found.mean, found.high], [expected[0], mean, expected[1]]
    )


def test_what_is_not_finite_has_no_interval():
    assert np.isnan(samples.jackknife([1.0, 2.0, np.inf]).low)
    assert np.isnan(samples.jackknife([1.0, 2.0]).low)
    assert samples.jackknife([np.inf, 1.0, 1.0]).mean == np.inf


def test_two_power_laws_are_compared():
    """SGD's risk 8 / N and ridge's 2 / sqrt(n): N = 4 sqrt(n), from each seed's own scale."""
    n, sizes = np.array([16.0, 64.0, 256.0]), np.array([4.0, 32.0, 128.0])
    scales = np.array([0.9, 1.0, 1.1])[:, None]
    case = samples.compare(table(sizes, 8 / sizes, n, scales * 2 / np.sqrt(n)))
    np.testing.assert_allclose(case.needed[0], 4 * np.sqrt(n))
    np.testing.assert_allclose(case.needed[1:], 4 * np.sqrt(n) / [[1.05], [1.0], [0.95]])
    np.testing.assert_allclose(case.band, 4 * np.sqrt(n) / [[1.1], [0.9]])
    np.testing.assert_allclose(case.slope()[:3], 0.5)
    np.testing.assert_allclose(case.exponent()[:3], 2.0)
    ratio = case.ratios()[0]
    assert ratio.mean == pytest.approx(0)  # 16 of both
    # Student's interval of the mean scale, as the logarithm is nearly straight here.
    assert ratio.high == pytest.approx(stats.t.ppf(0.975, 2) * 0.1 / 3**0.5, rel=0.02)


def test_one_seed_gives_no_interval():
    n = np.array([16.0, 64.0])
    case = samples.compare(table(n, 1 / n, n, [1 / n]))
    np.testing.assert_allclose(case.needed[0], n)
    assert np.isnan(case.ratios()[0].low)


def test_one_size_has_no_slope():
    case = samples.compare(table([8.0, 64.0], [0.2, 0.1], [16.0], [[0.15], [0.14], [0.16]]))
    assert np.isnan(case.slope().mean)
    assert np.isnan(case.exponent().mean)
    assert np.isfinite(case.ratios()[0].low)


def test_the_risks_of_bins_add_up():
    n = np.array([16.0, 64.0])
    whole = table(n, 1 / n, n, [1 / n, 2 / n])
    parts = pd.concat([whole.assign(risk=whole["risk"] * share) for share in (0.25, 0.75)])
    first, second = samples.compare(whole), samples.compare(parts)
    np.testing.assert_allclose(first.needed, second.needed)
    np.testing.assert_allclose(first.deviation, second.deviation)
