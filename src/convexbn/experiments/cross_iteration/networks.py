"""The network that all methods train, each with its normalization, and its optimizer."""

from typing import Any

import torch
from torch import nn

from convexbn.experiments.cross_iteration.settings import (
    BN,
    CBN,
    GROUPS,
    MOMENTUM,
    NAIVE,
    RENORMALIZATION,
    WEIGHT_DECAY,
    Settings,
)
from convexbn.networks.cross_iteration import cross_iteration
from convexbn.networks.renormalization import batch_renormalization
from convexbn.networks.residual import Factory, ResidualNetwork, batch_norm
from convexbn.training.samples import Samples

MOST_GROUPS = 32  # of group normalization (Wu and He 2018), of at least two channels each


def normalization_of(method: str, window: int, burn_in: int) -> Factory:
    """Return the normalization of a method.

    Parameters
    ----------
    method : str
        One of :data:`convexbn.experiments.cross_iteration.settings.METHODS`.
    window, burn_in : int
        In iterations. Batch Renormalization has the same burn-in, and its bounds grow over three
        times as many iterations after it.
    """
    factories: dict[str, Factory] = {
        BN: batch_norm,
        CBN: cross_iteration(window, burn_in),
        NAIVE: cross_iteration(window, burn_in, compensated=False),
        GROUPS: _groups,
        RENORMALIZATION: batch_renormalization(burn_in=burn_in, ramp=3 * burn_in),
    }
    return factories[method]


def _groups(layer: nn.Conv2d) -> nn.Module:
    C = layer.out_channels
    return nn.GroupNorm(max(1, min(MOST_GROUPS, C // 2)), C)


def network_of(
    normalization: Factory, samples: Samples, settings: Settings, seed: int
) -> ResidualNetwork:
    """Return a new network on the device of the samples; one seed has one start for all methods."""
    network = ResidualNetwork(
        settings.depth,
        int(samples.labels.max()) + 1,
        normalization,
        width=settings.width,
        channels=samples.X.shape[1],
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    place: dict[str, Any] = {"device": samples.X.device, "memory_format": torch.channels_last}
    return network.to(**place)


def optimizer_of(network: nn.Module, settings: Settings, batch_size: int) -> torch.optim.Optimizer:
    """Return SGD with momentum, its learning rate in proportion to the batch size."""
    rate = settings.rate(batch_size)
    return torch.optim.SGD(network.parameters(), rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
