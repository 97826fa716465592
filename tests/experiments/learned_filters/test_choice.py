"""Solves are chosen by validation images, per seed."""

import pandas as pd

from convexbn.experiments.learned_filters.choice import chosen
from convexbn.experiments.learned_filters.settings import FREE, TRUNCATED


def table(method):
    columns = ["seed", "step", "validation_loss", "validation_accuracy", "test_accuracy"]
    rows = [(0, 1, 0.3, 0.5, 0.9), (0, 2, 0.2, 0.4, 0.1), (0, 3, 0.4, 0.5, 0.95)]
    rows += [(1, 1, 0.1, 0.7, 0.2), (1, 2, 0.2, 0.8, 0.3)]
    return pd.DataFrame(rows, columns=columns).assign(method=method)


def test_a_point_of_the_grid_is_that_of_the_highest_accuracy_the_first_of_equals():
    assert chosen(table(TRUNCATED))["step"].tolist() == [1, 2]


def test_a_point_of_a_descent_is_that_of_the_lowest_loss():
    assert chosen(table(FREE))["step"].tolist() == [2, 1]


def test_the_grid_can_be_chosen_by_loss():
    assert chosen(table(TRUNCATED), "validation_loss")["step"].tolist() == [2, 1]


def test_test_images_choose_nothing():
    for method in (TRUNCATED, FREE):
        changed = table(method).assign(test_accuracy=[0.5, 0.99, 0.0, 0.0, 0.99])
        assert chosen(changed)["step"].equals(chosen(table(method))["step"])
