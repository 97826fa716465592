"""Statistics of a batch, for variants of BN that are subclasses of torch's.

Inputs have shape (n, C, ...): n samples, C channels, positions. Mean and variance of a channel are
over all its values. Of inputs in half precision they are in float32, as by torch's BN: float16 does
not hold a variance above 65,504, nor bfloat16 a third digit of a mean.
"""

from typing import Any, NamedTuple

import torch
from torch.nn.modules.batchnorm import _BatchNorm


class Statistics(NamedTuple):
    """Mean and biased variance of each channel, the channels on the last axis."""

    mean: torch.Tensor
    variance: torch.Tensor


def at_least_single(inputs: torch.Tensor) -> torch.Tensor:
    """Return inputs in half precision as float32, others as they are."""
    return inputs.float() if inputs.dtype in (torch.float16, torch.bfloat16) else inputs


def batch_statistics(inputs: torch.Tensor, C: int) -> Statistics:
    """Return the statistics of a batch, shape (C,).

    Parameters
    ----------
    inputs : Tensor, shape (n, C, ...)
    C : int
        The number of channels that is expected.

    Raises
    ------
    ValueError
        For another number of channels, or a single value per channel: it has no spread.
    """
    if inputs.shape[1] != C:
        raise ValueError(
            f"input must have {C} channels on its axis 1, got shape {tuple(inputs.shape)}; give "
            "the outputs of the layer that this normalization was built for"
        )
    if inputs.numel() <= C:
        raise ValueError(
            "a batch must have at least 2 values per channel to be normalized by their spread, got "
            f"shape {tuple(inputs.shape)}; train with a larger batch_size, drop a last batch of 1, "
            "or call network.eval() to normalize by the running statistics"
        )
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    variance, mean = torch.var_mean(at_least_single(inputs), dim=axes, correction=0)
    return Statistics(mean, variance)


def apply(
    statistics: Statistics,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
) -> torch.Tensor:
    """Return `weight (inputs - mean) / sqrt(variance + eps) + bias`, shape (n, C, ...)."""
    scale = weight * (statistics.variance + eps).rsqrt()
    shift = torch.addcmul(bias, statistics.mean, scale, value=-1)
    shift, scale = by_channel(shift, inputs), by_channel(scale, inputs)
    return torch.addcmul(shift, at_least_single(inputs), scale).to(inputs.dtype)


def by_channel(values: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return values (C,) with axes of length 1 for the positions of inputs (n, C, ...)."""
    return values.reshape(-1, *[1] * (inputs.ndim - 2))


def pool(current: Statistics, past: Statistics) -> Statistics:
    """Return the statistics of several batches of one size together, shape (C,).

    Parameters
    ----------
    current : Statistics, shape (C,)
    past : Statistics, shape (m, C)
    """
    k = len(past.mean) + 1
    spread, centre = torch.var_mean(past.mean, 0, correction=0)
    rest = past.variance.mean(0) + spread
    change = current.mean - centre
    # The spread of all k means is that of the past ones and the distance between both parts.
    variance = (current.variance + (k - 1) * rest) / k + (k - 1) / k**2 * change.square()
    return Statistics(centre + change / k, variance)


def count_of(module: Any) -> int:
    """Return the number in the buffer `iterations` of a module.

    A device is waited for once, and again only when anything but :func:`count_on` has set it: a
    checkpoint, a move.
    """
    buffer, version, count = getattr(module, "_counted", (None, 0, 0))
    if buffer is not module.iterations or version != buffer._version:
        count = int(module.iterations)
        module._counted = module.iterations, module.iterations._version, count
    return count


def count_on(module: Any) -> None:
    """Add 1 to the buffer `iterations` of a module, and remember the sum on the host."""
    count = count_of(module) + 1
    module.iterations += 1
    module._counted = module.iterations, module.iterations._version, count


@torch.no_grad()
def track(module: _BatchNorm, statistics: Statistics, n: int) -> None:
    """Update the running statistics of a module as torch's BN does.

    Parameters
    ----------
    module : BatchNorm
    statistics : Statistics, shape (C,)
    n : int
        Number of values that each statistic is of: the running variance is of `n / (n - 1)` times
        the variance.
    """
    assert module.running_mean is not None
    assert module.running_var is not None
    assert module.num_batches_tracked is not None
    module.num_batches_tracked += 1
    share = module.momentum if module.momentum is not None else 1 / int(module.num_batches_tracked)
    unbiased = statistics.variance.detach() * (n / (n - 1))
    module.running_mean.lerp_(statistics.mean.detach().to(module.running_mean), share)
    module.running_var.lerp_(unbiased.to(module.running_var), share)
