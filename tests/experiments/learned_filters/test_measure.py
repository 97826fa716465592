"""The two tables of a run: what is in them, and what they do not depend on."""

import numpy as np
import pandas as pd
import pytest
from learned_cases import SETTINGS, features

from convexbn.experiments.learned_filters import measure as measure_module
from convexbn.experiments.learned_filters.choice import chosen
from convexbn.experiments.learned_filters.measure import GAINS, SOLVES, measure
from convexbn.experiments.learned_filters.settings import (
    FREE,
    GRID,
    LEARNED,
    RIDGE,
    SOFT_STEP,
    TRUNCATED,
)
from convexbn.training.checkpoints import Parts
from convexbn.whitening import FILTERS, whiten


def measured(data):
    return measure(data, whiten(data["X_train"]), SETTINGS, seed=0)


@pytest.fixture(scope="module")
def tables():
    return measured(features())


def of(table, method):
    return table[table["method"] == method]


def test_every_solve_has_its_row_and_is_certified(tables):
    solves, _ = tables
    assert list(solves.columns) == SOLVES
    assert set(solves["method"]) == {*GRID, *LEARNED}
    assert len(of(solves, TRUNCATED)) == len(of(solves, RIDGE)) == 4
    assert solves["certified"].all()
    for method in (*GRID, *LEARNED):
        assert of(solves, method)["step"].tolist() == [*range(1, len(of(solves, method)) + 1)]


def test_gains_are_those_of_the_chosen_solves(tables):
    solves, gains = tables
    assert list(gains.columns) == GAINS
    ratios = of(gains, RIDGE)["singular_value"].to_numpy()
    best = {method: chosen(of(solves, method)).iloc[0] for method in (*GRID, *LEARNED)}
    expected = {
        TRUNCATED: np.arange(6) < best[TRUNCATED]["value"],
        RIDGE: FILTERS["ridge"](ratios, best[RIDGE]["value"]),
        SOFT_STEP: 1 / (1 + (best[SOFT_STEP]["value"] / ratios**2) ** best[SOFT_STEP]["power"]),
    }
    for method, f in expected.items():
        np.testing.assert_allclose(of(gains, method)["gain"], f, rtol=1e-9)
    for method in (*GRID, *LEARNED):
        f = of(gains, method)["gain"]
        assert (f.diff().dropna() <= 0).all()
        assert f.sum() == pytest.approx(best[method]["effective_rank"], rel=1e-12)


def test_gains_per_direction_start_where_the_soft_step_ended(tables):
    solves, _ = tables
    end, start = chosen(of(solves, SOFT_STEP)).iloc[0], of(solves, FREE).iloc[0]
    for name in ("beta", "effective_rank"):
        assert start[name] == pytest.approx(end[name], rel=1e-9)
    # Both are solved to a relative gap of 1e-8: predictions differ by its root at most.
    assert start["validation_loss"] == pytest.approx(end["validation_loss"], rel=1e-4)


def test_a_descent_ends_below_its_start(tables):
    solves, _ = tables
    loss = of(solves, SOFT_STEP)["validation_loss"]
    assert loss.min() < 0.99 * loss.iloc[0]
    assert all(len(of(solves, method)) <= SETTINGS.evaluations for method in LEARNED)


def test_test_images_are_measured_and_change_nothing_else(tables):
    """Other test images give other test accuracies, and the same numbers everywhere else."""
    data = features()
    other = data | {"X_test": data["X_test"][::-1], "labels_test": data["labels_test"]}
    (first, gains), (second, other_gains) = tables, measured(other)
    seconds = ["seconds", "backward_seconds"]
    first, second = (part.drop(columns=seconds) for part in (first, second))
    assert not first["test_accuracy"].equals(second["test_accuracy"])
    test = ["test_accuracy"]
    pd.testing.assert_frame_equal(first.drop(columns=test), second.drop(columns=test))
    pd.testing.assert_frame_equal(gains, other_gains)


def test_without_validation_images_nothing_can_be_learned():
    data = features()
    empty = {key: data[key][:0] for key in ("X_validation", "labels_validation")}
    with pytest.raises(ValueError, match="chosen on validation images"):
        measured(data | empty)


def test_a_killed_job_does_not_solve_the_grid_twice(tables, tmp_path, monkeypatch):
    parts, data = Parts(tmp_path / "parts"), features()
    arguments = data, whiten(data["X_train"]), SETTINGS, 0, "cpu", parts
    with monkeypatch.context() as patch:
        patch.setattr(measure_module, "learn", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            measure(*arguments)
    monkeypatch.setattr(measure_module, "grid", lambda *_: 1 / 0)
    for found, table in zip(measure(*arguments), tables, strict=True):
        timeless = [
            t.drop(columns=["seconds", "backward_seconds"], errors="ignore") for t in (found, table)
        ]
        pd.testing.assert_frame_equal(*timeless, check_exact=True)
