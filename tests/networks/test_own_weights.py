"""Gradients of a layer's statistics in its weights, against autograd channel by channel."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from convexbn.networks.own_weights import check_layer, own_weights, statistics_gradients

LAYERS = {
    "linear": (lambda: nn.Linear(5, 4), (7, 5)),
    "linear without bias": (lambda: nn.Linear(5, 4, bias=False), (7, 5)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3, stride=2), (3, 2, 9)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, padding=1, bias=False), (2, 3, 5, 4)),
    "strided, dilated": (lambda: nn.Conv2d(2, 4, 2, stride=2, dilation=2, padding=1), (2, 2, 7, 6)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (3, 4, 5, 5)),
}


def statistics_of(layer, weights, X):
    z = functional_call(layer, weights, X).transpose(0, 1).flatten(1)  # (C, values)
    return z.mean(1), z.var(1, correction=0)


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_are_the_jacobians_of_autograd(name):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer, X = make().double(), torch.randn(shape, dtype=torch.float64)
    weights = {"weight": layer.weight.detach()}
    jacobians = torch.func.jacrev(lambda w: statistics_of(layer, w, X))(weights)
    z = layer(X)
    centred = z - z.mean([axis for axis in range(z.ndim) if axis != 1], keepdim=True)
    mean, variance = statistics_gradients(layer, X, centred)
    C, p = own_weights(layer).shape
    assert variance.shape == (C, p)
    shared = mean.repeat_interleave(C // len(mean), dim=0)
    for found, jacobian in zip((shared, variance), jacobians, strict=True):
        whole = jacobian["weight"].reshape(C, C, p)
        diagonal = whole[range(C), range(C)]
        torch.testing.assert_close(found, diagonal)
        # The other channels' filters do not matter: the Jacobian is block-diagonal.
        torch.testing.assert_close(whole.abs().sum(), diagonal.abs().sum())


def test_layers_without_a_filter_per_channel_are_refused():
    with pytest.raises(ValueError, match="Linear, Conv1d or Conv2d layer, got ConvTranspose2d"):
        check_layer(nn.ConvTranspose2d(2, 2, 3))
    for options in ({"padding": "same"}, {"padding": 1, "padding_mode": "circular"}):
        with pytest.raises(ValueError, match="must pad with a number of zeros"):
            check_layer(nn.Conv2d(2, 2, 3, **options))
