"""Accuracies by batch size, on digits, and what does not change them."""

import numpy as np
import pytest

from convexbn.data.digits import read_digits
from convexbn.data.preprocessing import prepare
from convexbn.experiments.cross_iteration import measure
from convexbn.experiments.cross_iteration.settings import BN, METHODS

ENTRY = {
    **{"dataset": "digits", "depth": 8, "width": 2, "window": 3, "burn_in": 0.2},
    **{"learning_rate": 0.2, "accuracies": {"batch_sizes": [10, 20], "epochs": 1}},
}


@pytest.fixture(scope="module")
def features():
    options = {"train": 60, "validation": 40, "test": 50, "normalize": "none"}
    return vars(prepare(read_digits(), seed=0, **options))


def test_every_method_trains_at_every_batch_size(features):
    table = measure.accuracies(features, ENTRY, seed=3)
    assert list(table.columns) == measure.ACCURACIES
    assert table["method"].tolist() == list(METHODS) * 2
    assert set(table["seed"]) == {3}
    rates = table.groupby("batch_size")["learning_rate"].first()
    assert rates.tolist() == pytest.approx([0.2 * 10 / 32, 0.2 * 20 / 32])
    shares = table[["validation_accuracy", "test_accuracy", "running_accuracy"]]
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert table.groupby("batch_size")["train_loss"].nunique().min() == len(METHODS)


def test_a_window_of_one_and_a_burn_in_to_the_end_are_bn(features):
    entry = ENTRY | {"burn_in": 1.0}
    table = measure.accuracies(features, entry, seed=0).set_index(["batch_size", "method"])
    for size in (10, 20):
        losses = table["train_loss"][size]
        same = ["cross-iteration BN", "naive window", "batch renormalization"]
        assert np.allclose(losses[same], losses[BN], rtol=1e-4)  # rounding, over a few steps


def test_statistics_of_both_trainings_are_in_one_table(features):
    settings = {
        **{"batch_size": 4, "iterations": 8, "points": 1, "ages": [1], "windows": [1, 2]},
        "images": 20,
    }
    entry = {key: value for key, value in ENTRY.items() if key != "accuracies"}
    table = measure.statistics(features, entry | {"statistics": settings}, seed=1)
    assert list(table.columns) == measure.STATISTICS
    assert table.groupby("against")["x"].unique().map(list).to_dict() == {
        "age": [1],
        "window": [1, 2],
    }
    assert (table["error"] >= 0).all()
