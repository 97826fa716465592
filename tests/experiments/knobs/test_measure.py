"""Training under each knob: every combination once, from one start."""

import numpy as np
import pytest

from convexbn.experiments.knobs.choice import chosen
from convexbn.experiments.knobs.measure import measure
from convexbn.experiments.knobs.settings import (
    BN,
    COLUMNS,
    CROSS_ITERATION,
    LAST,
    Knob,
    knobs,
)
from convexbn.training.checkpoints import Parts

SETTINGS = {
    **{"width": 6, "epochs": 2, "momentum": 0.9, "beta": 0.5, "window": 3, "burn_in": 0},
    **{"batch_size": 20, "batch_sizes": [4, 20], "learning_rates": [0.1, 1e30]},
}


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    X = rng.standard_normal((60, 4)) + 2 * np.eye(4)[labels]
    found = {"image": np.array([2, 2, 1]), "Y_train": np.eye(3, dtype=np.float32)[labels]}
    for split in ("train", "validation", "test"):
        found |= {f"X_{split}": X.astype(np.float32), f"labels_{split}": labels}
    return found


@pytest.fixture(scope="module")
def table(features):
    return measure(features, SETTINGS, 0)


def test_one_thing_is_turned_at_a_time():
    found = knobs(SETTINGS)
    base = Knob(BN, 20, LAST)
    assert found.count(base) == 1
    turned = [sum(a != b for a, b in zip(knob, base, strict=True)) for knob in found]
    # Cross-iteration BN at another batch size is the only one that turns two.
    assert turned == [1, 0, 2, 1, 1, 1, 1]


def test_every_knob_has_every_learning_rate(table):
    assert list(table.columns) == COLUMNS
    expected = {(*knob, rate) for knob in knobs(SETTINGS) for rate in (0.1, 1e30)}
    found = set(table[[*Knob._fields, "learning_rate"]].itertuples(index=False, name=None))
    assert found == expected
    assert len(table) == len(expected)


def test_networks_that_diverged_have_no_accuracy_and_are_not_chosen(table):
    lost = table["learning_rate"] == 1e30
    assert table.loc[lost, "diverged"].all()
    assert table.loc[lost, "test_accuracy"].isna().all()
    assert table.loc[~lost, "test_accuracy"].between(0.4, 1).all()  # a third by chance
    best = chosen(table)
    assert (best["learning_rate"] == 0.1).all()
    assert best["at_edge"].all()
    assert len(best) == len(knobs(SETTINGS))


def test_window_of_one_iteration_is_bn(features):
    one = SETTINGS | {"window": 1, "learning_rates": [0.1], "batch_sizes": [20]}
    table = measure(features, one, 0).set_index(list(Knob._fields))
    losses = [table.loc[(kind, 20, LAST), "train_loss"] for kind in (BN, CROSS_ITERATION)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # float32


def test_killed_job_goes_on(features, tmp_path, monkeypatch):
    few = SETTINGS | {"batch_sizes": [20], "learning_rates": [0.1]}
    parts, expected = Parts(tmp_path / "0.parts"), measure(features, few, 0)

    class Killed(Exception):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("convexbn.experiments.knobs.measure.WeightRescaling", killed)
        with pytest.raises(Killed):
            measure(features, few, 0, parts=parts)
    assert any(parts.folder.iterdir())
    resumed = measure(features, few, 0, parts=parts)
    columns = [name for name in COLUMNS if name != "seconds"]
    assert resumed[columns].equals(expected[columns])
    # The networks that were finished were not trained again: they have the seconds of that time.


def test_burn_in_of_the_whole_training_is_bn(features):
    all_of_it = SETTINGS | {"burn_in": 1, "learning_rates": [0.1], "batch_sizes": [20]}
    table = measure(features, all_of_it, 0).set_index(list(Knob._fields))
    losses = [table.loc[(kind, 20, LAST), "train_loss"] for kind in (BN, CROSS_ITERATION)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # float32
