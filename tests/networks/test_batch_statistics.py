"""Statistics of batches, against numpy's of all values and torch's BN."""

import pytest
import torch
from torch import nn

from convexbn.networks.batch_statistics import (
    Statistics,
    apply,
    batch_statistics,
    pool,
    track,
)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 2, 2)])
def test_statistics_are_over_all_values_of_a_channel(shape):
    X = torch.randn(shape, dtype=torch.float64)
    found = batch_statistics(X, 3)
    rows = X.numpy().swapaxes(0, 1).reshape(3, -1)
    torch.testing.assert_close(found.mean, torch.from_numpy(rows.mean(1)))
    torch.testing.assert_close(found.variance, torch.from_numpy(rows.var(1)))
    bn = nn.functional.batch_norm(X, None, None, training=True)
    ones = torch.ones(3, dtype=X.dtype)
    torch.testing.assert_close(apply(found, X, ones, 0 * ones, 1e-5), bn)


@pytest.mark.parametrize("count", [2, 5])
def test_pooled_statistics_are_those_of_all_batches_in_one(count):
    X = torch.randn(count, 7, 3, dtype=torch.float64) + torch.arange(3)
    current, *past = (batch_statistics(batch, 3) for batch in X)
    stacked = Statistics(*(torch.stack(parts) for parts in zip(*past, strict=True)))
    expected = batch_statistics(X.flatten(0, 1), 3)
    for found, value in zip(pool(current, stacked), expected, strict=True):
        torch.testing.assert_close(found, value)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_updated_as_by_torch(momentum):
    bn, ours = (nn.BatchNorm1d(3, momentum=momentum) for _ in range(2))
    for _ in range(3):
        X = torch.randn(5, 3)
        bn(X)
        track(ours, batch_statistics(X, 3), n=5)
    for name, value in bn.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_batches_without_a_spread_or_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="at least 2 values per channel"):
        batch_statistics(torch.zeros(1, 3), 3)
    with pytest.raises(ValueError, match="must have 4 channels on its axis 1"):
        batch_statistics(torch.zeros(5, 3), 4)
