"""The noise of minibatches: from inner products as from gradients, and equal to its bound."""

import numpy as np
import pytest
import torch
from small_images import features

from convexbn.experiments.learning_rates import noise
from convexbn.experiments.learning_rates.networks import Case
from convexbn.experiments.learning_rates.summaries import slopes

SETTINGS = {"depth": 8, "width": 2, "images": 12, "batch_sizes": [2, 4, 16], "draws": 4000}


def test_inner_products_give_the_distance_of_any_minibatch():
    case = Case(features(), 8, 2, "plain", seed=0)
    network = case.network()
    ((X, labels),) = case.batches(12, 1)
    K = noise.gram(network, X, labels)
    index = torch.tensor([3, 3, 0, 7])
    shares = np.bincount(index, minlength=12) / len(index)
    whole = noise.gradient(network, X, labels)
    distance = (noise.gradient(network, X[index], labels[index]) - whole).square().sum()
    # Gradients are in float32.
    assert shares @ K @ shares == pytest.approx(float(distance), rel=1e-4)


def test_the_bound_holds_with_equality_without_bn():
    table = noise.measure(features(), SETTINGS, seed=1)
    assert list(table.columns) == noise.NOISE
    plain = table[table["normalization"] == "plain"]
    distance = (plain["distance"] - plain["bound"]) / plain["standard_error"]
    assert (distance.abs() < 4.5).all()  # 1 in 10^5 by chance
    assert (plain["standard_error"] < 0.05 * plain["distance"]).all()
    # Five of those standard errors.
    assert slopes(table, "plain") == pytest.approx([1], abs=0.1)
    bn = table[table["normalization"] == "bn"]
    assert set(bn["draws"]) == {noise.PASSES}
    assert bn["bound"].isna().all()
    assert (bn["distance"] > 0).all()
