"""Comparisons within bounds of likeness, by hand."""

import numpy as np
import pandas as pd
import pytest

from convexbn.experiments.headline.likeness.comparisons import (
    ALL,
    COLUMNS,
    EDGES,
    WITHOUT_LIKE,
    interval,
    part,
    table,
)
from convexbn.reporting import significance
from convexbn.reporting.methods import COMPARISONS

ABOVE = COMPARISONS[0]  # truncated - SGD
LIKENESS = np.array([-1.0, 0.5, 0.55, 0.9, 0.95, 1.0])


def bits(*rows) -> dict[int, np.ndarray]:
    return {seed: np.array(list(row)) == "1" for seed, row in enumerate(rows)}


FOUND = {"convex-truncated": bits("110111", "101111"), "SGD": bits("110100", "110000", "000000")}


def test_bounds_take_each_image_once():
    rows = table("d", LIKENESS, FOUND, {})
    assert list(rows.columns) == COLUMNS
    counts = {bounds: part(rows, ABOVE, bounds)["images"].max() for bounds in (ALL, WITHOUT_LIKE)}
    assert counts == {ALL: 6, WITHOUT_LIKE: 4}
    bins = rows[rows["low"].isin(EDGES[1:-1]) | rows["high"].eq(0.5)]
    found = bins.groupby(["low", "high"])["images"].first().to_dict()
    # Two at or below .5, .55, .9, and two above it; no bin without an image.
    assert found == {(-1, 0.5): 2, (0.5, 0.6): 1, (0.8, 0.9): 1, (0.9, 1): 2}


def test_accuracies_are_of_the_seeds_that_both_have_and_errors_over_images():
    rows = part(table("d", LIKENESS, FOUND, {}), ABOVE, ALL)
    assert rows["seed"].tolist() == [0, 1]
    assert rows["better_accuracy"].tolist() == pytest.approx([5 / 6, 5 / 6])
    assert rows["worse_accuracy"].tolist() == pytest.approx([3 / 6, 2 / 6])
    # What the first seeds have right less each other, and the second.
    each = np.array([[0, 0, 0, 0, 1, 1], [0, -1, 1, 1, 1, 1]])
    expected = significance.error_of_images(each)
    assert expected > 0
    assert rows["error"].tolist() == pytest.approx([expected, expected], rel=1e-12)


def test_a_method_that_is_missing_has_no_row():
    rows = table("d", LIKENESS, FOUND, {})
    assert len(rows) > 0
    assert (rows["better"].eq(ABOVE.better) & rows["worse"].eq(ABOVE.worse)).all()


def test_without_two_methods_and_a_seed_of_both_there_is_no_table():
    apart = FOUND | {"SGD": {7: FOUND["SGD"][0]}}
    for found in (apart, {"SGD": FOUND["SGD"]}):
        with pytest.raises(ValueError, match=r"to compare on 'd', .* found .*SGD"):
            table("d", LIKENESS, found, {})


def test_a_solve_without_certificate_marks_its_pairs():
    assert table("d", LIKENESS, FOUND, {"convex-truncated": True})["certified"].all()
    assert not table("d", LIKENESS, FOUND, {"convex-truncated": False})["certified"].any()


def test_the_interval_of_a_data_set_is_over_seeds_and_images():
    rows = part(table("d", LIKENESS, FOUND, {}), ABOVE, ALL)
    rows = rows.assign(images=600)
    differences = [2 / 6, 3 / 6]
    expected = significance.interval_over_images(differences, rows["error"].iloc[0], 600)
    assert interval([rows]) == pytest.approx(expected, rel=1e-12)
    assert interval([rows]).fewest == significance.SEEDS


def test_the_interval_of_draws_has_the_mean_of_their_errors():
    """The test images are the same: errors do not average out."""
    parts = [
        pd.DataFrame(
            {
                "better_accuracy": [0.5 + gain, 0.5],
                "worse_accuracy": [0.4, 0.4],
                "error": error,
                "images": 900,
            }
        )
        for gain, error in ((0.02, 0.002), (0.04, 0.004), (0.03, 0.006))
    ]
    found = interval(parts)
    expected = significance.interval_over_images([0.11, 0.12, 0.115], 0.004, 900, 3)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_single_image_has_no_interval():
    found = interval([part(table("d", LIKENESS[:1], _first(), {}), ABOVE, ALL)])
    assert (found.mean, found.pairs) == (0, 2)
    assert np.isnan([found.low, found.high, found.p]).all()


def _first() -> dict:
    return {
        method: {seed: values[:1] for seed, values in seeds.items()}
        for method, seeds in FOUND.items()
    }
