"""The tables: their rows, what is measured when, and that an interrupted job goes on."""

import numpy as np
import pandas as pd
import pytest
import torch

from convexbn.experiments.rescaling import measure
from convexbn.experiments.rescaling.settings import DECAY, METHODS, RESCALING
from convexbn.training.checkpoints import Parts

RUN = {
    "dataset": "digits",  # not one of the fields
    "epochs": 3,
    "batch_size": 8,
    "learning_rates": [0.1],
    "weight_decays": [0.01, 0.02],
    "classifier_decay": 0.001,
}
DENSE = {**RUN, "widths": [6], "samples": 16}


def features(channels=1, n=24) -> dict[str, np.ndarray]:
    """Images of 8 x 8 pixels of three classes: training, validation and test alike."""
    generator = np.random.default_rng(0)
    found = {"image": np.array([8, 8, channels])}
    for split in ("train", "validation", "test"):
        labels = np.arange(n) % 3
        X = generator.normal(size=(n, 64 * channels)) + labels[:, None]
        found |= {f"X_{split}": X.astype(np.float32), f"labels_{split}": labels}
    return found


@pytest.fixture(scope="module")
def dense() -> pd.DataFrame:
    return measure.runs(features(), DENSE, seed=3)


def test_every_method_is_trained_at_every_setting(dense):
    assert list(dense.columns) == measure.RUNS
    found = dense.groupby("method")["weight_decay"].unique()
    assert set(found.index) == set(METHODS)
    assert list(found[DECAY]) == [0.01, 0.02]
    assert list(found[RESCALING]) == [0]
    assert set(dense["seed"]) == {3}


def test_all_start_alike_and_are_tested_at_the_end_alone(dense):
    start, end = (dense[dense["epoch"] == epoch] for epoch in (0, 3))
    for name in ("norm", "beside", "validation_accuracy"):
        assert start[name].nunique() == 1
    assert dense["test_accuracy"].notna().equals(dense["epoch"] == 3)
    assert end["spanned_accuracy"].between(0, 1).all()
    rescaled = dense[(dense["method"] == RESCALING) & (dense["epoch"] > 0)]
    assert rescaled["norm"].to_numpy() == pytest.approx(1)


def test_a_vgg_has_no_part_beside_the_span():
    table = measure.runs(features(3), {**RUN, "plan": [4, "M", 4], "optimizer": "adam"}, seed=0)
    assert set(table["method"]) == set(METHODS[:-1])
    assert table[["beside", "spanned_accuracy"]].isna().all(axis=None)
    assert table["test_accuracy"].notna().sum() == len(table[table["epoch"] == 3])


def test_nor_has_a_network_on_more_samples_than_features():
    table = measure.runs(features(n=70), {**DENSE, "samples": 70}, seed=0)
    assert table["beside"].isna().all()


def test_a_vgg_needs_three_channels():
    with pytest.raises(ValueError, match="number of channels of a VGG must be 3, got 1"):
        measure.runs(features(1), {**RUN, "plan": [4]}, seed=0)


def test_an_interrupted_job_goes_on_to_the_same_numbers(dense, tmp_path, monkeypatch):
    train, parts = measure.minibatches.train, Parts(tmp_path / "0.parts")

    def interrupted(*args, **options):
        interrupted.left -= 1
        if not interrupted.left:
            raise KeyboardInterrupt
        return train(*args, **options)

    interrupted.left = 3
    monkeypatch.setattr(measure.minibatches, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure.runs(features(), DENSE, seed=3, parts=parts)
    assert any(parts.folder.iterdir())
    interrupted.left = 100
    table = measure.runs(features(), DENSE, seed=3, parts=parts)
    assert interrupted.left == 100 - 3  # of five trainings two were finished
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), dense.drop(columns="seconds"))


def test_identities_are_measured_at_every_rate_with_decay_and_without():
    settings = {
        "samples": 10,
        "widths": [4],
        "batch_size": 5,
        "learning_rates": [0.1, 0.2],
        "time": 0.4,
        "weight_decay": 0.1,
        "seeds": 2,
    }
    table = measure.identities(features(), "digits", settings, seed=5)
    assert list(table.columns) == measure.IDENTITIES
    groups = table.groupby(["seed", "learning_rate", "weight_decay"]).ngroups
    assert groups == 8
    assert set(table["seed"]) == {5, 6}
    assert table["growth_error"].notna().equals(table["weight_decay"] == 0)
    assert torch.get_default_dtype() == torch.float32
