"""Batch normalization: its formula, and the statistics it normalizes by.

    BN(z) = weight zhat + bias,   zhat = (z - mean z) / sqrt(variance z),

in torch's coordinates of unit variance, with the biased variance and no eps, so that the networks
are the paper's (:mod:`convexbn.networks.two_layer` has the paper's scale). Mean and variance are
those of the batch in training mode, and the buffers of the network, those of its training samples,
in evaluation mode. Rows are on the last axis but one; the axes before it are networks of a stack.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

# Hidden values held at a time when a whole data set goes through a network: few enough for a cache.
BLOCK = 2**22

# Mean and biased variance of each pre-activation.
Statistics = tuple[torch.Tensor, torch.Tensor]


class BatchNormalized(nn.Module):
    """Base of modules whose neurons go through BN with `weight` and `bias`, of shape (..., m).

    Attributes
    ----------
    mean, variance : Tensor, shape (..., m), or None
        Buffers: mean and biased variance of each neuron over the training samples. A new module has
        none; it trains without them, and needs them in evaluation mode.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor | None
    variance: torch.Tensor | None
    optional: tuple[str, ...] = ("mean", "variance")  # buffers that may be None

    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        for name in self.optional:
            self.register_buffer(name, None)

    def bn(self, z: torch.Tensor) -> torch.Tensor:
        """Return BN(z), shape (..., n, m), by the statistics that the mode asks for."""
        return normalize(z, self.weight, self.bias, None if self.training else self._statistics())

    def _statistics(self) -> Statistics:
        if self.mean is None or self.variance is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no statistics of a training set to normalize by; "
                "call network.set_statistics(X_train), or network.train() to normalize by the batch"
            )
        return self.mean, self.variance

    def _load_from_state_dict(self, state: dict, prefix: str, *args: Any) -> None:
        """Load a state; first make room for the buffers that are None here and not in the state."""
        for name in self.optional:
            if getattr(self, name) is None and prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name]).to(self.bias))
        super()._load_from_state_dict(state, prefix, *args)


@contextmanager
def in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put a network into training or evaluation mode; afterwards every module is in its own."""
    before = [(module, module.training) for module in network.modules()]
    network.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def normalize(
    z: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    statistics: Statistics | None = None,
) -> torch.Tensor:
    """Return BN(z), shape (..., n, m).

    Parameters
    ----------
    z : Tensor, shape (..., n, m)
        Pre-activations, normalized over their n rows.
    weight, bias : Tensor, shape (..., m)
    statistics : pair of tensors of shape (..., m), optional
        Mean and biased variance; by default the statistics of z.
    """
    if statistics is None:
        mean = z.mean(-2, keepdim=True)
        centred = z - mean
        variance = centred.square().mean(-2, keepdim=True)
    else:
        mean, variance = (values.unsqueeze(-2) for values in statistics)
        centred = z - mean
    return centred * (weight.unsqueeze(-2) * inverse_root(variance, mean)) + bias.unsqueeze(-2)


def inverse_root(variance: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return 1 / sqrt(variance), and 0 with gradient 0 for a constant pre-activation.

    A pre-activation counts as constant if its spread is within rounding of its mean: dividing by
    such a spread would magnify rounding errors to size 1.
    """
    rounding = 32 * torch.finfo(variance.dtype).eps * mean.detach()
    constant = variance <= rounding.square()
    return variance.masked_fill(constant, 1.0).rsqrt().masked_fill(constant, 0.0)


@torch.no_grad()
def linear_statistics(X: torch.Tensor, w: torch.Tensor) -> Statistics:
    """Return mean and biased variance (..., m) of `X w` over the rows of X (..., n, d).

    Rows are centred before the product with `w`, so that a large common offset causes no
    cancellation, and the sums over blocks of rows are added in float64.
    """
    centre = X.mean(-2, keepdim=True, dtype=torch.float64)
    mean = (centre @ w.double()).squeeze(-2)
    parts = (((rows - centre.to(X.dtype)) @ w).square().sum(-2).double() for rows in blocks(X, w))
    squares = sum(parts, torch.zeros_like(mean))
    return mean.to(X.dtype), (squares / X.shape[-2]).to(X.dtype)


@torch.no_grad()
def relu_statistics(X: torch.Tensor, w: torch.Tensor) -> Statistics:
    """Return mean and biased variance (..., m) of `relu(X w)` over the rows of X (..., n, d).

    The sums are in float64. The variance takes a second pass, so that a large mean causes no
    cancellation.
    """
    n = X.shape[-2]
    zero = w.new_zeros((), dtype=torch.float64)
    sums = (torch.relu(rows @ w).double().sum(-2, keepdim=True) for rows in blocks(X, w))
    mean = sum(sums, zero) / n
    spreads = ((torch.relu(rows @ w).double() - mean).square().sum(-2) for rows in blocks(X, w))
    return mean.squeeze(-2).to(X.dtype), (sum(spreads, zero) / n).to(X.dtype)


def blocks(X: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split the rows of X so that each block's hidden values `X w` fit :data:`BLOCK`."""
    hidden = w.numel() // w.shape[-2]
    return X.split(max(1, BLOCK // hidden), dim=-2)
