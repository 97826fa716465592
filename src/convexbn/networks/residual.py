"""Residual networks for small images, with any normalization or none (He et al. 2016, section 4.2).

    stem      relu(N(conv(x)))                               width w
    block     relu(N(conv(relu(N(conv(h))))) + shortcut(h))
    stages    three of k blocks each, of widths w, 2w, 4w; the first block of the second and of
              the third halves the image
    head      a linear layer on the mean over the positions

A network has depth 6 k + 2, and N is its normalization. Where a block changes the shape, its
shortcut takes every second row and column and pads the new channels with zeros (option A), so that
every weight is in a layer that N follows, but for those of the head. As in Bjorck et al. (2018),
weights are drawn by Xavier's initialization (Glorot and Bengio 2010), and convolutions have biases,
which start at 0, where there is no normalization.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad
from torch.nn.utils import skip_init

from convexbn.inputs import check_between

# From the layer that it follows to a normalization.
Factory = Callable[[Any], nn.Module]


def batch_norm(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Return torch's BN for the outputs of a layer, on its device and in its dtype."""
    options: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    if isinstance(layer, nn.Conv2d):
        return nn.BatchNorm2d(layer.out_channels, **options)
    return nn.BatchNorm1d(layer.out_features, **options)


class ResidualNetwork(nn.Module):
    """A residual network; maps images (n, channels, H, W) to scores (n, C).

    Parameters
    ----------
    depth : int
        Number of layers with weights, 6 k + 2: 8, 14, 20, 32, 56, 110, ...
    C : int
        Number of classes.
    normalization : callable or None
        From a convolution to the module that follows it; None for a network without normalization.
    width : int
        Channels of the first stage, 16 in He et al. (2016).
    channels : int
        Channels of the images.
    generator : torch.Generator
        Draws the weights, in float32 on its device.

    Raises
    ------
    ValueError
        If the depth is not 6 k + 2, or a number is less than 1.
    """

    def __init__(
        self,
        depth: int,
        C: int,
        normalization: Factory | None = batch_norm,
        *,
        width: int = 16,
        channels: int = 3,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        for name, value in (("C", C), ("width", width), ("channels", channels)):
            check_between(name, value, 1, 10**9)
        k, rest = divmod(depth - 2, 6)
        if k < 1 or rest:
            raise ValueError(
                f"the depth of a residual network is 6 k + 2, got {depth}; choose 8, 14, 20, 32, "
                "44, 56, 110 or another of these"
            )
        self.stem, self.stem_normalization = _pair(channels, width, 1, normalization, generator)
        blocks, before = [], width
        for after in (width, 2 * width, 4 * width):
            for _ in range(k):
                blocks.append(Block(before, after, normalization, generator))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = _drawn(
            skip_init(nn.Linear, 4 * width, C, device=str(generator.device)), generator
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the scores (n, C) of images X (n, channels, H, W)."""
        hidden = self.blocks(torch.relu(self.stem_normalization(self.stem(X))))
        return self.head(hidden.mean((-2, -1)))


class Block(nn.Module):
    """Two convolutions of 3 x 3 with their normalizations, and a shortcut around them.

    Parameters
    ----------
    before, after : int
        Channels of input and output; the image is halved where they differ.
    normalization, generator
        As for :class:`ResidualNetwork`.
    """

    def __init__(
        self, before: int, after: int, normalization: Factory | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.stride, self.new = (1 if before == after else 2), after - before
        self.conv1, self.norm1 = _pair(before, after, self.stride, normalization, generator)
        self.conv2, self.norm2 = _pair(after, after, 1, normalization, generator)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the output (n, after, H, W) of X (n, before, stride H, stride W)."""
        hidden = torch.relu(self.norm1(self.conv1(X)))
        return torch.relu(self.norm2(self.conv2(hidden)) + self.shortcut(X))

    def shortcut(self, X: torch.Tensor) -> torch.Tensor:
        """Return X in the shape of the block's output."""
        if self.new == 0:
            return X
        return pad(X[..., :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))


def _pair(
    before: int,
    after: int,
    stride: int,
    normalization: Factory | None,
    generator: torch.Generator,
) -> tuple[nn.Conv2d, nn.Module]:
    """Return a convolution of 3 x 3 and the normalization that follows it."""
    options: dict[str, Any] = {"stride": stride, "padding": 1, "bias": normalization is None}
    conv = skip_init(nn.Conv2d, before, after, 3, **options, device=str(generator.device))
    conv = _drawn(conv, generator)
    return conv, nn.Identity() if normalization is None else normalization(conv)


def _drawn(layer: Any, generator: torch.Generator) -> Any:
    """Return a layer with weights drawn by Xavier's initialization and zero bias, if it has one."""
    nn.init.xavier_normal_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
