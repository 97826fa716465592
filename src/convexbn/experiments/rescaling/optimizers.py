"""The methods: how the optimizer treats the filters that batch normalization follows."""

from typing import Any

import torch
from torch import nn

from convexbn.experiments.rescaling.settings import DECAY, RESCALING, SCALED, Run
from convexbn.training.rescaling import WeightRescaling, normalized_layers


def filters_of(network: nn.Module) -> list[torch.Tensor]:
    """Return the weights, a filter per row, that batch normalization follows."""
    return [network.get_parameter(f"{name}.weight") for name in normalized_layers(network)]


def optimizer_of(
    network: nn.Module, method: str, rate: float, decay: float, settings: Run, steps: int
) -> torch.optim.Optimizer:
    """Return the optimizer of a method.

    Parameters
    ----------
    network : Module
    method : str
        One of :data:`convexbn.experiments.rescaling.settings.METHODS`.
    rate, decay : float
        Learning rate, and weight decay of the filters.
    settings : Run
    steps : int
        Steps of an epoch, after which filters are rescaled.
    """
    filters = filters_of(network)
    others = [p for p in network.parameters() if not any(p is w for w in filters)]
    groups: list[dict[str, Any]] = [
        {"params": filters, "weight_decay": decay if method == DECAY else 0.0},
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.classifier_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, lr=rate, betas=(settings.momentum, 0.999))
    else:
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    if method == RESCALING:
        WeightRescaling(network, optimizer, steps)
    if method == SCALED:
        optimizer.register_step_pre_hook(_scale)
    return optimizer


@torch.no_grad()
def _scale(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Multiply the gradient of each filter w by ||w||^2: its effective rate is the learning rate.

    SGD then takes the step of the learning rate times ||w||^2; momentum adds steps up as they were.
    """
    for weight in optimizer.param_groups[0]["params"]:
        if weight.grad is not None:
            weight.grad.mul_(squared_norms(weight).view(-1, *[1] * (weight.ndim - 1)))


def squared_norms(weight: torch.Tensor) -> torch.Tensor:
    """Return the squared norms (m,) of the filters of a weight (m, ...)."""
    return weight.detach().flatten(1).square().sum(dim=1)


def mean_squared_norm(network: nn.Module) -> float:
    """Return the mean over all filters of the squared norm."""
    return float(torch.cat([squared_norms(weight) for weight in filters_of(network)]).mean())


def effective_rate(method: str, optimizer: str, rate: float, squared_norm: float) -> float:
    """Return the learning rate of the direction of a filter, eta / ||w||^2 for SGD.

    A step of Adam has the same length for every norm, and the rate of the direction is eta / ||w||.
    """
    if method == SCALED:
        return rate
    return rate / (squared_norm**0.5 if optimizer == "adam" else squared_norm)
