"""Student's paired interval and test, Holm's correction and slopes: independent answers."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from convexbn.reporting import significance
from convexbn.reporting.significance import Interval


def test_interval_is_students():
    # Mean 3, standard error sqrt(2.5 / 5), and 2.776445 is the tabulated t quantile (.975, 4 df).
    found = significance.interval([1.0, 2, 3, 4, 5])
    assert found[:3] == pytest.approx((3, 3 - 2.776445 * 0.5**0.5, 3 + 2.776445 * 0.5**0.5))
    assert found.pairs == 5


@pytest.mark.parametrize("n", [2, 5, 30])
def test_interval_and_p_are_scipys(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    expected = stats.ttest_1samp(values, 0)
    found = significance.interval(values)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert found[1:3] == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-10)


def test_p_below_the_level_and_an_interval_without_zero_are_one_thing():
    rng = np.random.default_rng(0)
    for _ in range(200):
        found = significance.interval(rng.normal(0.7, 1, 6))
        assert (found.p < 1 - significance.LEVEL) == (found.low > 0 or found.high < 0)


def test_equal_differences_are_certain():
    assert significance.interval([0.5] * 4) == Interval(0.5, 0.5, 0.5, 0.0, 4)
    assert significance.interval([0.0] * 4) == Interval(0.0, 0.0, 0.0, 1.0, 4)


def test_what_a_grid_hides_widens_the_interval():
    values = [1.0, 2, 3, 4, 5]
    sharp, coarse = significance.interval(values), significance.interval(values, 0.5)
    assert (coarse.mean, coarse.pairs) == (sharp.mean, sharp.pairs)
    assert (sharp.low - coarse.low, coarse.high - sharp.high) == pytest.approx((0.5, 0.5))
    assert coarse.p == pytest.approx(significance.interval([0.5, 1.5, 2.5, 3.5, 4.5]).p, rel=1e-12)
    # A mean within what the grid hides is no evidence, even of equal values.
    assert significance.interval([0.5] * 5, 0.6)[1:4] == pytest.approx((-0.1, 1.1, 1.0))
    assert significance.interval([0.5] * 5, 0.4).p == 0


def test_images_without_an_error_leave_students_interval():
    values = [0.01, 0.02, 0.03, 0.015, 0.02]
    assert significance.interval_over_images(values, 0.0, 100) == pytest.approx(
        significance.interval(values), rel=1e-9
    )


def test_the_interval_over_images_is_welchs():
    """As of two samples of which one is the seeds, and the other images with their mean taken."""
    rng = np.random.default_rng(0)
    seeds, images = rng.normal(0.02, 0.004, 6), rng.normal(0, 0.3, 4000)
    images -= images.mean()
    expected = stats.ttest_ind(seeds, images, equal_var=False)
    error = images.std(ddof=1) / np.sqrt(len(images))
    found = significance.interval_over_images(seeds, error, len(images))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    ends = expected.confidence_interval(0.95)
    assert found[1:3] == pytest.approx((ends.low, ends.high), rel=1e-9)
    assert (found.mean, found.pairs) == (pytest.approx(seeds.mean()), 6)


@pytest.mark.parametrize("rest", [0.0, 0.4])
def test_seeds_and_images_are_covered_at_the_level(rest):
    """Whatever a seed and an image have in common; 2.1 % are three deviations of the share."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(1000):
        d = 0.01 * rng.standard_normal((5, 1)) + 0.2 * rng.standard_normal(400)
        d = d + rest * rng.standard_normal((5, 400))
        error = significance.error_of_images(d)
        found = significance.interval_over_images(d.mean(axis=1), error, 400)
        covered += found.low < 0 < found.high
    assert covered / 1000 == pytest.approx(0.95, abs=0.021)


def test_the_error_of_images_leaves_out_what_a_seed_and_an_image_share():
    rng = np.random.default_rng(2)
    of_images, of_seeds = rng.standard_normal(5000), rng.standard_normal((6, 1))
    alone = of_images.std(ddof=1) / np.sqrt(5000)
    assert significance.error_of_images(of_images + of_seeds) == pytest.approx(alone, rel=1e-9)
    mixed = of_images + of_seeds + 3 * rng.standard_normal((6, 5000))
    # Its square is found to some 4 %: the root of 2 / 5000, of a variance 2.5 times as large.
    assert significance.error_of_images(mixed) == pytest.approx(alone, rel=0.08)
    assert significance.error_of_images(of_images[None]) == pytest.approx(alone, rel=1e-12)
    assert significance.error_of_images(np.array([[1.0, -1], [-1, 1]])) == 0
    assert np.isnan(significance.error_of_images(np.ones((3, 1))))


def test_few_images_have_no_interval():
    found = significance.interval_over_images([0.5] * 5, np.nan, significance.IMAGES - 1)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.verdict() == "not resolved"


def test_one_seed_has_no_interval_over_images():
    found = significance.interval_over_images([0.3], 0.1, 100)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.verdict() == "not resolved"


@pytest.mark.parametrize("error", [-0.1, np.nan, np.inf])
def test_errors_over_images_are_numbers(error):
    with pytest.raises(ValueError, match="error must be"):
        significance.interval_over_images([0.1, 0.2], error, 100)


@pytest.mark.parametrize("values", [[], [0.3]])
def test_fewer_than_two_pairs_say_nothing(values):
    found = significance.interval(values)
    assert found.pairs == len(values)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.verdict() == "not resolved"


@pytest.mark.parametrize(
    ("low", "high", "seeds", "verdict"),
    [
        (0.001, 0.02, 5, "reproduced"),
        (0.001, 0.02, 4, "not resolved"),
        (0.0, 0.02, 5, "not resolved"),
        (-0.01, 0.02, 50, "not resolved"),
        (-0.02, 0.0, 5, "not resolved"),
        (-0.02, -0.001, 5, "not reproduced"),
        (-0.02, -0.001, 4, "not resolved"),
    ],
)
def test_verdict_of_an_interval(low, high, seeds, verdict):
    found = Interval((low + high) / 2, low, high, 0.01, seeds)
    assert found.verdict() == verdict
    assert found.verdict(0.049) == verdict
    assert found.verdict(0.051) == "not resolved"  # an adjusted p-value can only take away


def test_differences_are_of_equal_seeds():
    first = pd.DataFrame({"seed": [3, 1, 2], "test_accuracy": [0.3, 0.1, np.nan]})
    second = pd.DataFrame({"seed": [1, 2, 3, 4], "test_accuracy": [0.5, 0.5, 0.1, 0.9]})
    found = significance.differences(first, second)
    assert sorted(found) == pytest.approx([-0.4, 0.2])


def closed_bonferroni(p) -> list[float]:
    """The p-values of all tests that contain a hypothesis, Bonferroni's each; the largest."""
    m = len(p)
    sets = [s for size in range(1, m + 1) for s in combinations(range(m), size)]
    return [max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(m)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, None, "a"])
def test_an_interval_of_what_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match="values must"):
        significance.interval([0.1, bad, 0.2])


@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_holm_is_the_closure_of_bonferroni(m):
    for seed in range(20):
        p = np.random.default_rng(seed).random(m) ** 3
        np.testing.assert_allclose(significance.holm(p), closed_bonferroni(p), rtol=1e-12)


def test_slopes_are_numpys():
    rng = np.random.default_rng(0)
    x, values = rng.random(5), pd.DataFrame(rng.random((5, 3)))
    np.testing.assert_allclose(significance.slopes(x, values), np.polyfit(x, values, 1)[0])
    values.loc[2, 1] = np.nan
    np.testing.assert_allclose(
        significance.slopes(x, values), np.polyfit(x, values[[0, 2]].to_numpy(), 1)[0]
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.5, 0.9, "reproduced"),
        (-0.5, 0.9, "not resolved"),
        (0.5, 1.5, "not resolved"),
        (1.1, 1.5, "not reproduced"),
        (-0.5, -0.1, "not reproduced"),
    ],
)
def test_interval_is_between_bounds_where_all_of_it_is(low, high, verdict):
    found = Interval((low + high) / 2, low, high, 0.01, significance.SEEDS)
    assert found.between(0, 1) == verdict
    assert found._replace(pairs=significance.SEEDS - 1).between(0, 1) == "not resolved"


def test_who_asks_may_need_fewer_pairs():
    found = significance.interval([0.9, 1.0, 1.1], fewest=3)
    assert (found.verdict(), found.between(0.5, 1.5)) == ("reproduced", "reproduced")
    assert found._replace(fewest=4).verdict() == "not resolved"
    assert found._replace(fewest=4).between(0.5, 1.5) == "not resolved"
    assert significance.interval([0.9, 1.0, 1.1]).verdict() == "not resolved"
    assert significance.interval([0.9], fewest=1).verdict() == "not resolved"  # no interval


def test_one_bound_is_enough():
    found = Interval(0.7, 0.5, 0.9, 0.01, significance.SEEDS)
    assert [found.between(low=0.4), found.between(high=0.4)] == ["reproduced", "not reproduced"]


def test_difference_of_accuracies_in_words():
    found = Interval(0.012, -0.003, 0.027, 0.1, 5)
    assert found.points == "+1.2 points [-0.3, +2.7], 5 paired seeds"
    assert found._replace(pairs=1).points == "+1.2 points, no interval"
