"""Verdicts of the statements on the theorems, at their boundaries."""

import numpy as np
import pandas as pd
import pytest

from convexbn.experiments.theory.statements import exactness
from convexbn.reporting import claims

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
    return exactness(**tables).set_index("id")["verdict"].to_dict()


def test_theorems_hold_at_the_boundary():
    table = exactness(**THEORY)
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
    judged = exactness(**theory_with("theorems", 0, certified=False)).set_index("id")
    assert set(judged.loc[["E1a", "E1b", "E1c"], "verdict"]) == {"not resolved"}
    assert judged.loc["E1a", "measured"].endswith("1 row(s) not certified")
    assert judged.loc["E1f", "verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("table", "rows", "name"),
    [
        ("theorems", [CLOSED], "E1d"),
        ("theorems", [THEOREM], "E1e"),
        ("counting", [], "E1f"),
    ],
)
def test_nothing_is_said_of_what_was_not_measured(table, rows, name):
    found = theory_verdicts(THEORY | {table: pd.DataFrame(rows, columns=THEORY[table].columns)})
    assert found.pop(name) == "not run"
    assert set(found.values()) == {"reproduced"}


def test_without_theory_there_are_no_statements_on_it():
    assert exactness().empty
    assert list(exactness().columns) == claims.COLUMNS


def test_measured_words_name_the_worst():
    judged = exactness(**theory_with("theorems", 1, relative_difference=1e-4)).set_index("id")
    assert judged.loc["E1a", "measured"] == "1.0e-04 at most (closed), 2 programs"
    assert judged.loc["E1c", "measured"] == "relative excess 1.0e-03 at most (fc), 2 problems"
    assert judged.loc["E1f", "measured"] == "2 of 2 equal, up to 18 arrangements"
