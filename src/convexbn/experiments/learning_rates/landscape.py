"""A network along its gradient at initialization: its loss, and the moments of its channels.

    theta(eta) = theta_0 - eta grad l(theta_0),

the loss l on one minibatch, whose statistics normalize every layer, before the step and after it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convexbn.experiments.learning_rates.networks import Case, of_each, overflowed
from convexbn.networks.residual import ResidualNetwork
from convexbn.training.checkpoints import Parts

MOMENTS = ["mean", "mean_std", "variance", "variance_std"]
LANDSCAPE = ["depth", "normalization", "seed", "step", "relative_loss", "block", *MOMENTS]


def measure(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Go along the gradient at initialization, with steps of several sizes.

    Parameters
    ----------
    features : dict of ndarray
    settings : dict
        `depth`, `width`, `batch_size` and `steps`, to which 0 is added.
    seed : int
    device : str or torch.device
    parts : Parts, optional

    Returns
    -------
    DataFrame
        Columns `LANDSCAPE`, a row for each step and block: the loss over that at initialization,
        and of the block's outputs, over samples and positions, the absolute mean and the variance
        of a channel, on average over the channels, with standard deviations over them. What
        overflows is infinity.
    """
    table = of_each(_rows, [settings["depth"]], features, settings, seed, device, parts)
    return table[LANDSCAPE]


def _rows(case: Case, settings: dict, path: Path | None) -> list[dict]:
    ((X, labels),) = case.batches(settings["batch_size"], 1)
    network = case.network()
    loss = cross_entropy(network(X), labels)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    start = [values.detach().clone() for values in network.parameters()]
    rows = []
    for step in (0.0, *settings["steps"]):
        with torch.no_grad(), moments(network) as found:
            for values, origin, gradient in zip(
                network.parameters(), start, gradients, strict=True
            ):
                values.copy_(origin - step * gradient)
            after = overflowed(float(cross_entropy(network(X), labels)))
        labelled = {"step": step, "relative_loss": after / float(loss.detach())}
        rows += [{**labelled, "block": i, **row} for i, row in enumerate(found, start=1)]
    return rows


@contextmanager
def moments(network: ResidualNetwork) -> Iterator[list[dict[str, float]]]:
    """Record the moments of the channels of each block in turn, whenever the network is called.

    Yields
    ------
    list of dict
        With `MOMENTS` of a block. It grows when the network is called.
    """
    found: list[dict[str, float]] = []

    def record(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        variance, mean = torch.var_mean(output.double(), (0, 2, 3), correction=0)  # (channels,)
        row: dict[str, float] = {}
        for name, channels in {"mean": mean.abs(), "variance": variance}.items():
            std, average = torch.std_mean(channels)
            row |= {name: overflowed(float(average)), f"{name}_std": overflowed(float(std))}
        found.append(row)

    handles = [block.register_forward_hook(record) for block in network.blocks]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
