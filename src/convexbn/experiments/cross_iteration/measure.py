"""From settings to tables: errors of statistics, and accuracies by batch size."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.cross_iteration import statistics as measured
from convexbn.experiments.cross_iteration.networks import (
    network_of,
    normalization_of,
    optimizer_of,
)
from convexbn.experiments.cross_iteration.settings import AGE, METHODS, WINDOW, Settings
from convexbn.products import repeatable
from convexbn.training import minibatches
from convexbn.training.checkpoints import Parts, fingerprint
from convexbn.training.samples import Samples, accuracy_of
from convexbn.training.series import run_each
from convexbn.training.statistics import precise_statistics

STATISTICS = ["against", "x", "seed", "step", "layer", "statistic", "method", "error"]
ACCURACIES = [
    *("method", "batch_size", "learning_rate", "seed", "train_loss", "diverged"),
    *("validation_accuracy", "test_accuracy", "running_accuracy", "seconds"),
]


def statistics(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Measure the errors of old statistics, and of statistics over a window, in two trainings.

    Parameters
    ----------
    features : dict of ndarray
        The features artifact.
    settings : dict
        An entry of `cross_iteration` in the config.
    seed : int
    device : str or torch.device
    parts
        Not used: both trainings are short.

    Returns
    -------
    DataFrame
        Columns `STATISTICS`, see :mod:`convexbn.experiments.cross_iteration.statistics`: a row per
        step that is measured, layer, age or window (`x`), statistic and method.
    """
    entry = Settings.of(settings)
    samples = Samples.of(features, device=device)
    found = {
        AGE: measured.old_statistics(samples, entry, seed),
        WINDOW: measured.windows(samples, entry, seed),
    }
    with repeatable(device):  # the rounding of TF32 is above what is measured
        rows = [{"against": against, **row} for against, part in found.items() for row in part]
    return pd.DataFrame(rows).assign(seed=seed)[STATISTICS]


def accuracies(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Train a network with each normalization at each batch size, with one seed.

    Parameters
    ----------
    features : dict of ndarray
        The features artifact.
    settings : dict
        An entry of `cross_iteration` in the config.
    seed : int
        Of the weights and of the order of the samples, the same for all methods.
    device : str or torch.device
    parts : Parts, optional
        See :func:`convexbn.training.series.run_each`.

    Returns
    -------
    DataFrame
        Columns `ACCURACIES`, a row per training. Validation and test accuracy are with statistics
        over the whole training set; `running_accuracy` is the validation accuracy with the running
        averages of the training.
    """
    entry = Settings.of(settings)
    assert entry.accuracies is not None
    splits = {s: Samples.of(features, s, device) for s in ("train", "validation", "test")}
    trainings = {
        f"{method}, batches of {size}": partial(_train, splits, entry, seed, method, size)
        for size in entry.accuracies.batch_sizes
        for method in METHODS
    }
    work = fingerprint(f"{entry} {seed} {device}", features, __file__)
    found = run_each(trainings, work, parts)
    return pd.DataFrame(list(found.values())).assign(seed=seed)[ACCURACIES]


def _train(
    splits: dict[str, Samples],
    settings: Settings,
    seed: int,
    method: str,
    batch_size: int,
    checkpoint: Path | None,
) -> dict:
    """Return the row of one training."""
    assert settings.accuracies is not None
    samples, epochs = splits["train"], settings.accuracies.epochs
    burn_in = round(settings.burn_in * epochs * (len(samples) // batch_size))
    factory = normalization_of(method, settings.window, burn_in)
    network = network_of(factory, samples, settings, seed)
    history = minibatches.train(
        network,
        optimizer_of(network, settings, batch_size),
        samples,
        minibatches.Settings(epochs, batch_size, seed, schedule="cosine"),
        checkpoint=checkpoint,
    )
    running = accuracy_of(network, splits["validation"])
    precise_statistics(network, samples)
    end = {name: history[-1][name] for name in ("train_loss", "diverged", "seconds")}
    return end | {
        "method": method,
        "batch_size": batch_size,
        "learning_rate": settings.rate(batch_size),
        "validation_accuracy": accuracy_of(network, splits["validation"]),
        "test_accuracy": accuracy_of(network, splits["test"]),
        "running_accuracy": running,
    }
