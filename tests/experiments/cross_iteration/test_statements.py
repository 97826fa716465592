"""Verdicts on cross-iteration BN, from made-up tables."""

import crossed_rows
import pytest

from convexbn.experiments.cross_iteration.settings import CBN
from convexbn.experiments.cross_iteration.statements import cross_iteration
from convexbn.reporting import claims

DATASETS = {"cifar10": {"source": "cifar10", "n": 4000}, "digits": {"source": "digits", "n": 100}}


def judged(statistics=None, accuracies=None, dataset="cifar10"):
    tables = [
        crossed_rows.statistics() if statistics is None else statistics,
        crossed_rows.accuracies() if accuracies is None else accuracies,
    ]
    table = cross_iteration(*(t.assign(dataset=dataset, run="a") for t in tables), DATASETS)
    assert list(table.columns) == claims.COLUMNS
    return table.set_index("id")


def test_every_statement_has_a_row():
    assert list(judged().index) == ["X1", "X2", "X3", "X4a", "X4b", "X4c"]


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({"compensated": 0.5}, "reproduced"),
        ({"compensated": 0.999}, "reproduced"),  # paired: the seeds' noise is that of both
        ({"compensated": 1.1}, "not reproduced"),
        ({"compensated": 0.5, "seeds": 4}, "not resolved"),
    ],
)
def test_old_statistics_are_judged_in_pairs_in_every_case(settings, verdict):
    assert judged(crossed_rows.statistics(**settings))["verdict"]["X1"] == verdict


def test_one_case_that_is_worse_refutes_all():
    table = crossed_rows.statistics()
    is_worse = (table["layer"] == 3) & (table["x"] == 4) & (table["method"] == "compensated")
    table.loc[is_worse & (table["against"] == "age"), "error"] *= 5
    found = judged(table).loc["X1"]
    assert found["verdict"] == "not reproduced"
    assert "smaller in 30 of 32 cases" in found["measured"]


def test_the_first_layer_is_exact_or_not():
    assert judged()["verdict"]["X2"] == "reproduced"
    table = judged(crossed_rows.statistics(first=2e-5))
    assert table["verdict"]["X2"] == "not reproduced"
    assert "largest error 2.0e-05" in table["measured"]["X2"]


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({"window": 2.0}, "reproduced"),
        ({"window": 1.2}, "not reproduced"),
        ({"window": 1.5}, "not resolved"),
        ({"window": 3.0, "seeds": 4}, "not resolved"),
    ],
)
def test_the_window_is_judged_by_how_much_nearer_it_comes(settings, verdict):
    assert judged(crossed_rows.statistics(**settings))["verdict"]["X3"] == verdict


def test_a_window_that_was_not_measured_is_not_judged():
    table = crossed_rows.statistics()
    table = table[(table["against"] == "age") | (table["x"] < 8)]
    assert judged(table).loc["X3", ["measured", "verdict"]].tolist() == [
        "a: no window of 8 was measured",
        "not run",
    ]


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({"gain": 0.05}, "reproduced"),
        ({"gain": -0.05}, "not reproduced"),
        ({"gain": 0.0}, "not resolved"),
        ({"gain": 0.05, "seeds": 4}, "not resolved"),
    ],
)
def test_accuracies_are_judged_on_paired_intervals(settings, verdict):
    table = judged(accuracies=crossed_rows.accuracies(**settings))
    assert table.loc[["X4a", "X4b", "X4c"], "verdict"].tolist() == [verdict] * 3


def test_differences_are_in_points_with_what_they_are_of():
    table = judged(accuracies=crossed_rows.accuracies(gain=0.05))
    assert "batches of 2: +5.0 points" in table["measured"]["X4a"]
    assert "47.0 against 42.0 %" in table["measured"]["X4a"]
    assert "points from 32 to 2: BN 10.0, cross-iteration BN 5.0" in table["measured"]["X4b"]
    assert "+2.5 points" in table["measured"]["X4c"]


@pytest.mark.parametrize("left", [float("nan"), 0.1])
def test_networks_that_are_left_of_some_that_diverged_resolve_nothing(left):
    table = crossed_rows.accuracies(gain=0.05, seeds=8)  # seven pairs are left
    lost = (table["method"] == CBN) & (table["seed"] == 0) & (table["batch_size"] == 2)
    table.loc[lost, ["test_accuracy", "diverged"]] = [left, True]
    found = judged(accuracies=table)
    assert "(1 diverged)" in found.loc["X4a", "measured"]
    assert set(found.loc[["X4a", "X4b", "X4c"], "verdict"]) == {"not resolved"}


def test_four_seeds_do_not_refute_a_smaller_loss():
    table = crossed_rows.accuracies(gain=0.05, seeds=4)
    is_large = (table["method"] == CBN) & (table["batch_size"] == 32)
    table.loc[is_large, "test_accuracy"] -= 0.04
    assert judged(accuracies=table).loc["X4b", "verdict"] == "not resolved"


def test_accuracies_on_other_data_are_listed_and_not_judged():
    table = judged(dataset="digits")
    assert table["verdict"].tolist()[:3] == ["reproduced"] * 3
    assert set(table["verdict"][3:]) == {"not run"}
    assert "here: a: batches of 2" in table["measured"]["X4a"]


def test_less_to_lose_is_no_success():
    table = crossed_rows.accuracies(gain=0.05)
    is_large = (table["method"] == CBN) & (table["batch_size"] == 32)
    table.loc[is_large, "test_accuracy"] -= 0.04
    found = judged(accuracies=table).loc["X4b"]
    assert found["verdict"] == "not reproduced"
    assert "+9.0 points" in found["measured"]
    assert "difference at 32: -4.0 points" in found["measured"]


def test_one_batch_size_has_no_loss():
    rows = crossed_rows.accuracies()
    table = judged(accuracies=rows[rows["batch_size"] == 2])
    assert table["verdict"]["X4b"] == "not run"


def test_without_runs_there_are_no_claims():
    tables = crossed_rows.statistics(), crossed_rows.accuracies()
    none = (table.assign(dataset="", run="")[:0] for table in tables)
    assert cross_iteration(*none, DATASETS).empty
