"""The comparison of column generation with sampled gates, on a problem small enough to know."""

import numpy as np
import pytest

from convexbn import enumerate_arrangements, solve, whiten
from convexbn.experiments.benchmark import columns, figures

SETTINGS = {
    "n": 24,
    "rank": 2,
    "betas": [0.3, 0.1],
    "gates": [4, 12],
    "tolerance": 1e-6,
    "starts": 32,
}


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return {
        "X_train": rng.standard_normal((30, 5)),
        "Y_train": rng.choice([-1.0, 1.0], (30, 2)),
    }


@pytest.fixture(scope="module")
def table(features):
    return columns.compare(SETTINGS, features, {}, seed=0)


def test_column_generation_ends_at_the_optimum(table, features):
    last = table[table["last"]]
    assert list(table.columns) == columns.COLUMNS
    assert last["converged"].all()
    U, y = whiten(features["X_train"][:24], 2).U, features["Y_train"][:24, 0]
    for beta, rows in last.groupby("beta"):
        optimum = solve(U, enumerate_arrangements(U), y, beta, model="relu").certificate
        objective = rows.set_index("method")["objective"]
        # Both are within 1e-6 of their optima.
        assert objective["generated"] == pytest.approx(optimum.objective, rel=2e-6)
        assert (objective["sampled"] >= optimum.dual_objective).all()
        assert (rows["relative_excess"] >= 0).all()


def test_more_gates_and_more_rounds_bring_the_objective_down(table):
    for _, rows in table.groupby("share"):
        sampled = rows[rows["method"] == "sampled"]["objective"]
        assert sampled.iloc[1] <= sampled.iloc[0] * (1 + 1e-6)
        generated = rows[rows["method"] == "generated"]
        assert generated["objective"].iloc[-1] < generated["objective"].iloc[0]
        assert generated["seconds"].is_monotonic_increasing


def test_figure_has_a_row_per_weight_decay_and_marks_what_is_not_certified(table):
    figure = figures.columns(table)
    assert len(figure.axes) == 4
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "not certified" not in labels
    missed = table.assign(converged=table["converged"] & (table["gates"] != 12))
    labels = [text.get_text() for text in figures.columns(missed).legends[0].get_texts()]
    assert "not certified" in labels
    time, gates = figure.axes[:2]
    rows = table[(table["share"] == 0.3) & (table["method"] == "sampled")]
    marks = {tuple(line.get_xdata()) for line in gates.lines}
    assert tuple(rows["gates"]) in marks
    assert tuple(rows["seconds"]) in {tuple(line.get_xdata()) for line in time.lines}
