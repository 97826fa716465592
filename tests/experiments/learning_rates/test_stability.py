"""A few steps of SGD: the relative losses, and where a network is left."""

import math

import pytest
import torch
from footprints import CIFAR, check
from footprints import measured as memory_of
from small_images import features
from torch.nn.functional import cross_entropy

from convexbn.experiments.learning_rates import stability
from convexbn.experiments.learning_rates.networks import Case
from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import size_of

SETTINGS = {"depths": [8], "width": 2, "batch_size": 8, "updates": 3}


def test_losses_are_those_of_sgd_written_out():
    table = stability.measure(features(), SETTINGS | {"learning_rates": [0.05]}, seed=2)
    assert list(table.columns) == stability.STABILITY
    for row in table.itertuples():
        case = Case(features(), 8, 2, row.normalization, seed=2)
        batches = list(case.batches(8, 4))
        with torch.no_grad():
            start = [cross_entropy(case.network()(X), labels) for X, labels in batches]
        network, ratios = case.network(), []
        for (X, labels), before in zip(batches, start, strict=True):
            loss = cross_entropy(network(X), labels)
            ratios.append(float(loss.detach() / before))
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for values, gradient in zip(network.parameters(), gradients, strict=True):
                    values -= 0.05 * gradient
        assert row.relative_loss == pytest.approx(max(ratios[1:]), rel=1e-5)
        assert row.updates == 3


def test_a_network_is_left_when_it_diverges_and_overflow_is_infinite():
    table = stability.measure(features(), SETTINGS | {"learning_rates": [1e20]}, seed=0)
    plain = table.set_index("normalization").loc["plain"]
    assert plain["updates"] == 1
    assert plain["relative_loss"] == math.inf


def test_the_same_seed_gives_the_same_numbers():
    settings = SETTINGS | {"learning_rates": [0.1, 1.0]}
    first, again, other = (stability.measure(features(), settings, seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first["relative_loss"].equals(other["relative_loss"])


def test_estimate_of_memory_holds():
    entry = CIFAR | {"train": 1000, "validation": 500, "test": 500, "pool": 2}
    settings = {"depths": [20], "width": 16, "batch_size": 128, "learning_rates": [1.0]}
    work = f"""
from convexbn.experiments.learning_rates import stability
features = {{"image": np.array([16, 16, 3]), "labels_train": np.arange(n) % C}}
features["X_train"] = rng.standard_normal((n, d), dtype=np.float32)
features["X_test"] = np.ones((m, d), dtype=np.float32)
stability.measure(features, {settings | {"updates": 1}}, 0)
"""
    base, peak = memory_of(size_of(entry), work)
    check(footprint.learning_rates(entry, settings), base, peak)
