"""Poisoned data: the prediction is the first-order term of the rise."""

import numpy as np
import pytest

from convexbn.experiments.convex_layers.poisoning import COLUMNS, measure

SETTINGS = {"tolerance": 1e-9, "seeds": 2, "points": 12, "radius": 0.02}


@pytest.fixture(scope="module")
def table():
    return measure(SETTINGS, seed=5)


def test_a_row_per_seed_and_point(table):
    assert list(table.columns) == COLUMNS
    assert table.groupby("seed")["point"].apply(list).to_dict() == {
        5: [*range(12)],
        6: [*range(12)],
    }
    assert (table.groupby(["seed", "label"]).size() == 6).all()
    one = table[table["seed"] == 5]
    predicted = 0.02 * one[["gradient1", "gradient2"]].abs().to_numpy().sum()
    np.testing.assert_allclose(one["predicted"], predicted, rtol=1e-12)


def test_what_the_prediction_misses_falls_with_the_radius(table):
    """It is of second order: half the radius, half the relative error; to a third order."""
    ends = []
    for radius in (0.02, 0.01):
        first = measure(SETTINGS | {"radius": radius}, seed=5).groupby("seed").first()
        ends.append(np.abs(first["realised"] / first["predicted"] - 1))
    np.testing.assert_allclose(ends[1] / ends[0], 0.5, rtol=0.1)


def test_both_lines_part_the_classes(table):
    """Most points of class 1 are where a^T x + b > 0, by either fit."""
    for prefix in ("", "test_"):
        z = sum(table[f"{prefix}a{i}"] * table[f"x{i}"] for i in (1, 2)) + table[f"{prefix}b"]
        assert ((z > 0) == (table["label"] == 1)).mean() > 0.6
