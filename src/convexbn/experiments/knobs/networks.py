"""The headline's two-layer BN network as a torch module, with the knobs of the companion papers.

    f(x) = output relu(N(layer x)),    min  1/n sum_i ||f(x_i) - y_i||^2 / 2 + decay,

from the same start as :class:`convexbn.networks.two_layer.BNNetwork` with the same seed, where N is
BN over the batch or over the last iterations too, and the decay of the first layer, which BN makes
scale-free, is one of :data:`convexbn.experiments.knobs.settings.DECAYS`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

from convexbn.experiments.knobs.settings import ALL, CROSS_ITERATION, NONE
from convexbn.networks.cross_iteration import CrossIterationBatchNorm1d
from convexbn.networks.two_layer import BNNetwork

EPS = 1e-12  # of BN: torch asks for one, and the headline's network has none


def build(
    d: int, m: int, C: int, normalization: str, window: int, seed: int, burn_in: int = 0
) -> nn.Sequential:
    """Return the network of m neurons at the headline's start, in float32.

    Parameters
    ----------
    d, m, C : int
        Numbers of features, neurons and outputs.
    normalization : {"BN", "cross-iteration BN"}
    window : int
        Iterations that cross-iteration BN normalizes over.
    seed : int
    burn_in : int
        Iterations before cross-iteration BN begins.
    """
    start = BNNetwork(d, m, C, 1, torch.Generator().manual_seed(seed))
    layer, output = nn.Linear(d, m, bias=False), nn.Linear(m, C, bias=False)
    with torch.no_grad():
        layer.weight.copy_(start.w.T)
        output.weight.copy_(start.output.T)
    norm = nn.BatchNorm1d(m, eps=EPS)
    if normalization == CROSS_ITERATION:
        norm = CrossIterationBatchNorm1d(layer, window, burn_in, eps=EPS)
    parts = {"layer": layer, "norm": norm, "relu": nn.ReLU(), "output": output}
    return nn.Sequential(OrderedDict(parts))


def groups(network: nn.Sequential, decay: str, beta: float, n: int) -> list[dict]:
    """Return the groups of parameters of a torch optimizer, each with its weight decay.

    Parameters
    ----------
    network : Sequential
    decay : str
        One of `DECAYS`.
    beta : float
        Weight decay in the paper's units; that of the mean loss is `beta / sqrt(n)`.
    n : int
        Number of training samples.
    """
    per_sample = beta / math.sqrt(n)
    last = 0.0 if decay == NONE else per_sample
    first = per_sample if decay == ALL else 0.0
    parameters = dict(network.named_parameters())
    weight = parameters.pop("layer.weight")
    return [
        {"params": list(parameters.values()), "weight_decay": last},
        {"params": [weight], "weight_decay": first},
    ]


def squared_loss(targets: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss of scores (b, C) and labels (b,), the mean of half the squared distances.

    Parameters
    ----------
    targets : Tensor, shape (classes, C)
        The target of each class.
    """

    def loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (scores - targets[labels]).square().sum() / (2 * len(labels))

    return loss
