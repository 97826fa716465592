"""Likeness against NumPy's correlations, and which images are right against the tables of runs."""

import numpy as np
import pandas as pd
import pytest
from headline_runs import make_run
from sweep_features import SWEEP, make_features, make_patches

from convexbn.experiments.headline.likeness import images
from convexbn.experiments.headline.stages import evaluate_run, solve_run
from convexbn.training.engine import train


def test_likeness_is_the_largest_correlation(monkeypatch):
    rng = np.random.default_rng(0)
    X, others = rng.standard_normal((7, 12)), rng.standard_normal((11, 12))
    expected = np.corrcoef(X, others)[:7, 7:].max(axis=1)
    monkeypatch.setattr(images, "BLOCK", 4)  # the last block has three images
    # Sums of twelve products in float32.
    np.testing.assert_allclose(images.likeness(X, others), expected, atol=1e-6)


def test_neither_offset_nor_contrast_counts():
    rng = np.random.default_rng(1)
    others = rng.standard_normal((5, 20)).astype(np.float32)
    found = images.likeness(3 * others[:2] + 7, others)
    np.testing.assert_allclose(found, 1, atol=1e-6)
    assert (found <= 1).all()
    (opposite,) = images.likeness(-others[:1], others[:1])
    assert opposite == pytest.approx(-1, abs=1e-6)


def test_an_image_of_one_colour_is_like_none():
    rng = np.random.default_rng(2)
    flat = np.full((1, 3072), 0.1, np.float32)
    assert images.likeness(flat, rng.standard_normal((4, 3072))).tolist() == [0]
    assert images.likeness(flat, flat).tolist() == [0]


def test_patches_of_an_image_are_side_by_side():
    rng = np.random.default_rng(3)
    X, others = rng.standard_normal((4, 3, 6)), rng.standard_normal((4, 5, 6))
    flat = [np.concatenate(list(some), axis=1) for some in (X, others)]
    np.testing.assert_allclose(images.likeness(X, others), images.likeness(*flat), atol=1e-6)


def test_solutions_have_right_what_was_evaluated():
    run = make_run(betas=(2.0, 1.0), tuning_seeds=1)
    solutions, _ = solve_run(run)
    rows = pd.DataFrame(evaluate_run(run, solutions))
    chosen = rows["beta"][rows["seed"] == run.seeds[1]].item()
    found = images.correct_of_solutions(run, solutions, chosen * (1 + 1e-13))  # as tables have it
    assert list(found) == run.seeds
    assert {values.shape for values in found.values()} == {(25,)}
    images.check(found, rows[rows["beta"] == chosen])
    (other,) = {2.0, 1.0} - {chosen}  # the second seed has no solution of it
    assert list(images.correct_of_solutions(run, solutions, other)) == run.seeds[:1]


def test_solutions_on_patches_and_of_one_score_have_right_what_was_evaluated():
    for features in (make_patches(), one_score()):
        run = make_run(features, betas=(1.0,))
        solutions, _ = solve_run(run)
        found = images.correct_of_solutions(run, solutions, 1.0)
        images.check(found, pd.DataFrame(evaluate_run(run, solutions)))
        assert {len(values) for values in found.values()} == {len(features["labels_test"])}


def one_score() -> dict:
    """Two classes, -1 and +1 in the targets."""
    features = make_features(classes=2)
    signs = 2 * features["labels_train"][:, None] - 1
    return features | {"Y_train": signs.astype(np.float32)}


def test_networks_have_right_what_was_evaluated():
    features = make_features()
    history, parameters = train(features, SWEEP)
    rows = pd.DataFrame(history)
    last = rows[(rows["epoch"] == SWEEP.epochs) & (rows["beta"] == 0.1)]
    last = last[last["learning_rate"] == 0.01]
    setting = 0.1 * (1 + 1e-13), 0.01
    found = images.correct_of_networks(features, SWEEP, parameters, *setting)
    assert list(found) == [0, 1]
    images.check(found, last)


def test_results_of_other_runs_are_refused():
    found = {0: np.array([True] * 9 + [False]), 1: np.array([True] * 5 + [False] * 5)}
    rows = pd.DataFrame({"seed": [0, 1], "test_accuracy": [0.9, 0.5]})
    images.check(found, rows)
    with pytest.raises(ValueError, match=r"seed 1: expected .* 0.7000 .* got 5 of 10 images"):
        images.check(found, rows.assign(test_accuracy=[0.9, 0.7]))
    for some, seeds in ((rows[:1], r"\[0\]"), (rows.assign(seed=[0, 2]), r"\[0, 2\]")):
        with pytest.raises(ValueError, match=rf"of the seeds {seeds} .* those of \[0, 1\]"):
            images.check(found, some)


@pytest.mark.parametrize("m", [10, 25, 100])
def test_rounding_may_move_one_image_whatever_the_accuracy(m):
    for right in range(m):
        rows = pd.DataFrame({"seed": [0], "test_accuracy": [(right + 1) / m]})
        images.check({0: np.arange(m) < right}, rows)
