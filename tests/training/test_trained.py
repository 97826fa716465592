"""Scores of trained networks against their evaluation in the training, and against PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sweep_features import SWEEP, K, make_features, make_patches

from convexbn.evaluation import accuracy
from convexbn.networks.architectures import ConvolutionalNetwork
from convexbn.networks.two_layer import BNNetwork, PlainNetwork
from convexbn.training.engine import train
from convexbn.training.trained import scores_by_seed

NETWORKS = {"bn": BNNetwork, "plain": PlainNetwork}


@pytest.mark.parametrize("make", [make_features, make_patches])
@pytest.mark.parametrize("network", NETWORKS)
def test_scores_are_those_of_the_network_alone(make, network):
    features, sweep = make(np.float64), replace(SWEEP, network=network)
    _, parameters = train(features, sweep)
    found = scores_by_seed(features, sweep, parameters, beta=0.1, learning_rate=0.05)
    assert list(found) == [0, 1]
    X = features["X_train"]
    sizes = (X.shape[-1], sweep.width, features["Y_train"].shape[1], X[..., 0].size)
    for seed, scores in found.items():
        alone = NETWORKS[network](*sizes, torch.Generator()).double()
        place = [tuple(member) for member in sweep.members].index((seed, 0.05, 0.1))
        alone.load_state_dict({name: values[place] for name, values in parameters.items()})
        whole = (alone if X.ndim == 2 else ConvolutionalNetwork(alone, K, "average")).eval()
        expected = whole(torch.as_tensor(features["X_test"])).detach()
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-12)  # sums in other orders


def test_networks_of_another_sweep_are_refused():
    features = make_features()
    _, parameters = train(features, SWEEP)
    with pytest.raises(ValueError, match="expected 12 networks of the sweep, got 8"):
        scores_by_seed(features, replace(SWEEP, seeds=(0, 1, 2)), parameters, 0.1, 0.05)


def test_of_a_tuned_sweep_the_chosen_setting_has_all_seeds():
    features, sweep = make_features(), replace(SWEEP, seeds=(0, 1, 2), tuning_seeds=1)
    history, parameters = train(features, sweep)
    last = [row for row in history if row["epoch"] == sweep.epochs]
    (chosen,) = {(row["beta"], row["learning_rate"]) for row in last if row["seed"] == 2}
    scores = scores_by_seed(features, sweep, parameters, *chosen)
    assert list(scores) == [0, 1, 2]
    for row in last:
        if (row["beta"], row["learning_rate"]) == chosen:
            found = accuracy(scores[row["seed"]], features["labels_test"])
            assert found == pytest.approx(row["test_accuracy"], abs=1e-12)
