"""Verdicts on the biases of SGD and on weight rescaling, from made-up tables."""

import itertools

import numpy as np
import pandas as pd
import pytest

from convexbn.experiments.rescaling import measure
from convexbn.experiments.rescaling.settings import DECAY, METHODS, RESCALING
from convexbn.experiments.rescaling.statements import rescaling
from convexbn.reporting import claims

CIFAR = {"cifar10": {"source": "cifar10", "n": 4000}, "digits": {"source": "digits", "n": 100}}


def identities(slope=1.0, error=1e-12, falls=0, beside=1e-13, seeds=5, noise=0.01) -> pd.DataFrame:
    grid = itertools.product(range(seeds), (1, 2), (0.05, 0.1, 0.2), (0.0, 0.1), (0, 10))
    keys = ["seed", "layer", "learning_rate", "weight_decay", "step"]
    table = pd.DataFrame(grid, columns=keys)
    growth = table["learning_rate"] ** (slope + noise * (table["seed"] - (seeds - 1) / 2))
    table["growth"] = np.where(table["step"] > 0, growth * table["layer"], 0)
    has_decay = table["weight_decay"] > 0
    table = table.assign(growth_error=error, falls=falls, beside=0.9, beside_error=beside)
    table.loc[has_decay, ["growth_error", "falls"]] = np.nan
    table.loc[table["layer"] == 2, ["beside", "beside_error"]] = np.nan
    return table.assign(dataset="cifar10").reindex(columns=measure.IDENTITIES)


def runs(
    gain=0.0, wider=0.0, change=0.0, seeds=5, noise=0.001, dataset="cifar10", **changes
) -> pd.DataFrame:
    """Weight rescaling is `gain` more accurate than weight decay, its spread `wider`.

    Dropping a part changes accuracies by `change`; the seeds differ by `noise`.
    """
    rates = (0.05, 0.1, 0.2)
    table = pd.DataFrame(
        itertools.product(METHODS, rates, range(seeds)), columns=["method", "learning_rate", "seed"]
    )
    is_wrs, place = table["method"] == RESCALING, table["learning_rate"].map(rates.index)
    deviation = noise * (table["seed"] - (seeds - 1) / 2)
    accuracy = 0.5 + is_wrs * (gain + deviation) - (0.02 + is_wrs * wider) / 2 * place
    return table.assign(
        weight_decay=np.where(table["method"] == DECAY, 0.01, 0.0),
        epoch=5,
        diverged=False,
        beside=0.3,
        validation_accuracy=accuracy,
        test_accuracy=accuracy,
        spanned_accuracy=accuracy + change + deviation,
        dataset=dataset,
        run="dense",
        **changes,
    )


def table_of(**tables) -> pd.DataFrame:
    return rescaling(CIFAR, **tables).set_index("id")


@pytest.mark.parametrize(
    ("changes", "claim", "verdict"),
    [
        ({}, "W1a", "reproduced"),
        ({"error": 2e-6}, "W1a", "not reproduced"),
        ({"error": np.nan}, "W1a", "not reproduced"),
        ({"falls": 1}, "W1a", "not reproduced"),
        ({}, "W1b", "reproduced"),
        ({"slope": 0.7}, "W1b", "not reproduced"),
        ({"slope": 1.7}, "W1b", "not reproduced"),
        ({"slope": 0.8}, "W1b", "not resolved"),
        ({"seeds": 4}, "W1b", "not resolved"),
        ({"seeds": 1}, "W1b", "not resolved"),
        ({}, "W2", "reproduced"),
        ({"beside": 2e-6}, "W2", "not reproduced"),
    ],
)
def test_identities(changes, claim, verdict):
    table = table_of(rescaling_identities=identities(**changes))
    assert list(table.index) == ["W1a", "W1b", "W2"]
    assert table.loc[claim, "verdict"] == verdict


def test_one_learning_rate_has_no_slope():
    table = identities()
    table = table[table["learning_rate"] == 0.1]
    assert table_of(rescaling_identities=table).loc["W1b", "verdict"] == "not run"


@pytest.mark.parametrize(
    ("changes", "claim", "verdict"),
    [
        ({}, "W3a", "reproduced"),
        ({"gain": -0.010}, "W3a", "reproduced"),
        ({"gain": -0.015}, "W3a", "not resolved"),
        ({"gain": -0.020}, "W3a", "not reproduced"),
        ({"seeds": 4}, "W3a", "not resolved"),
        ({"seeds": 1}, "W3a", "not resolved"),
        ({}, "W3b", "reproduced"),
        ({"wider": 0.02}, "W3b", "not reproduced"),
        ({"seeds": 4}, "W3b", "not resolved"),
        ({}, "W4", "reproduced"),
        ({"change": -0.010}, "W4", "not reproduced"),
        ({"change": -0.005}, "W4", "not resolved"),
        ({"change": 0.02}, "W4", "reproduced"),
        ({"seeds": 4}, "W4", "not resolved"),
    ],
)
def test_accuracies(changes, claim, verdict):
    assert table_of(rescaling_dense=runs(**changes)).loc[claim, "verdict"] == verdict


def test_one_method_that_loses_is_enough():
    table = runs()
    table.loc[table["method"] == RESCALING, "spanned_accuracy"] -= 0.02
    assert table_of(rescaling_dense=table).loc["W4", "verdict"] == "not reproduced"


def test_a_training_that_diverged_resolves_nothing_on_the_spread():
    table = runs()
    failed = (table["method"] == RESCALING) & (table["learning_rate"] == 0.2)
    table.loc[failed, ["diverged", "test_accuracy"]] = [True, np.nan]
    found = table_of(rescaling_dense=table)["verdict"]
    assert (found["W3a"], found["W3b"]) == ("reproduced", "not resolved")
    found = table_of(rescaling_dense=runs().assign(diverged=True))["verdict"]
    assert set(found) == {"not resolved"}


def test_settings_are_named_and_ends_of_a_grid_said():
    words = table_of(rescaling_dense=runs()).loc["W3a", "measured"]
    assert words.startswith("dense: +0.0 points [-0.2, +0.2], 5 paired seeds: 50.0 % ")
    assert "(learning rate 0.05, the smallest tried)" in words
    assert "(learning rate 0.05, the smallest tried; weight decay 0.01)" in words


def test_accuracies_on_other_data_are_listed_and_not_judged():
    table = table_of(rescaling_dense=runs(dataset="digits"))
    assert set(table["verdict"]) == {"not run"}
    assert table["measured"].str.contains("here: dense: ").all()


def test_a_network_without_such_a_part_has_no_statement_on_it():
    table = rescaling(CIFAR, rescaling_vgg=runs().assign(spanned_accuracy=np.nan))
    assert list(table["id"]) == ["W3a", "W3b"]
    assert list(table.columns) == claims.COLUMNS
    assert not len(rescaling(CIFAR))
