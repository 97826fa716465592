"""Gradients at initialization: sums over positions by the definition, classes by softmax."""

import numpy as np
import pytest
import torch
from small_images import CLASSES, features
from torch import nn

from convexbn.experiments.learning_rates import gradients
from convexbn.experiments.learning_rates.gradients import Watched
from convexbn.experiments.learning_rates.summaries import (
    ABSOLUTE,
    CLASS,
    DENSITY,
    RMS,
    SUM,
    cancellation,
)


@pytest.mark.parametrize("stride", [1, 2])
def test_sums_are_those_over_samples_and_positions(stride):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, stride, padding=1).double()
    watched, X = Watched(conv), torch.randn(4, 2, 5, 5, dtype=torch.float64)
    output = conv(X)
    output.retain_grad()
    output.sin().sum().backward()
    padded = nn.functional.pad(X, (1, 1, 1, 1))
    terms = []
    for x in range(output.shape[2]):
        for y in range(output.shape[3]):
            patch = padded[:, :, stride * x : stride * x + 3, stride * y : stride * y + 3]
            terms.append(torch.einsum("bo,bijk->boijk", output.grad[:, :, x, y], patch))
    d = torch.cat(terms)  # (samples and positions, o, i, 3, 3)
    torch.testing.assert_close(watched.sum(), d.sum(0))
    torch.testing.assert_close(watched.sum(), conv.weight.grad)
    torch.testing.assert_close(watched.absolute(), d.abs().sum(0))


@pytest.fixture(scope="module")
def table():
    return gradients.measure(features(), {"depth": 8, "width": 4, "batch_size": 12}, seed=0)


def test_sums_of_absolute_values_are_the_larger_ones(table):
    assert list(table.columns) == gradients.GRADIENTS
    ratio = cancellation(table)
    assert set(ratio.index.get_level_values("layer")) == {1, 4, 6}  # of 7 convolutions
    assert (ratio > 1).all()
    sums = table[table["quantity"].isin([ABSOLUTE, SUM])]
    assert (sums["value"] > 0).all()


def test_gradients_of_the_classes_sum_to_zero_and_are_negative_in_the_own_class(table):
    rows = table[(table["quantity"] == CLASS) & (table["normalization"] == "bn")]
    values = rows.pivot(index="layer", columns="x", values="value").to_numpy()
    assert values.shape == (12, CLASSES)
    np.testing.assert_allclose(values.sum(axis=1), 0, atol=1e-6)
    own = values.argmin(axis=1)
    assert (np.diff(own) >= 0).all()  # images are in the order of their classes
    assert (np.abs(values) <= 1).all()


def test_the_density_is_over_all_entries(table):
    width = np.diff(gradients.EDGES)[0]
    for _, rows in table[table["quantity"] == DENSITY].groupby("normalization"):
        assert rows["value"].sum() * width == pytest.approx(1)  # none is beyond the bins here
        second = (rows["x"] ** 2 * rows["value"]).sum() * width
        assert second == pytest.approx(1, abs=width)  # in units of the rms
    assert (table.loc[table["quantity"] == RMS, "value"] > 0).all()
