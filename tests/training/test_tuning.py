"""Tuning: which setting is best, and what can be tuned at all."""

import math

import pytest

from convexbn.training.tuning import best_setting, check_tuning

NAMES = ("beta", "learning_rate")


def rows(settings: dict) -> list[dict]:
    """One row per (beta, learning rate) and seed, with its validation accuracy."""
    return [
        {**dict(zip(NAMES, setting, strict=True)), "validation_accuracy": value}
        for setting, values in settings.items()
        for value in values
    ]


def test_the_best_mean_counts_not_the_best_seed():
    settings = {(1.0, 0.1): [0.9, 0.1], (0.5, 0.1): [0.6, 0.6], (0.2, 0.1): [0.5, 0.5]}
    assert best_setting(rows(settings), NAMES) == (0.5, 0.1)


def test_ties_go_to_the_larger_beta_and_then_the_smaller_learning_rate():
    settings = {(1.0, 0.1): [0.1, 0.3], (2.0, 0.1): [0.3, 0.1], (2.0, 0.01): [0.2, 0.2]}
    assert best_setting(rows(settings), NAMES) == (2.0, 0.01)


def test_a_setting_with_a_diverged_seed_is_out():
    settings = {(1.0, 0.1): [0.9, math.nan], (2.0, 0.1): [0.2, 0.1]}
    assert best_setting(rows(settings), NAMES) == (2.0, 0.1)
    assert best_setting(rows({(1.0, 0.1): [math.nan]}), NAMES) is None


@pytest.mark.parametrize("tuning_seeds", [0, 4, 1.5])
def test_tuning_seeds_are_some_of_the_seeds(tuning_seeds):
    with pytest.raises(ValueError, match="tuning_seeds"):
        check_tuning(tuning_seeds, 3, validation=10)


def test_tuning_needs_validation_samples_unless_all_seeds_try_everything():
    with pytest.raises(ValueError, match="validation samples, got none"):
        check_tuning(1, 3, validation=0)
    check_tuning(3, 3, validation=0)
    check_tuning(None, 3, validation=0)
