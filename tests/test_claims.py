"""Verdicts of the headline claims, at their boundaries."""

import numpy as np
import pandas as pd
import pytest

from convexbn import claims, tables
from convexbn.theory.claims import exactness


def runs_of(sgd, full, truncated, train=1.0, certified=True) -> pd.DataFrame:
    """One setting per method, one test accuracy per seed."""
    rows = []
    for method, accuracies in (("SGD", sgd), ("convex", full), ("convex-truncated", truncated)):
        convex = method.startswith("convex")
        for seed, accuracy in enumerate(accuracies):
            rows.append(
                {
                    **{"dataset": "d", "run": method, "method": method, "seed": seed, "beta": 1.0},
                    **{"learning_rate": np.nan if convex else 0.1, "rank": 9 if convex else np.nan},
                    **{"train_accuracy": train, "validation_accuracy": 0.5, "objective": 1.0},
                    **{"test_accuracy": accuracy, "certified": certified if convex else np.nan},
                }
            )
    return pd.DataFrame(rows).reindex(columns=tables.RUNS)


def verdicts(runs, source="cifar10") -> dict:
    return claims.headline(runs, {"d": source}).set_index("id")["verdict"].to_dict()


@pytest.mark.parametrize(
    ("full", "verdict"), [(0.36, "reproduced"), (0.3601, "not reproduced"), (0.3, "reproduced")]
)
def test_four_points_between_sgd_and_full_rank(full, verdict):
    assert verdicts(runs_of([0.4] * 3, [full] * 3, [0.4] * 3))["E3a"] == verdict


@pytest.mark.parametrize(
    ("low", "high", "seeds", "verdict"),
    [
        (0.001, 0.02, 5, "reproduced"),
        (0.001, 0.02, 4, "not resolved"),
        (0.0, 0.02, 5, "not resolved"),
        (-0.01, 0.02, 50, "not resolved"),
        (-0.02, 0.0, 5, "not resolved"),
        (-0.02, -0.001, 5, "not reproduced"),
    ],
)
def test_verdict_of_an_interval(low, high, seeds, verdict):
    assert claims.interval_verdict(low, high, seeds) == verdict


def test_paired_interval_is_students():
    # Mean 3, standard error sqrt(2.5 / 5), and 2.776445 is the tabulated t quantile (.975, 4 df).
    low, high = claims.paired_interval(np.array([1.0, 2, 3, 4, 5]))
    assert (low, high) == pytest.approx((3 - 2.776445 * 0.5**0.5, 3 + 2.776445 * 0.5**0.5))


def test_improvement_is_paired_by_seed():
    # Seeds differ by far more than the methods do; only the pairs show the constant advantage.
    sgd = np.array([0.30, 0.35, 0.40, 0.45, 0.50])
    gain = np.array([0.010, 0.011, 0.009, 0.010, 0.012])
    runs = runs_of(sgd, sgd - 0.1, sgd + gain)
    assert verdicts(runs)["E3b"] == "reproduced"
    shuffled = runs.sample(frac=1, random_state=0)
    assert verdicts(shuffled)["E3b"] == "reproduced"
    assert verdicts(runs_of(sgd, sgd - 0.1, sgd - gain))["E3b"] == "not reproduced"


def test_four_seeds_resolve_nothing():
    sgd = np.array([0.30, 0.35, 0.40, 0.45])
    runs = runs_of(sgd, sgd - 0.1, sgd + np.array([0.010, 0.011, 0.009, 0.010]))
    assert verdicts(runs)["E3b"] == "not resolved"


def test_seeds_without_a_partner_are_no_pairs():
    sgd = np.array([0.30, 0.35, 0.40, 0.45])
    runs = runs_of(sgd, sgd - 0.1, [0.31, 0.361, 0.409, 0.46, 0.51])
    row = claims.headline(runs, {"d": "cifar10"}).set_index("id").loc["E3b"]
    assert "4 paired seeds" in row["measured"]
    assert row["verdict"] == "not resolved"


def test_a_single_seed_has_no_interval():
    row = (
        claims.headline(runs_of([0.4], [0.3], [0.5]), {"d": "cifar100"}).set_index("id").loc["E3b"]
    )
    assert row["verdict"] == "not resolved"
    assert "no interval" in row["measured"]


@pytest.mark.parametrize(
    ("train", "verdict"), [(0.999, "reproduced"), (0.9989, "not reproduced"), (1, "reproduced")]
)
def test_exact_fit(train, verdict):
    assert verdicts(runs_of([0.4] * 3, [0.3] * 3, [0.4] * 3, train=train))["E3c"] == verdict


def test_a_fit_is_exact_only_if_every_seed_is():
    runs = runs_of([0.4] * 3, [0.3] * 3, [0.4] * 3)
    runs.loc[(runs["method"] == "convex") & (runs["seed"] == 1), "train_accuracy"] = 0.99
    assert verdicts(runs)["E3c"] == "not reproduced"


def test_uncertified_solves_resolve_nothing():
    runs = runs_of([0.4] * 5, [0.3] * 5, [0.5] * 5, certified=False)
    table = claims.headline(runs, {"d": "cifar10"})
    assert set(table["verdict"]) == {"not resolved"}
    assert table["measured"].str.contains("not certified").all()


def test_measured_names_numbers_and_seeds():
    runs = runs_of([0.40, 0.42], [0.30, 0.32], [0.41, 0.45])
    measured = claims.headline(runs, {"d": "cifar10"}).set_index("id")["measured"]
    assert measured["E3a"] == "+10.0 points: SGD 41.0 % (2 seeds), full rank 31.0 % (2 seeds)"
    # Differences 1 and 3 points: mean 2, standard error 1, t quantile (.975, 1 df) 12.7.
    assert "+2.0 points, 95% interval -10.7 to +14.7, 2 paired seeds" in measured["E3b"]


def test_other_data_are_not_run():
    table = claims.headline(runs_of([0.4], [0.3], [0.5]), {"d": "digits"})
    assert list(table.columns) == claims.COLUMNS
    assert set(table["verdict"]) == {"not run"}
    assert table["measured"].str.contains("digits").all()


def test_a_missing_method_is_not_run_and_named():
    runs = runs_of([0.4] * 5, [], [0.5] * 5)
    table = claims.headline(runs, {"d": "cifar10"}).set_index("id")
    assert table["verdict"].to_dict() == {"E3a": "not run", "E3b": "reproduced", "E3c": "not run"}
    assert "convex" in table.loc["E3a", "measured"]


THEOREM = {
    **{"id": "relu", "program": "relu", "certified": True, "relative_difference": 1e-6},
    **{"round_trip_difference": 1e-6, "relative_excess": -1e-6, "relative_gap": 1e-6},
    "violation": 1e-6,
}
CLOSED = THEOREM | {"id": "closed", "program": "closed_form"}
TRIALS = [
    {"problem": "fc", "width": width, "trial": trial, "relative_excess": excess}
    for width, excesses in ((2, (0.0, 0.5)), (64, (1e-3, 0.2)))
    for trial, excess in enumerate(excesses)
]
CURVES = [
    {"depth": 3, "trial": trial, "iteration": iteration, "relative_excess": excess}
    for trial, excesses in enumerate(((2.0, 1e-3), (3.0, 0.1)))
    for iteration, excess in zip((0, 100), excesses, strict=True)
]
COUNTS = [
    {"rank": 1, "n": n, "kind": kind, "draws": draws, "arrangements": count}
    for n in (5, 9)
    for kind, draws, count in (
        ("enumerated", None, 2 * n),
        ("formula", None, 2 * n),
        ("sampled", 9, 1),
        ("sampled", 99, 2),
    )
]
THEORY = {
    "theorems": pd.DataFrame([THEOREM, CLOSED]),
    "duality": pd.DataFrame(TRIALS),
    "depth": pd.DataFrame(CURVES),
    "counting": pd.DataFrame(COUNTS),
}


def theory_with(table, row, **values) -> dict:
    changed = THEORY[table].copy()
    for name, value in values.items():
        changed.loc[row, name] = value
    return THEORY | {table: changed}


def theory_verdicts(tables) -> dict:
    return exactness(tables).set_index("id")["verdict"].to_dict()


def test_theorems_hold_at_the_boundary():
    table = exactness(THEORY)
    assert list(table.columns) == claims.COLUMNS
    assert set(table["verdict"]) == {"reproduced"}
    assert table["id"].tolist() == [f"E1{letter}" for letter in "abcdefg"]


@pytest.mark.parametrize(
    ("table", "row", "values", "refuted"),
    [
        ("theorems", 0, {"relative_difference": 1.1e-6}, "E1a"),
        ("theorems", 0, {"relative_difference": np.nan}, "E1a"),
        ("theorems", 1, {"relative_excess": -1.1e-6}, "E1b"),
        ("duality", 1, {"relative_excess": -1.1e-6}, "E1b"),
        ("depth", 1, {"relative_excess": -1.1e-6}, "E1b"),
        ("duality", 2, {"relative_excess": 1.1e-3}, "E1c"),
        ("depth", 1, {"relative_excess": 1.1e-3}, "E1c"),
        ("theorems", 0, {"relative_gap": 1.1e-6}, "E1d"),
        ("theorems", 0, {"violation": 1.1e-6}, "E1d"),
        ("theorems", 1, {"relative_gap": 1.1e-6}, "E1e"),
        ("counting", 0, {"arrangements": 9}, "E1f"),
        ("theorems", 0, {"round_trip_difference": 1.1e-6}, "E1g"),
    ],
)
def test_each_theorem_is_refuted_by_its_own_number(table, row, values, refuted):
    verdicts = theory_verdicts(theory_with(table, row, **values))
    assert verdicts == dict.fromkeys(verdicts, "reproduced") | {refuted: "not reproduced"}


def test_uncertified_optima_resolve_nothing():
    judged = exactness(theory_with("theorems", 0, certified=False)).set_index("id")
    assert set(judged.loc[["E1a", "E1b", "E1c"], "verdict"]) == {"not resolved"}
    assert judged.loc["E1a", "measured"].endswith("1 row(s) not certified")
    assert judged.loc["E1f", "verdict"] == "reproduced"


def test_without_theory_there_is_nothing_to_say_of_it():
    assert exactness({}).empty
    everything = pd.concat(
        [exactness({}), claims.headline(runs_of([0.4], [0.3], [0.5]), {"d": "x"})]
    )
    assert everything["id"].tolist() == ["E3a", "E3b", "E3c"]


def test_measured_words_name_the_worst():
    judged = exactness(theory_with("theorems", 1, relative_difference=1e-4)).set_index("id")
    assert judged.loc["E1a", "measured"] == "1.0e-04 at most (closed), 2 programs"
    assert judged.loc["E1c", "measured"] == "relative excess 1.0e-03 at most (fc), 2 problems"
    assert judged.loc["E1f", "measured"] == "2 of 2 equal, up to 18 arrangements"
