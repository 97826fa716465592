"""Each theorem holds, at sizes that take no time."""

import instances as gated_problems
import pytest
from theory_cases import COMMON, PROBLEMS, SAME, TOLERANCE, TRAINED, formula

from convexbn.experiments.theory import data
from convexbn.experiments.theory.problems import make
from convexbn.experiments.theory.theorems import theorems
from convexbn.networks.closed_form import closed_form


@pytest.fixture(scope="module")
def table():
    """Every theorem at a small size."""
    width = {name: 3 if "gates" in entry else 20 for name, entry in PROBLEMS.items()}
    entries = {name: entry | {"width": width[name]} for name, entry in PROBLEMS.items()}
    return theorems(entries, COMMON, seed=5).set_index("id")


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_theorem_holds(table, name):
    row = table.loc[name]
    assert row["certified"]
    assert row["relative_gap"] <= TOLERANCE
    assert row["violation"] <= 1e-13  # blocks on the boundary of a cone, up to rounding
    # The network and the program are computed apart, from the same blocks.
    assert row["relative_difference"] <= 1e-8
    assert row["round_trip_difference"] <= 1e-8
    # Strong duality, up to the gap; and 400 steps of three starts come near.
    assert row["relative_excess"] >= -SAME
    assert row["relative_excess"] <= 0.02


def test_the_gated_optimum_is_that_of_another_solver(table):
    problem = make(PROBLEMS["group"], seed=5)
    optimum, _ = gated_problems.interior_point(problem.U, problem.D, problem.Y, problem.beta)
    assert table.loc["group", "convex_optimum"] == pytest.approx(optimum, rel=SAME)


def test_the_closed_forms_are_the_formula(table):
    y = data.regression(5, 6, seed=5)[1]
    for name in ("closed", "deep"):
        assert table.loc[name, "convex_optimum"] == pytest.approx(formula(y, 0.1), rel=1e-12)
        assert table.loc[name, "P"] == 2**5
    columns = data.one_hot(5, 6, 2, seed=5)[1].T
    total = sum(formula(column, 0.1) for column in columns)
    assert table.loc["one_hot", "convex_optimum"] == pytest.approx(total, rel=1e-12)


def test_a_wrong_formula_is_found_out(monkeypatch):
    def wrong(*arguments):
        closed = closed_form(*arguments)
        return closed._replace(objective=1.001 * closed.objective)

    monkeypatch.setattr("convexbn.experiments.theory.theorems.closed_form", wrong)
    quick = COMMON | {"descent": TRAINED | {"iterations": 1}}
    (row,) = theorems({"deep": PROBLEMS["deep"] | {"width": 20}}, quick, seed=5).itertuples()
    assert not row.certified
    assert row.relative_gap == pytest.approx(1e-3, rel=1e-2)


def test_sizes_in_the_table_are_those_of_the_problems(table):
    # 3 patches of 4 samples are 12 points in the plane.
    assert table.loc["cnn", ["n", "d", "K", "P"]].tolist() == [4, 1, 3, 24]
    assert table.loc["group", ["n", "d", "C", "P"]].tolist() == [12, 2, 2, 3]
    assert table.loc["deep", "depth"] == 3
