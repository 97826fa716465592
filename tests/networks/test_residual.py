"""Residual networks: their layers, their shortcuts, and how their weights start."""

import pytest
import torch
from torch import nn

from convexbn.networks.residual import ResidualNetwork, batch_norm


def _drawn(depth, *arguments, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return ResidualNetwork(depth, 10, *arguments, generator=generator, **options)


@pytest.mark.parametrize(("depth", "parameters"), [(20, 0.27e6), (56, 0.85e6), (110, 1.7e6)])
def test_networks_have_the_layers_and_parameters_of_the_paper(depth, parameters):
    """He et al. (2016), Table 6: 0.27, 0.85 and 1.7 million parameters, to the digits given."""
    network = _drawn(depth)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    found = sum(p.numel() for p in network.parameters())
    assert found == pytest.approx(parameters, rel=0.02)


@pytest.mark.parametrize("side", [8, 7])
def test_image_is_halved_twice_and_channels_grow(side):
    network = _drawn(8, width=4, channels=1)
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    assert network(torch.zeros(2, 1, side, side)).shape == (2, 10)
    assert shapes == [(4, side, side), (8, 4, 4), (16, 2, 2)]


def test_shortcut_passes_every_second_pixel_and_zeros():
    """With the last normalization of each block at zero, a block is the ReLU of its shortcut."""
    block = _drawn(8, width=2).blocks[1]
    nn.init.zeros_(block.norm2.weight)
    X = torch.rand(3, 2, 6, 6)
    output = block(X)
    torch.testing.assert_close(output[:, :2], X[:, :, ::2, ::2], rtol=0, atol=0)
    assert not output[:, 2:].any()


def test_convolutions_have_biases_where_there_is_no_normalization():
    plain, normalized = _drawn(8, None), _drawn(8)
    for network, has_bias in ((plain, True), (normalized, False)):
        convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert all((conv.bias is not None) == has_bias for conv in convs)
        assert not any(conv.bias.any() for conv in convs if has_bias)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())


def test_weights_are_those_of_xavier():
    """The variance is 2 / (fan in + fan out): the last convolution of width 64 has 36,864 weights,
    so that the ratio of variances is within 3 % of 1, four standard errors of sqrt(2 / 36,864)."""
    weight = _drawn(8).blocks[-1].conv2.weight
    assert float(weight.detach().var()) * (64 * 9) == pytest.approx(1, abs=0.03)


def test_same_seed_gives_the_same_network_with_any_normalization():
    def group_norm(layer):
        return nn.GroupNorm(2, layer.out_channels)

    networks = [_drawn(8, factory, width=4) for factory in (batch_norm, group_norm, None)]
    for name, weight in networks[0].named_parameters():
        if "conv" in name or "head.weight" in name:
            assert all(torch.equal(weight, net.get_parameter(name)) for net in networks)
    other = _drawn(8, width=4, seed=1)
    assert not torch.equal(other.stem.weight, networks[0].stem.weight)


def test_batch_norm_fits_its_layer():
    layer = nn.Linear(3, 5, dtype=torch.float64)
    norm = batch_norm(layer)
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.weight.shape == (5,)
    assert norm.weight.dtype == torch.float64


@pytest.mark.parametrize("depth", [2, 9, 0, -4])
def test_other_depths_are_refused(depth):
    with pytest.raises(ValueError, match=f"6 k \\+ 2, got {depth}; choose 8"):
        _drawn(depth)


def test_no_channel_is_refused():
    with pytest.raises(ValueError, match="width"):
        _drawn(8, width=0)
