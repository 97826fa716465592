"""The torch network of the knobs is the headline's."""

import math

import pytest
import torch

from convexbn.experiments.knobs import networks
from convexbn.experiments.knobs.settings import (
    ALL,
    BN,
    CROSS_ITERATION,
    DECAYS,
    LAST,
    NONE,
    NORMALIZATIONS,
)
from convexbn.networks.objectives import batch_objective
from convexbn.networks.two_layer import BNNetwork

N, D, M, C = 30, 6, 5, 3


def _headline(seed=3):
    return BNNetwork(D, M, C, N, torch.Generator().manual_seed(seed)).double()


def _data():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return X, torch.randint(C, (N,), generator=generator)


@pytest.mark.parametrize("kind", NORMALIZATIONS)
def test_start_and_function_are_the_headlines(kind):
    """The first batch of cross-iteration BN is normalized by itself."""
    network = networks.build(D, M, C, kind, 1, seed=3).double()
    X, _ = _data()
    torch.testing.assert_close(network(X), _headline()(X), rtol=1e-10, atol=1e-12)


def test_step_descends_on_the_headlines_objective():
    """A step of SGD with the groups' decay is one along the gradient of the objective over n."""
    headline, network = _headline(), networks.build(D, M, C, BN, 1, seed=3).double()
    (X, labels), beta, targets = _data(), 2.0, torch.eye(C, dtype=torch.float64)
    (batch_objective(headline, X, targets[labels], beta) / N).backward()
    optimizer = torch.optim.SGD(networks.groups(network, LAST, beta, N), 0.5)
    networks.squared_loss(targets)(network(X), labels).backward()
    optimizer.step()
    stepped = {
        "layer.weight": (headline.w - 0.5 * headline.w.grad).T,
        "norm.weight": headline.weight - 0.5 * headline.weight.grad,
        "norm.bias": headline.bias - 0.5 * headline.bias.grad,
        "output.weight": (headline.output - 0.5 * headline.output.grad).T,
    }
    for name, values in stepped.items():
        found = network.get_parameter(name)
        torch.testing.assert_close(found, values, rtol=1e-9, atol=1e-11)


def test_decay_acts_where_it_is_said_to():
    network = networks.build(D, M, C, CROSS_ITERATION, 4, seed=0)
    per_sample = 3.0 / math.sqrt(N)
    expected = {NONE: (0, 0), LAST: (per_sample, 0), ALL: (per_sample, per_sample)}
    for decay in DECAYS:
        last, first = networks.groups(network, decay, 3.0, N)
        found = last["weight_decay"], first["weight_decay"]
        assert found == pytest.approx(expected.get(decay, expected[LAST]))
        assert first["params"] == [network.layer.weight]
        assert len(last["params"]) == 3
