"""The networks: a VGG of torchvision for images, and a fully connected network for vectors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from convexbn.inputs import check_choice

NO_EPS = 1e-100  # PyTorch refuses an eps of 0; in float64 no variance changes when this is added


def vgg(plan: Sequence[int | str], C: int, generator: torch.Generator) -> nn.Sequential:
    """Return the convolutions of a VGG with BN, the mean over positions, and a linear classifier.

    Parameters
    ----------
    plan : sequence of int or "M"
        Widths of the convolutions, and poolings of 2 x 2, as in `torchvision.models.vgg`.
    C : int
        Number of classes.
    generator : torch.Generator
        Draws the weights (He et al. 2015); biases start at 0.
    """
    from torchvision.models.vgg import make_layers

    widths = [width for width in plan if width != "M"]
    network = nn.Sequential(
        make_layers(list(plan), batch_norm=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(int(widths[-1]), C),
    )
    return _drawn(network, generator).to(memory_format=torch.channels_last)


def dense(
    d: int, widths: Sequence[int], C: int, generator: torch.Generator, **options: Any
) -> nn.Sequential:
    """Return a fully connected network with BN after every hidden layer.

    Parameters
    ----------
    d, C : int
        Features and classes.
    widths : sequence of int
        Neurons of the hidden layers.
    generator : torch.Generator
    **options
        Of the batch normalizations.
    """
    layers: list[nn.Module] = []
    for before, after in zip([d, *widths[:-1]], widths, strict=True):
        normalization = nn.BatchNorm1d(after, **options)
        layers += [nn.Linear(before, after, bias=False), normalization, nn.ReLU()]
    return _drawn(nn.Sequential(*layers, nn.Linear(widths[-1], C)), generator)


def _drawn(network: nn.Sequential, generator: torch.Generator) -> nn.Sequential:
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def first_layer(network: nn.Sequential) -> nn.Linear:
    """Return the first layer of a fully connected network."""
    (layer, *_) = network
    check_choice("the first layer", type(layer), [nn.Linear])
    assert isinstance(layer, nn.Linear)
    return layer
