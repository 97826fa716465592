"""The weights of one layer by channel, and the gradients in them of its outputs' statistics.

Outputs z (n, C, ...) of a linear or convolutional layer: channel c depends on filter c alone,
`z_c = <theta_c, patch> + b_c`, for a patch of the inputs per sample and position. So

    d mean_c / d theta_c = mean patch,   d var_c / d theta_c = 2 mean (z_c - mean_c) patch,

the first the same for all channels (of a group, where a convolution has several), and both together
cost one product like the weight gradient of the backward pass. The bias is not among the weights:
it moves the mean, and nothing else.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.grad import conv1d_weight, conv2d_weight


def check_layer(layer: nn.Module) -> None:
    """Raise ValueError for a module that is not a Linear, Conv1d or Conv2d layer, zero-padded."""
    if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
        raise ValueError(
            f"layer must be a Linear, Conv1d or Conv2d layer, got {type(layer).__name__}; give the "
            "layer right before the normalization"
        )
    mode, padding = getattr(layer, "padding_mode", "zeros"), getattr(layer, "padding", 0)
    if mode != "zeros" or isinstance(padding, str):
        raise ValueError(
            "layer must pad with a number of zeros, got "
            f"padding={padding!r}, padding_mode={mode!r}; give the padding as numbers"
        )


def own_weights(layer: nn.Module) -> torch.Tensor:
    """Return the weights of a layer by channel, without the bias: shape (C, p)."""
    module: Any = layer
    return module.weight.flatten(1)


def bias_of(layer: nn.Module) -> torch.Tensor | None:
    """Return the bias of a layer, shape (C,), if it has one."""
    module: Any = layer
    return module.bias


def groups_of(layer: nn.Module) -> int:
    """Return the number of groups of channels, which see different inputs."""
    return getattr(layer, "groups", 1)


@torch.no_grad()
def statistics_gradients(
    layer: nn.Module, inputs: torch.Tensor, centred: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of the mean and the biased variance of each channel.

    Parameters
    ----------
    layer : torch.nn.Linear, Conv1d or Conv2d
    inputs : Tensor
        Of the layer.
    centred : Tensor, shape (n, C, ...)
        Its outputs less their means.

    Returns
    -------
    mean_gradient : Tensor, shape (groups, p)
    variance_gradient : Tensor, shape (C, p)
    """
    G, C = groups_of(layer), centred.shape[1]
    factors = centred.unflatten(1, (G, C // G))
    factors = torch.cat([2 * factors, torch.ones_like(factors[:, :, :1])], dim=2).flatten(1, 2)
    patches = _weight_gradient(layer, inputs, factors / (centred.numel() // C))
    patches = patches.unflatten(0, (G, C // G + 1)).flatten(2)  # (G, C / G + 1, p)
    mean, variance = patches[:, -1], patches[:, :-1].flatten(0, 1)
    # What rounding has left of the means is multiplied by the inputs' mean, which may be large.
    left = 2 * centred.transpose(0, 1).flatten(1).mean(1, keepdim=True)  # (C, 1)
    return mean, variance - left * mean.repeat_interleave(C // G, dim=0)


def _weight_gradient(layer: Any, inputs: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Return sums over samples and positions of factor times patch."""
    if isinstance(layer, nn.Linear):
        return factors.T @ inputs
    size = (factors.shape[1], *layer.weight.shape[1:])
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    gradient = conv1d_weight if isinstance(layer, nn.Conv1d) else conv2d_weight
    return gradient(inputs, size, factors, *options)
