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


PYTORCHS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, 0.01),
    "gd": lambda parameters: torch.optim.SGD(parameters, 0.01),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.01, momentum=0.7),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizers_are_pytorchs(name):
    """For one network that is no stack, at the learning rates of the schedule."""
    X, y = (torch.as_tensor(A) for A in data.regression(8, 2, seed=1))
    ours, theirs = (starts(1)[0].double() for _ in range(2))
    values = [v.item() for _, v in Descent(20, 0.01, name, momentum=0.7).run(ours, loss_of(X, y))]
    optimizer = PYTORCHS[name](theirs.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for expected in values[:-1]:
        optimizer.zero_grad()
        loss = loss_of(X, y)(theirs)
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-9)  # rounding of up to twenty steps
        optimizer.step()
        schedule.step()
    assert loss_of(X, y)(theirs).item() == pytest.approx(values[-1], rel=1e-9)
    assert values[-1] < values[0]


def loss_of(X, y):
    return lambda network: (network(X).flatten() - y).square().sum()


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


@pytest.mark.parametrize(
    "given_as",
    [
        lambda A: A[::-1].copy()[::-1],
        lambda A: A.astype(">f8"),
        lambda A: A.tolist(),
        lambda A: torch.tensor(A, requires_grad=True),
    ],
)
def test_samples_of_any_kind_are_taken(given_as):
    X, y = data.regression(8, 2, seed=1)
    settings = Descent(5, 0.01)
    expected = descend(starts(2), X, y, 0.3, settings)
    found = descend(starts(2), given_as(X), given_as(y), 0.3, settings)
    np.testing.assert_array_equal(found.objectives, expected.objectives)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"networks": []}, "the number of networks must be from 1"),
        ({"X": np.full((8, 2), np.nan)}, "X must be finite"),
        ({"X": 1e-200 * data.regression(8, 2, seed=1)[0]}, "must vary by .* standardize it"),
        ({"X": 1e200 * data.regression(8, 2, seed=1)[0]}, "must vary by .* standardize it"),
        ({"Y": np.ones(7)}, "X and Y must have one row per sample, got 8 and 7"),
        ({"Y": ["a"] * 8}, "Y must be an array of real numbers"),
        ({"beta": 0}, "beta must be > 0"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"loss": "logistic"}, "needs labels -1 and"),
    ],
)
def test_samples_that_do_not_fit_are_refused_before_the_first_step(change, words):
    X, y = data.regression(8, 2, seed=1)
    given = {"networks": starts(2), "X": X, "Y": y, "beta": 0.3, "settings": Descent(5, 0.01)}
    with pytest.raises(ValueError, match=words):
        descend(**given | change)
