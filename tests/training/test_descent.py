"""Full-batch descent from many starts side by side."""

import numpy as np
import pytest
import torch
from theory_cases import TRAINED, formula

from convexbn.experiments.theory import data
from convexbn.networks.objectives import network_objective
from convexbn.networks.two_layer import BNNetwork
from convexbn.training.descent import OPTIMIZERS, Descent, descend


def starts(count, n=8, d=2, m=3, C=1):
    return [BNNetwork(d, m, C, n, torch.Generator().manual_seed(i)) for i in range(count)]


def parameters(network) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in network.parameters()])


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_step_of_gradient_descent_follows_the_objective(loss):
    """Against central differences of the objective that judges networks."""
    X, y = data.signs(8, 2, seed=0)
    (network,) = starts(1)
    network, rate, change = network.double(), 1e-3, 1e-6
    done = descend([network], X, y, 0.3, Descent(1, rate, "gd"), loss)
    step = (parameters(network) - parameters(done.networks[0])) / rate
    slopes = []
    for p in network.parameters():
        for entry in p.data.view(-1).split(1):
            sides = []
            for sign in (1, -1):
                entry += sign * change
                sides.append(network_objective(network, X, y, 0.3, loss))
                entry -= sign * change
            slopes.append((sides[0] - sides[1]) / (2 * change))
    # Differences are good to the square of the change, steps to rounding over the rate.
    np.testing.assert_allclose(step, slopes, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trials_do_not_touch_each_other(optimizer):
    X, y = data.regression(8, 2, seed=1)
    settings = Descent(50, 0.01, optimizer, trials=3)
    together = descend(starts(3), X, y, 0.1, settings).objectives
    alone = [descend([start], X, y, 0.1, settings).objectives[0] for start in starts(3)]
    # The same sums in another order: 50 steps do not make more of their rounding than this.
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    assert len(set(alone)) == 3


def test_the_history_runs_from_the_starts_to_the_networks():
    X, y = data.regression(8, 2, seed=2)
    networks = starts(2)
    before = [parameters(network) for network in networks]
    done = descend(networks, X, y, 0.1, Descent(20, 0.1, evaluations=4, trials=2))
    assert done.iterations.tolist() == sorted({0, 1, 3, 7, 20})
    ends = [
        [network_objective(net, X, y, 0.1) for net in nets] for nets in (networks, done.networks)
    ]
    np.testing.assert_allclose(done.history[[0, -1]], ends, rtol=1e-12)
    np.testing.assert_allclose(done.objectives, ends[1], rtol=1e-12)
    assert (done.objectives < done.history[0]).all()
    assert all(torch.equal(parameters(net), old) for net, old in zip(networks, before, strict=True))


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_trained_networks_predict_by_the_statistics_of_their_samples(mode):
    """Whatever the mode of the starts, and the statistics that they had."""
    X, y = data.regression(8, 2, seed=2)
    networks = starts(2)
    if mode == "evaluation":
        networks = [network.set_statistics(X + y[:, None]).eval() for network in networks]
    done = descend(networks, X, y, 0.1, Descent(20, 0.1, trials=2))
    np.testing.assert_array_equal(
        done.objectives, descend(starts(2), X, y, 0.1, Descent(20, 0.1, trials=2)).objectives
    )
    for network in done.networks:
        assert not network.training
        batch, alone = torch.as_tensor(X), torch.as_tensor(X[:1])
        found, single = network(batch), network(alone)
        torch.testing.assert_close(single, found[:1], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(network.train()(batch), found, rtol=1e-12, atol=1e-12)


def test_many_starts_reach_a_known_optimum():
    X, y = data.regression(6, 7, seed=3)
    done = descend(starts(4, 6, 7, 20), X, y, 0.2, Descent(1000, 0.1, trials=4))
    excess = done.objectives / formula(y, 0.2) - 1
    assert excess.min() >= -1e-12
    assert excess.max() <= 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trials": 0}, "trials must be from 1"),
        ({"iterations": 0.5}, "iterations must be a whole number"),
        ({"learning_rate": -1.0}, "learning_rate must be > 0"),
        ({"optimizer": "sgd"}, "optimizer must be one of 'adam', 'gd', 'momentum'"),
    ],
)
def test_wrong_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Descent(**TRAINED | change)
