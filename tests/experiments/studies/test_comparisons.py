"""Differences of seed means over draws, by hand."""

import pandas as pd
import pytest
from claim_rows import rows_of, runs_of, table_of
from scipy import stats

from convexbn.experiments.studies.comparisons import over_draws, paired
from convexbn.reporting import significance
from convexbn.reporting.methods import COMPARISONS

ABOVE = COMPARISONS[0]  # truncated - SGD


def test_the_draw_is_the_unit_whatever_its_seeds_do():
    # Differences of -1, 3 and 4 points on draw 0, and of 1, 1, 4 and 6 on draw 1.
    few = runs_of([0.40, 0.40, 0.40], [0.3] * 3, [0.39, 0.43, 0.44])
    many = runs_of([0.50] * 4, [0.3] * 4, [0.51, 0.51, 0.54, 0.56])
    pairs, missing = paired({1: many, 0: few}, ABOVE)
    assert missing == ""
    assert list(pairs) == [0, 1]
    found = over_draws(pairs)
    # Means 2 and 3 points: 2.5, and the t quantile (.975, 1 df) 12.706 times half their distance.
    assert found[:3] == pytest.approx((0.025, 0.025 - 0.06353, 0.025 + 0.06353), abs=1e-5)
    assert found.pairs == 2


def test_the_interval_over_draws_is_scipys_of_the_means():
    gains = {0: 0.010, 1: 0.013, 2: 0.011}
    parts = {
        draw: runs_of([0.4, 0.41], [0.3] * 2, [0.4 + gain - 0.002, 0.41 + gain + 0.002])
        for draw, gain in gains.items()
    }
    found = over_draws(paired(parts, ABOVE)[0])
    expected = stats.ttest_1samp(list(gains.values()), 0)
    # Sums of a few accuracies in float64.
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found[1:3] == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert (found.pairs, found.fewest) == (3, significance.DRAWS)
    assert found.verdict() == "reproduced"


def test_only_seeds_that_both_have_count():
    runs = runs_of([0.40, 0.42, 0.90], [], [0.41, 0.43])
    ((better, worse),) = paired({0: runs}, ABOVE)[0].values()
    assert better["seed"].tolist() == worse["seed"].tolist() == [0, 1]


def test_a_draw_without_both_methods_is_named():
    whole = runs_of([0.4] * 2, [0.3] * 2, [0.4] * 2)
    pairs, missing = paired({0: whole, 3: whole[whole["method"] != "SGD"]}, ABOVE)
    assert pairs == {}
    assert missing == "on draw 3 no run of SGD, or only diverged ones"
    others = [row | {"seed": row["seed"] + 5} for row in rows_of("SGD", [0.4] * 2)]
    apart = pd.concat([whole[whole["method"] != "SGD"], table_of(others)])
    assert "on draw 0 no seed that convex-truncated and SGD" in paired({0: apart}, ABOVE)[1]
