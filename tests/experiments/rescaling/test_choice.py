"""Settings are chosen by the mean validation accuracy, among those that did not diverge."""

import itertools

import pandas as pd

from convexbn.experiments.rescaling.choice import at_all_rates, chosen, finished


def rows(**changes) -> pd.DataFrame:
    """Two rates, two decays, two seeds, two epochs; validation accuracy falls with the setting."""
    grid = itertools.product((0.1, 0.2), (0.01, 0.02), (0, 1), (0, 5))
    table = pd.DataFrame(grid, columns=["learning_rate", "weight_decay", "seed", "epoch"])
    accuracy = 0.9 - table["learning_rate"] - table["weight_decay"] + 0.001 * table["epoch"]
    table = table.assign(method="weight decay", validation_accuracy=accuracy, diverged=False)
    # Test accuracy has the other order, and must not matter.
    return table.assign(test_accuracy=1 - accuracy, **changes)


def test_the_end_of_every_training_is_kept():
    ends = finished(rows())
    assert len(ends) == 8
    assert (ends["epoch"] == 5).all()


def test_the_best_on_validation_images_is_chosen():
    best = chosen(finished(rows()), "weight decay")
    assert list(best["seed"]) == [0, 1]
    assert set(best["learning_rate"]) == {0.1}
    assert set(best["weight_decay"]) == {0.01}


def test_a_setting_at_which_a_seed_diverged_is_not_chosen():
    table = rows()
    failed = (table["learning_rate"] == 0.1) & (table["seed"] == 1)
    table.loc[failed, "diverged"] = True
    best = chosen(finished(table), "weight decay")
    assert set(best["learning_rate"]) == {0.2}
    assert not len(chosen(finished(rows(diverged=True)), "weight decay"))
    assert not len(chosen(finished(rows()), "another"))


def test_all_rates_are_those_of_the_chosen_decay():
    every = at_all_rates(finished(rows()), "weight decay")
    assert set(every["learning_rate"]) == {0.1, 0.2}
    assert set(every["weight_decay"]) == {0.01}
    assert len(at_all_rates(finished(rows(diverged=True)), "weight decay")) == 4
