"""Training the headline's network under each knob: settings in, one row per network out."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from convexbn.data.preprocessing import targets_of
from convexbn.experiments.knobs import networks
from convexbn.experiments.knobs.settings import COLUMNS, RESCALED, Knob, knobs
from convexbn.training.checkpoints import Parts, fingerprint
from convexbn.training.minibatches import Settings, train
from convexbn.training.rescaling import WeightRescaling
from convexbn.training.samples import Samples, accuracy_of
from convexbn.training.series import run_each
from convexbn.training.statistics import precise_statistics

SPLITS = "train", "validation", "test"


def measure(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Train a network for every knob and learning rate, all from one start.

    Parameters
    ----------
    features : dict of arrays
        The features artifact of whole images.
    settings : dict
        `width`, `epochs`, `momentum`, `beta` (weight decay in the paper's units), `window` of
        cross-iteration BN and `burn_in` (the share of its training before it begins),
        `batch_sizes`, `batch_size` (of the headline), and `learning_rates` at that batch size; at
        others they are in proportion to the batch.
    seed : int
        Of the start and of the order of the samples.
    device : str or torch.device
    parts : Parts, optional
        Where trainings are kept that are finished.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per network at the end of its training; `learning_rate` is that
        at `batch_size` of the settings, `epochs` those taken. Networks are evaluated with the
        statistics of the whole training set. One that diverged has NaN as its accuracies.
    """
    samples = {split: Samples.of(features, split, device, flat=True) for split in SPLITS}
    trainings = {
        f"{' '.join(map(str, knob))} {rate:g}": partial(
            _trained, features, samples, settings, knob, rate, seed
        )
        for knob, rate in _combinations(settings)
    }
    work = fingerprint(f"{settings} {seed} {device}", features, __file__)
    rows = run_each(trainings, work, parts)
    return pd.DataFrame(list(rows.values())).assign(seed=seed)[COLUMNS]


def _combinations(settings: dict) -> Iterator[tuple[Knob, float]]:
    return ((knob, rate) for knob in knobs(settings) for rate in settings["learning_rates"])


def _trained(
    features: dict[str, np.ndarray],
    samples: dict[str, Samples],
    settings: dict,
    knob: Knob,
    learning_rate: float,
    seed: int,
    checkpoint: Path | None,
) -> dict:
    """Return the row of one network."""
    data, beta = samples["train"], settings["beta"]
    (n, d), C = data.X.shape, features["Y_train"].shape[1]
    sizes = (d, settings["width"], C)
    steps = n // knob.batch_size  # of an epoch
    burn_in = round(settings["burn_in"] * settings["epochs"] * steps)
    network = networks.build(*sizes, knob.normalization, settings["window"], seed, burn_in)
    network = network.to(data.X.device)
    rate = learning_rate * knob.batch_size / settings["batch_size"]
    groups = networks.groups(network, knob.decay, beta, n)
    optimizer = torch.optim.SGD(groups, rate, momentum=settings["momentum"])
    if knob.decay == RESCALED:
        WeightRescaling(network, optimizer, every=steps)
    classes = np.unique(features["labels_train"])
    targets = torch.as_tensor(targets_of(classes, features)).to(data.X)
    *_, last = train(
        network,
        optimizer,
        data,
        Settings(settings["epochs"], knob.batch_size, seed),
        loss=networks.squared_loss(targets),
        checkpoint=checkpoint,
    )
    return {
        **knob._asdict(),
        **{name: last[name] for name in ("train_loss", "diverged", "seconds")},
        **_accuracies(network, samples, last["diverged"]),
        "learning_rate": learning_rate,
        "epochs": last["epoch"],
    }


def _accuracies(
    network: torch.nn.Module, samples: dict[str, Samples], diverged: bool
) -> dict[str, float]:
    if diverged:
        return {f"{split}_accuracy": float("nan") for split in SPLITS}
    precise_statistics(network, samples["train"])
    return {f"{split}_accuracy": accuracy_of(network, samples[split]) for split in SPLITS}
