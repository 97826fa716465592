"""The networks have the sizes they say, and are drawn from their generator alone."""

import pytest
import torch
from torch import nn

from convexbn.experiments.rescaling.networks import dense, first_layer, vgg
from convexbn.training.rescaling import normalized_layers

PLAN = (8, "M", 16, 16, "M")


def make(kind, seed=0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    return vgg(PLAN, 5, generator) if kind == "vgg" else dense(12, (8, 16), 5, generator)


@pytest.mark.parametrize(("kind", "shape"), [("vgg", (3, 8, 8)), ("dense", (12,))])
def test_every_weight_but_the_classifiers_is_followed_by_bn(kind, shape):
    network = make(kind)
    assert network(torch.randn(2, *shape)).shape == (2, 5)
    followed = set(normalized_layers(network))
    layers = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert set(layers) - followed == {layers[-1]}


@pytest.mark.parametrize("kind", ["vgg", "dense"])
def test_weights_are_those_of_the_generator(kind):
    """Whatever the state of the global one is; and other seeds give others."""
    states = []
    for seed in (0, 0, 1):
        torch.rand(3)
        states.append(make(kind, seed).state_dict())
    weights = [name for name, values in states[0].items() if values.ndim > 1]
    assert all(torch.equal(values, states[1][name]) for name, values in states[0].items())
    assert not any(torch.equal(states[0][name], states[2][name]) for name in weights)


def test_the_first_layer_of_a_vgg_is_not_linear():
    assert first_layer(make("dense")).weight.shape == (8, 12)
    with pytest.raises(ValueError, match="the first layer must be"):
        first_layer(make("vgg"))
