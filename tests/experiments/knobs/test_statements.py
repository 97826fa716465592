"""The verdicts on the knobs, on made-up accuracies."""

import pandas as pd
import pytest
from knob_rows import networks, runs

from convexbn.experiments.knobs.settings import ALL, BN, CROSS_ITERATION, LAST, RESCALED, Knob
from convexbn.experiments.knobs.statements import knobs
from convexbn.reporting.claims import COLUMNS

CIFAR = {"images": {"source": "cifar10", "n": 4000}}


def verdicts(table, program=None, datasets=CIFAR):
    found = knobs(table, runs() if program is None else program, datasets)
    assert list(found.columns) == COLUMNS
    return found.set_index("id")["verdict"].to_dict()


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(-0.01, "reproduced"), (0.0, "not resolved"), (0.02, "not reproduced")],
)
def test_one_knob_decides_whether_the_program_is_ahead_of_all(gap, verdict):
    assert verdicts(networks({Knob(BN, 8, LAST): gap}))["K1"] == verdict


def test_four_seeds_resolve_nothing():
    assert set(verdicts(networks(seeds=4)).values()) == {"not resolved"}


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(-0.01, "reproduced"), (-0.02, "not resolved"), (-0.05, "not reproduced")],
)
def test_cross_iteration_is_compared_at_the_smallest_batch(gap, verdict):
    kind = Knob(CROSS_ITERATION, 8, LAST)
    table = networks({kind: gap})
    is_kind = (table["normalization"] == CROSS_ITERATION) & (table["batch_size"] == 8)
    table.loc[is_kind, "test_accuracy"] += 0.0005 * (table["seed"] - 2)
    assert verdicts(table)["K2"] == verdict


def test_a_batch_of_one_normalization_alone_is_passed_over():
    """As that of the headline is, if it is smaller than all that both have tried."""
    table = networks({Knob(CROSS_ITERATION, 250, LAST): -0.01})
    alone = (table["normalization"] == CROSS_ITERATION) & (table["batch_size"] == 8)
    judged = knobs(table[~alone], runs(), CIFAR).set_index("id").loc["K2"]
    assert judged["verdict"] == "reproduced"
    assert "batch 250" in judged["measured"]


@pytest.mark.parametrize(("gap", "verdict"), [(-0.03, "reproduced"), (-0.04, "not reproduced")])
def test_rescaling_may_be_below_by_less_than_the_margin(gap, verdict):
    gaps = {Knob(BN, 250, RESCALED): gap, Knob(BN, 250, ALL): -0.02}
    assert verdicts(networks(gaps))["K3"] == verdict


def test_nothing_is_resolved_on_an_uncertified_program():
    assert verdicts(networks(), runs(certified=False))["K1"] == "not resolved"


def test_without_a_program_only_networks_are_compared():
    found = verdicts(networks(), runs(method="convex"))
    assert found["K1"] == "not run"
    assert found["K3"] == "reproduced"


def test_knob_that_always_diverged_is_not_compared():
    table = networks()
    lost = table["decay"] == RESCALED
    table.loc[lost, ["validation_accuracy", "test_accuracy"]] = float("nan")
    assert verdicts(table)["K3"] == "not run"
    found = knobs(table, runs(), CIFAR).set_index("id").loc["K1"]
    assert found["verdict"] == "not resolved"
    assert found["measured"].endswith("diverged at every learning rate: rescaled first layer")


def test_a_batch_at_which_both_diverged_is_not_passed_over():
    table = networks()
    table.loc[table["batch_size"] == 8, ["validation_accuracy", "test_accuracy"]] = float("nan")
    assert verdicts(table)["K2"] == "not run"


def test_nothing_is_resolved_where_every_network_diverged():
    lost = networks().assign(validation_accuracy=float("nan"), test_accuracy=float("nan"))
    assert verdicts(lost) == {"K1": "not resolved", "K2": "not run", "K3": "not run"}


def test_statement_is_about_cifar():
    digits = {"images": {"source": "digits", "n": 4000}}
    assert set(verdicts(networks(), datasets=digits).values()) == {"not run"}


def test_no_run_has_no_claims():
    assert knobs(pd.DataFrame(), runs(), CIFAR).empty
