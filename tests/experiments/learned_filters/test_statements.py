"""The verdicts on learned filters, on made-up solves."""

import pandas as pd
import pytest

from convexbn.experiments.learned_filters.settings import FREE, RIDGE, SOFT_STEP, TRUNCATED
from convexbn.experiments.learned_filters.statements import learned_filters
from convexbn.reporting.claims import COLUMNS

CIFAR = {"images": {"source": "cifar10", "n": 5000}}
GRID_POINTS = 4  # of each filter of the grid


def rows(method, seed, count, test_accuracy, **columns):
    """Return solves of which the last is the best on validation images."""
    steps = range(1, count + 1)
    return pd.DataFrame(
        {
            **{"dataset": "images", "run": "cifar", "method": method, "seed": seed},
            **{"step": steps, "certified": True, "at_kink": False, "test_accuracy": 0.0},
            **{"seconds": 1.0, "backward_seconds": 0.5},
            "validation_loss": [1 / step for step in steps],
            "validation_accuracy": [step / 10 for step in steps],
        }
    ).assign(test_accuracy=[0.0] * (count - 1) + [test_accuracy], **columns)


def solves(learned, grid, count=3, **columns):
    """Return a table with one learned and one grid accuracy per seed."""
    parts = []
    for seed, (a, b) in enumerate(zip(learned, grid, strict=True)):
        parts += [
            rows(TRUNCATED, seed, GRID_POINTS, b, **columns),
            rows(RIDGE, seed, GRID_POINTS - 1, 0.0, **columns),
            rows(SOFT_STEP, seed, count, a, **columns),
            rows(FREE, seed, count, a, **columns),
        ]
    return pd.concat(parts, ignore_index=True)


def verdicts(table, datasets=CIFAR) -> dict:
    return learned_filters(table, datasets).set_index("id")["verdict"].to_dict()


GRID = [0.40, 0.41, 0.42, 0.43, 0.44]


def plus(*differences):
    return [a + b for a, b in zip(GRID, differences, strict=True)]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.01, 0.011, 0.009, 0.01, 0.01), "reproduced"),
        ((0.0, 0.001, -0.001, 0.002, -0.002), "reproduced"),  # all of it above -0.5 points
        ((0.05, -0.05, 0.05, -0.05, 0.05), "not resolved"),  # it contains zero, and far less
        ((-0.002, -0.001, -0.002, -0.001, -0.002), "not reproduced"),
        ((-0.05, -0.051, -0.049, -0.05, -0.05), "not reproduced"),
    ],
)
def test_not_below_is_shown_by_the_whole_interval(differences, verdict):
    assert set(verdicts(solves(plus(*differences), GRID)).values()) == {verdict}


@pytest.mark.parametrize("gap", [0.01, -0.05])
def test_four_seeds_resolve_nothing(gap):
    table = solves(plus(*[gap] * 5), GRID)
    assert set(verdicts(table[table["seed"] < 4]).values()) == {"not resolved"}


def test_the_solves_of_both_descents_count_for_one_gain_per_direction():
    """Seven points of the grid are more than four solves, and fewer than eight."""
    found = verdicts(solves(plus(*[0.01] * 5), GRID, count=4))
    assert found == {"C5d": "reproduced", "C5e": "not reproduced"}


def test_the_number_of_solves_must_be_smaller_with_every_seed():
    table = solves(plus(*[0.01] * 5), GRID)
    more = pd.concat([table, rows(SOFT_STEP, 4, 7, 0.45)], ignore_index=True)
    assert verdicts(more)["C5d"] == "not reproduced"


def test_nothing_is_resolved_on_uncertified_solves():
    table = solves(plus(*[0.01] * 5), GRID)
    table.loc[0, "certified"] = False
    words = learned_filters(table, CIFAR)
    assert set(words["verdict"]) == {"not resolved"}
    assert words["measured"].str.contains("1 solve(s) not certified", regex=False).all()


def test_on_other_images_it_is_measured_and_not_run():
    table = learned_filters(
        solves(plus(*[0.01] * 5), GRID), {"images": {"source": "digits", "n": 1000}}
    )
    assert set(table["verdict"]) == {"not run"}
    assert table["measured"].str.contains("about CIFAR, these data are digits").all()
    assert table["measured"].str.contains(r"\+1.0 points", regex=True).all()


def test_the_numbers_are_in_the_words():
    first = learned_filters(solves(plus(*[0.01] * 5), GRID), CIFAR).iloc[0]
    assert first["dataset"] == "images"
    assert first["measured"] == (
        "cifar, n = 5,000: +1.0 points, 95% interval +1.0 to +1.0, 5 paired seed(s): 43.0 against "
        "42.0 % (chosen by validation loss 42.0 %, +1.0); validation loss 0.3333 against 0.2500; "
        "3 solves, 0 at a kink in all, instead of 7, in 0.43 of their seconds"
    )


def test_without_runs_there_is_no_row():
    table = learned_filters(pd.DataFrame(), {})
    assert table.empty
    assert list(table.columns) == COLUMNS
