"""Gradients at initialization: their sums, their distribution, and those of the classes.

The gradient of an entry of a convolution's kernel is a sum over samples and positions,

    dl/dK[o, i, u, v] = sum_{b, x, y} d,   d = dl/dz[b, o, x, y] h[b, i, x + u, y + v],

of its outputs z and inputs h. Where its terms cancel, `sum |d|` is much larger than `|sum d|`. The
first of these is the same sum with the absolute values of h and of dl/dz: no loop over positions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.grad import conv2d_weight

from convexbn.experiments.learning_rates.networks import Case, of_each
from convexbn.experiments.learning_rates.summaries import ABSOLUTE, CLASS, DENSITY, RMS, SUM
from convexbn.training.checkpoints import Parts

GRADIENTS = ["depth", "normalization", "seed", "quantity", "layer", "x", "value"]
PLACES = (1 / 6, 1 / 2, 5 / 6)  # shares of the depth: an early, a middle and a late layer
EDGES = np.linspace(-8, 8, 65)  # of the bins of the histogram, in units of the rms


def measure(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Measure the gradients of a minibatch's mean loss.

    Parameters
    ----------
    features : dict of ndarray
    settings : dict
        `depth`, `width` and `batch_size`.
    seed : int
    device : str or torch.device
    parts : Parts, optional

    Returns
    -------
    DataFrame
        Columns `GRADIENTS`. By quantity: `ABSOLUTE` and `SUM`, means over the entries of the kernel
        of a `layer`, counted from 1; `RMS` of the entries of the middle one, and their `DENSITY` in
        units of it at `x`, the middle of a bin of `EDGES`; `CLASS`, the gradient of a sample's own
        loss in the score of class `x`, where `layer` is the place of the sample among those of the
        batch, in the order of their classes.
    """
    table = of_each(_rows, [settings["depth"]], features, settings, seed, device, parts)
    return table[GRADIENTS]


def _rows(case: Case, settings: dict, path: Path | None) -> list[dict]:
    ((X, labels),) = case.batches(settings["batch_size"], 1)
    order = labels.argsort(stable=True)
    X, labels = X[order], labels[order]
    network = case.network()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    layers = [round(place * len(convolutions)) for place in PLACES]
    watched = {layer: Watched(convolutions[layer - 1]) for layer in layers}
    scores = network(X)
    scores.retain_grad()
    cross_entropy(scores, labels).backward()
    rows = []
    for layer, found in watched.items():
        rows += _of_layer(ABSOLUTE, layer, [np.nan], [float(found.absolute().mean())])
        rows += _of_layer(SUM, layer, [np.nan], [float(found.sum().abs().mean())])
    rows += _histogram(layers[1], watched[layers[1]].sum())
    assert scores.grad is not None
    for place, gradient in enumerate(len(X) * scores.grad):
        rows += _of_layer(CLASS, place, range(case.C), gradient.tolist())
    return rows


def _of_layer(quantity: str, layer: int, x: Sequence[float], values: Sequence[float]) -> list[dict]:
    return [
        {"quantity": quantity, "layer": layer, "x": place, "value": value}
        for place, value in zip(x, values, strict=True)
    ]


def _histogram(layer: int, gradient: Tensor) -> list[dict]:
    """Return the rows of the density of a gradient's entries, over all of which it is one."""
    values = gradient.double().cpu().numpy().ravel()
    rms = np.sqrt(np.mean(values**2))
    counts, _ = np.histogram(values / rms, EDGES)
    density = counts / (len(values) * np.diff(EDGES))
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    return [
        *_of_layer(RMS, layer, [np.nan], [float(rms)]),
        *_of_layer(DENSITY, layer, middles.tolist(), density.tolist()),
    ]


class Watched:
    """A convolution that keeps its inputs, and the gradient of its outputs, from now on.

    Parameters
    ----------
    convolution : Conv2d
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        self.convolution = convolution
        convolution.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.inputs, self.output = inputs[0].detach(), output
        output.retain_grad()

    def sum(self) -> Tensor:
        """Return the sum of d (after a backward pass), in the shape of the kernel."""
        return self._summed(self.inputs, self._gradient())

    def absolute(self) -> Tensor:
        """Return the sum of |d| (after a backward pass), in the shape of the kernel."""
        return self._summed(self.inputs.abs(), self._gradient().abs())

    def _gradient(self) -> Tensor:
        assert self.output.grad is not None
        return self.output.grad

    def _summed(self, inputs: Tensor, gradient: Tensor) -> Tensor:
        conv = self.convolution
        return conv2d_weight(inputs, conv.weight.shape, gradient, conv.stride, conv.padding)
