"""Networks trained at several learning rates, with batch normalization and without."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from convexbn.experiments.learning_rates.networks import Case, of_each
from convexbn.training.checkpoints import Parts
from convexbn.training.minibatches import Settings, train
from convexbn.training.samples import accuracy_of

TRAINING = [
    *("depth", "normalization", "seed", "learning_rate"),
    *("epoch", "train_loss", "diverged", "seconds", "validation_accuracy", "test_accuracy"),
]


def measure(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Train both networks at each learning rate.

    Parameters
    ----------
    features : dict of ndarray
    settings : dict
        `depth`, `width`, `learning_rates`, `momentum`, `weight_decay` (in torch's units: half of
        it times the squared weights is added to the mean loss) and fields of
        :class:`convexbn.training.minibatches.Settings`.
    seed : int
        Of the weights, and of the order of the samples.
    device : str or torch.device
    parts : Parts, optional

    Returns
    -------
    DataFrame
        Columns `TRAINING`, a row for each evaluated epoch. The test images are looked at once, when
        a training has ended; its last row has their accuracy, NaN if it has diverged.
    """
    rates = [{"learning_rate": rate} for rate in settings["learning_rates"]]
    depths = [settings["depth"]]
    return of_each(_rows, depths, features, settings, seed, device, parts, rates)[TRAINING]


def _rows(case: Case, settings: dict, path: Path | None) -> list[dict]:
    network, validation = case.network(), case.samples("validation")
    optimizer = torch.optim.SGD(
        network.parameters(),
        settings["learning_rate"],
        momentum=settings["momentum"],
        weight_decay=settings["weight_decay"],
    )

    def accuracy(network: nn.Module) -> dict[str, float]:
        return {"validation_accuracy": accuracy_of(network, validation)}

    history = train(
        network,
        optimizer,
        case.samples(),
        Settings.of(settings, case.seed),
        measure=accuracy,
        checkpoint=path,
    )
    is_stable = not history[-1]["diverged"]
    test = accuracy_of(network, case.samples("test")) if is_stable else np.nan
    rows = [
        {"learning_rate": settings["learning_rate"], "test_accuracy": np.nan, **row}
        for row in history
    ]
    return [*rows[:-1], rows[-1] | {"test_accuracy": test}]
