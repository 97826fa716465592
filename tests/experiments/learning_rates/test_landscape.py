"""Along the gradient: the loss falls by its square at first; and the channels' moments."""

import math

import pytest
import torch
from small_images import features
from torch.nn.functional import cross_entropy

from convexbn.experiments.learning_rates import landscape
from convexbn.experiments.learning_rates.networks import Case

SETTINGS = {"depth": 8, "width": 2, "batch_size": 8}


def test_the_loss_falls_by_the_squared_gradient_to_first_order():
    # The second order is smaller by about the step times the curvature, some hundred.
    step = 1e-4
    table = landscape.measure(features(), SETTINGS | {"steps": [step, 1e30]}, seed=1)
    assert list(table.columns) == landscape.LANDSCAPE
    for name, rows in table.groupby("normalization"):
        case = Case(features(), 8, 2, name, seed=1)
        ((X, labels),) = case.batches(8, 1)
        network = case.network()
        loss = cross_entropy(network(X), labels)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        fall = step * float(sum(g.square().sum() for g in gradients)) / float(loss.detach())
        relative = rows.groupby("step")["relative_loss"].first()
        assert relative[0.0] == 1
        assert 1 - relative[step] == pytest.approx(fall, rel=0.05)
    plain = table[(table["normalization"] == "plain") & (table["step"] == 1e30)]
    assert (plain["relative_loss"] == math.inf).all()
    assert plain["variance"].iloc[-1] == math.inf
    assert table[landscape.MOMENTS].notna().all(axis=None)


def test_moments_are_those_of_the_outputs_of_each_block():
    network = Case(features(), 8, 2, "plain", seed=0).network()
    X = torch.rand(5, 1, 8, 8)
    with landscape.moments(network) as found, torch.no_grad():
        network(X)
    with torch.no_grad():
        hidden = network.blocks[0](torch.relu(network.stem(X)))
    channels = hidden.transpose(0, 1).flatten(1)  # (channels, rest)
    first = found[0]
    assert len(found) == len(network.blocks) == 3
    assert first["mean"] == pytest.approx(float(channels.mean(1).abs().mean()), rel=1e-5)
    variances = channels.var(1, correction=0)
    assert first["variance"] == pytest.approx(float(variances.mean()), rel=1e-5)
    assert first["variance_std"] == pytest.approx(float(variances.std()), rel=1e-5)
    with torch.no_grad():
        network(X)
    assert len(found) == 3  # the hooks are gone
