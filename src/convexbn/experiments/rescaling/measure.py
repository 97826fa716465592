"""From settings to tables: deviations from the identities, and trainings by each method."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from convexbn.experiments.rescaling.identities import trajectory
from convexbn.experiments.rescaling.networks import dense, first_layer, vgg
from convexbn.experiments.rescaling.optimizers import (
    effective_rate,
    mean_squared_norm,
    optimizer_of,
)
from convexbn.experiments.rescaling.settings import Identities, Run, some_of
from convexbn.experiments.rescaling.span import basis_of, beside, without_part_beside
from convexbn.inputs import check_between, check_choice
from convexbn.progress import progress
from convexbn.training import minibatches
from convexbn.training.checkpoints import Parts, fingerprint
from convexbn.training.samples import Samples, accuracy_of
from convexbn.training.series import run_each

IDENTITIES = [
    *("dataset", "seed", "learning_rate", "weight_decay", "layer", "step"),
    *("growth", "predicted_growth", "growth_error", "falls"),
    *("beside", "predicted_beside", "beside_error"),
]
RUNS = [
    *("method", "seed", "learning_rate", "weight_decay", "epoch", "train_loss", "diverged"),
    *("norm", "effective_rate", "beside", "validation_accuracy", "test_accuracy"),
    *("spanned_accuracy", "seconds"),
]


def identities(
    features: dict[str, np.ndarray], name: str, settings: dict, seed: int
) -> pd.DataFrame:
    """Check the identities of SGD in float64, at several learning rates, with and without decay.

    Parameters
    ----------
    features : dict of ndarray
        The features artifact.
    name : str
        Of the data set.
    settings : dict
        Fields of :class:`convexbn.experiments.rescaling.settings.Identities`.
    seed : int
        The first one.

    Returns
    -------
    DataFrame
        Columns `IDENTITIES`, a row per training, layer and recorded step: `growth` of the sum of
        squared norms over its start, and its prediction from the gradients; `growth_error`, the
        largest relative error so far of the growth in one step; `falls`, how many times a filter
        has become shorter; `beside`, the norm of the part of the first layer that is orthogonal to
        the training inputs, over its start, its prediction from the weight decay, and the largest
        error so far, over the start. NaN where there is no identity: in growth with weight decay,
        and beside the inputs of other layers.
    """
    entry = Identities.of(settings)
    samples = _first(Samples.of(features, flat=True), entry.samples)
    X, rows = samples.X.double(), []
    cases = [
        (seed + i, rate, decay)
        for i in range(entry.seeds)
        for rate in entry.learning_rates
        for decay in (0.0, entry.weight_decay)
    ]
    with progress(len(cases), "trainings") as bar:
        for number, rate, decay in cases:
            columns = {"seed": number, "learning_rate": rate, "weight_decay": decay}
            found = trajectory(X, samples.labels, entry, rate, decay, number)
            rows += [columns | row for row in found]
            bar.step()
    table = pd.DataFrame(rows).assign(dataset=name)[IDENTITIES]
    # The norm's identity is that of trainings without decay.
    table.loc[table["weight_decay"] > 0, ["predicted_growth", "growth_error", "falls"]] = np.nan
    return table


def runs(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Train a network by each method at each learning rate, with one seed.

    Parameters
    ----------
    features : dict of ndarray
        The features artifact.
    settings : dict
        Fields of :class:`convexbn.experiments.rescaling.settings.Run`.
    seed : int
        Of the weights and of the order of the samples, the same for all methods.
    device : str or torch.device
    parts : Parts, optional
        See :func:`convexbn.training.series.run_each`.

    Returns
    -------
    DataFrame
        Columns `RUNS`, a row per training and evaluated epoch: `norm`, the root mean square over
        the filters; `effective_rate`, that of a filter of this norm; `beside`, for fully connected
        networks on fewer samples than features, the share of the first layer's norm that the part
        orthogonal to the training inputs has. At the last epoch also `test_accuracy`, and
        `spanned_accuracy`, that without this part.
    """
    trainer = _Trainer(features, Run(**some_of(Run, settings)), seed, device)
    trainings = {
        f"{method}, rate {rate:g}, decay {decay:g}": partial(trainer.train, method, rate, decay)
        for method, rate, decay in trainer.settings.trainings
    }
    work = fingerprint(f"{trainer.settings} {seed} {device}", features, __file__)
    rows = [row for found in run_each(trainings, work, parts).values() for row in found]
    return pd.DataFrame(rows).assign(seed=seed).reindex(columns=RUNS)


class _Trainer:
    """Trainings of one seed, that differ in the method."""

    def __init__(
        self, features: dict[str, Any], settings: Run, seed: int, device: str | torch.device
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        flat = settings.plan is None
        self.train_samples, self.validation, self.test = (
            Samples.of(features, split, device, flat) for split in ("train", "validation", "test")
        )
        self.C = int(self.train_samples.labels.max()) + 1
        if settings.samples is not None:
            self.train_samples = _first(self.train_samples, settings.samples)
        # The span of all features has nothing beside it.
        is_part = flat and len(self.train_samples) < self.train_samples.X.shape[1]
        self.basis = basis_of(self.train_samples.X) if is_part else None

    def train(self, method: str, rate: float, decay: float, checkpoint: Path | None) -> list[dict]:
        """Return the history of a training, and test accuracies at its end."""
        s = self.settings
        network = self._network().to(self.device)
        steps = len(self.train_samples) // s.batch_size
        optimizer = optimizer_of(network, method, rate, decay, s, steps)

        def measure(network: nn.Module) -> dict[str, float]:
            squared = mean_squared_norm(network)
            now = optimizer.param_groups[0]["lr"]
            return {
                "norm": squared**0.5,
                "effective_rate": effective_rate(method, s.optimizer, now, squared),
                "validation_accuracy": accuracy_of(network, self.validation),
                **self._share(network),
            }

        history = minibatches.train(
            network,
            optimizer,
            self.train_samples,
            minibatches.Settings.of(vars(s), self.seed),
            measure=measure,
            checkpoint=checkpoint,
        )
        history[-1] |= self._tested(network)
        columns = {"method": method, "learning_rate": rate, "weight_decay": decay}
        return [columns | row for row in history]

    def _network(self) -> nn.Sequential:
        generator = torch.Generator("cpu").manual_seed(self.seed)
        if self.settings.plan is not None:
            check_choice("the number of channels of a VGG", self.train_samples.X.shape[1], [3])
            return vgg(self.settings.plan, self.C, generator)
        assert self.settings.widths is not None  # the schema asks for one of the two
        return dense(self.train_samples.X.shape[1], self.settings.widths, self.C, generator)

    def _share(self, network: Any) -> dict[str, float]:
        if self.basis is None:
            return {}
        weight = first_layer(network).weight
        return {"beside": float(beside(weight, self.basis).norm() / weight.norm())}

    def _tested(self, network: nn.Sequential) -> dict[str, float]:
        found = {"test_accuracy": accuracy_of(network, self.test)}
        if self.basis is not None:
            spanned = without_part_beside(network, self.basis)
            found["spanned_accuracy"] = accuracy_of(spanned, self.test)
        return found


def _first(samples: Samples, n: int) -> Samples:
    check_between("samples", n, 1, len(samples))
    return Samples(samples.X[:n], samples.labels[:n])
