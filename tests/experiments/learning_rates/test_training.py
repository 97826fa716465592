"""Trainings at several learning rates: their rows, and when test images are looked at."""

import pytest
from small_images import features

from convexbn.experiments.learning_rates import training

SETTINGS = {
    **{"depth": 8, "width": 2, "batch_size": 8, "epochs": 2, "momentum": 0.9},
    **{"weight_decay": 1e-4, "learning_rates": [0.05, 1e20], "schedule": "cosine"},
}


@pytest.fixture(scope="module")
def table():
    return training.measure(features(), SETTINGS, seed=0)


def test_both_networks_are_trained_at_each_rate(table):
    assert list(table.columns) == training.TRAINING
    stable = table[table["learning_rate"] == 0.05]
    assert stable[["normalization", "epoch"]].to_numpy().tolist() == [
        *(["bn", 0], ["bn", 2]),
        *(["plain", 0], ["plain", 2]),
    ]
    assert stable["validation_accuracy"].between(0, 1).all()
    assert not stable["diverged"].any()


def test_test_images_are_looked_at_once_and_not_where_it_diverged(table):
    stable = table[table["learning_rate"] == 0.05]
    assert stable["test_accuracy"].notna().tolist() == [False, True] * 2
    diverged = table[table["diverged"]]
    assert "plain" in set(diverged["normalization"])
    assert diverged["test_accuracy"].isna().all()


def test_the_same_seed_gives_the_same_numbers(table):
    again = training.measure(features(), SETTINGS, seed=0)
    assert again.drop(columns="seconds").equals(table.drop(columns="seconds"))
