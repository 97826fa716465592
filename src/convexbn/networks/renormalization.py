"""Batch Renormalization: BN whose outputs are corrected towards those of the running statistics.

With the mean and standard deviation `mu_B, sigma_B` of the batch and `mu, sigma` of the past,

    r = clip(sigma_B / sigma, 1 / r_max, r_max),   d = clip((mu_B - mu) / sigma, -d_max, d_max),
    y = weight ((x - mu_B) / sigma_B r + d) + bias,

where no gradient flows through r and d (Ioffe 2017). r_max = 1, d_max = 0 is BN.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convexbn.inputs import check_between, is_number
from convexbn.networks.batch_statistics import (
    Statistics,
    apply,
    batch_statistics,
    count_of,
    count_on,
    track,
)


class Renormalization(_BatchNorm):
    """Base of the two classes below: Batch Renormalization with a linear schedule of its bounds.

    An iteration is a forward pass in training mode with gradients enabled. Without gradients a
    batch is normalized as by torch's BN, by its own statistics: so statistics of a data set are
    measured. Evaluation mode is torch's, too.

    Parameters
    ----------
    C : int
        Number of channels.
    r_max, d_max : float
        The bounds in the end.
    burn_in : int
        Iterations of plain BN at the beginning.
    ramp : int
        Iterations after those over which the bounds grow linearly, from 1 and 0.
    eps, momentum : float
        As for torch's BN.
    device, dtype
        Of the parameters and buffers.

    Attributes
    ----------
    weight, bias, running_mean, running_var, num_batches_tracked
        As in torch's BN.
    iterations : Tensor, shape ()
        Buffer: the number of iterations so far.

    Raises
    ------
    ValueError
        For bounds or numbers of iterations out of range; in `forward`, for a batch with a single
        value per channel.
    """

    iterations: torch.Tensor

    def __init__(
        self,
        C: int,
        r_max: float = 3.0,
        d_max: float = 5.0,
        burn_in: int = 0,
        ramp: int = 0,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        for name, value, low in (("r_max", r_max, 1), ("d_max", d_max, 0)):
            if not (is_number(value) and low <= value < inf):
                raise ValueError(
                    f"{name} must be a number >= {low}, got {value!r}; {low} is plain BN"
                )
        for name, value in (("burn_in", burn_in), ("ramp", ramp)):
            check_between(name, value, 0, inf)
        super().__init__(C, eps, momentum, device=device, dtype=dtype)
        self.r_max, self.d_max, self.burn_in, self.ramp = r_max, d_max, burn_in, ramp
        self.register_buffer("iterations", torch.zeros((), dtype=torch.long, device=device))

    def extra_repr(self) -> str:
        """Return the settings, for the representation of a network."""
        bounds = f"r_max={self.r_max}, d_max={self.d_max}"
        return f"{super().extra_repr()}, {bounds}, burn_in={self.burn_in}, ramp={self.ramp}"

    def bounds(self) -> tuple[float, float]:
        """Return r_max and d_max of the next iteration."""
        share = (count_of(self) - self.burn_in) / max(self.ramp, 1)
        share = min(max(share, 0.0), 1.0) if self.ramp else float(share >= 0)
        return 1 + share * (self.r_max - 1), share * self.d_max

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normalized input, of its shape (n, C, ...)."""
        self._check_input_dim(input)
        if not self.training or not torch.is_grad_enabled():
            return super().forward(input)
        current = batch_statistics(input, self.num_features)
        r, d = self._corrections(current)
        outputs = apply(current, input, self.weight * r, self.bias + self.weight * d, self.eps)
        track(self, current, input.numel() // self.num_features)
        count_on(self)
        return outputs

    @torch.no_grad()
    def _corrections(self, current: Statistics) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r and d, shape (C,)."""
        assert self.running_mean is not None
        assert self.running_var is not None
        r_max, d_max = self.bounds()
        inverse = (self.running_var + self.eps).rsqrt()
        r = (current.variance + self.eps).sqrt() * inverse
        d = (current.mean - self.running_mean) * inverse
        return r.clamp(1 / r_max, r_max), d.clamp(-d_max, d_max)


class BatchRenormalization1d(Renormalization, nn.BatchNorm1d):
    """Batch Renormalization of inputs (n, C) or (n, C, l)."""


class BatchRenormalization2d(Renormalization, nn.BatchNorm2d):
    """Batch Renormalization of inputs (n, C, H, W)."""


def batch_renormalization(
    r_max: float = 3.0, d_max: float = 5.0, burn_in: int = 0, ramp: int = 0
) -> Callable[[nn.Module], Renormalization]:
    """Return the function that makes the normalization of a layer, for networks that take one.

    Parameters
    ----------
    r_max, d_max, burn_in, ramp
        As for :class:`Renormalization`.
    """

    def normalization(layer: nn.Module) -> Renormalization:
        is_flat = isinstance(layer, nn.Linear | nn.Conv1d)
        kind = BatchRenormalization1d if is_flat else BatchRenormalization2d
        weight: Any = layer.weight
        place = {"device": weight.device, "dtype": weight.dtype}
        return kind(len(weight), r_max, d_max, burn_in, ramp, **place)

    return normalization
