"""Precise statistics of batch normalization."""

import pytest
import torch
from torch import nn

from convexbn.networks.residual import ResidualNetwork
from convexbn.training.samples import Samples, scores_of
from convexbn.training.statistics import precise_statistics


def _samples(n, shape):
    X = 3 + torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))
    return Samples(X, torch.zeros(n, dtype=torch.int64))


def test_first_layer_has_the_statistics_of_all_samples_whatever_the_batch():
    samples = _samples(60, (4,))
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    hidden = network[0](samples.X).detach()
    for batch_size in (500, 20, 7):
        precise_statistics(network, samples, batch_size)
        # Sums of float32 values in float64, stored in float32.
        torch.testing.assert_close(network[1].running_mean, hidden.mean(0))
        torch.testing.assert_close(network[1].running_var, hidden.var(0, correction=0))


def test_one_batch_of_all_gives_the_function_of_training():
    """Every layer is normalized by the same statistics in both modes: rounding of float32 apart."""
    samples = _samples(30, (1, 4, 4))
    network = ResidualNetwork(8, 3, width=4, channels=1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.train()(samples.X)
    state = {name: values.clone() for name, values in network.state_dict().items()}
    precise_statistics(network, samples, 30)
    torch.testing.assert_close(scores_of(network, samples), expected, rtol=1e-4, atol=1e-5)
    for name, values in network.state_dict().items():  # nothing else has changed
        assert "running" in name or torch.equal(values, state[name])
    assert network.training


def test_network_without_normalization_is_left_alone():
    network = nn.Linear(4, 2)
    before = network.weight.clone()
    precise_statistics(network, _samples(10, (4,)), 5)
    assert torch.equal(network.weight, before)


def test_batch_of_one_is_refused():
    with pytest.raises(ValueError, match="batch_size"):
        precise_statistics(nn.BatchNorm1d(4), _samples(10, (4,)), 1)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_no_batch_has_one_sample_alone(n):
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    samples = _samples(n, (4,))
    precise_statistics(network, samples, 2)
    hidden = network[0](samples.X).detach()
    torch.testing.assert_close(network[1].running_mean, hidden.mean(0))


def test_one_sample_has_no_statistics():
    with pytest.raises(ValueError, match="number of samples"):
        precise_statistics(nn.BatchNorm1d(4), _samples(1, (4,)))


def test_large_mean_costs_no_digits():
    X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = nn.BatchNorm1d(4).double()
    precise_statistics(network, Samples(X + 1e8, torch.zeros(50, dtype=torch.int64)), 20)
    # The samples themselves are stored to 1e8 times 1e-16.
    torch.testing.assert_close(network.running_var, X.var(0, correction=0), rtol=1e-6, atol=0)
