"""The largest learning rate at which a network does not diverge in its first steps."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convexbn.experiments.learning_rates.networks import Case, of_each, overflowed
from convexbn.experiments.learning_rates.summaries import LIMIT
from convexbn.training.checkpoints import Parts

STABILITY = ["depth", "normalization", "seed", "learning_rate", "updates", "relative_loss"]


def measure(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Take a few steps of SGD at each of some learning rates.

    Parameters
    ----------
    features : dict of ndarray
    settings : dict
        `depths`, `width`, `batch_size`, `learning_rates` and `updates`, the number of steps.
    seed : int
    device : str or torch.device
    parts : Parts, optional

    Returns
    -------
    DataFrame
        Columns `STABILITY`: after one to `updates` steps, the largest loss on a new batch over the
        loss on it at initialization, infinity where that overflows. A network is left as soon as it
        is above `LIMIT`; `updates` says how many steps it took.
    """
    table = of_each(_rows, settings["depths"], features, settings, seed, device, parts)
    return table[STABILITY]


def _rows(case: Case, settings: dict, path: Path | None) -> list[dict]:
    batches = list(case.batches(settings["batch_size"], settings["updates"] + 1))
    network = case.network()
    with torch.no_grad():
        start = [float(cross_entropy(network(X), labels)) for X, labels in batches]
    return [
        {"learning_rate": rate, **_descent(case.network(), batches, start, rate)}
        for rate in settings["learning_rates"]
    ]


def _descent(
    network: nn.Module,
    batches: list[tuple[torch.Tensor, torch.Tensor]],
    start: list[float],
    rate: float,
) -> dict:
    """Take a step on each batch but the last; return the number of steps and the largest loss."""
    optimizer = torch.optim.SGD(network.parameters(), rate)
    largest, step = 0.0, 0
    for step, ((X, labels), before) in enumerate(zip(batches, start, strict=True)):
        loss = cross_entropy(network(X), labels)
        if step > 0:
            largest = max(largest, overflowed(float(loss.detach())) / before)
        if step == len(batches) - 1 or largest > LIMIT:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"updates": step, "relative_loss": largest}
