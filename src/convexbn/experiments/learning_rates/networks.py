"""Networks at initialization, with batch normalization and without, and the batches they see.

A seed draws the weights, which are the same with BN and without, and the batches.
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from convexbn.inputs import check_between
from convexbn.networks.residual import Factory, ResidualNetwork, batch_norm
from convexbn.products import repeatable
from convexbn.training.checkpoints import Parts, fingerprint
from convexbn.training.samples import Samples
from convexbn.training.series import run_each

NORMALIZATIONS: dict[str, Factory | None] = {"bn": batch_norm, "plain": None}


@dataclass(frozen=True)
class Case:
    """A network that is drawn anew each time it is asked for, and the images that it sees.

    Attributes
    ----------
    features : dict of ndarray
        The features artifact of a data set of whole images.
    depth, width : int
        Of :class:`convexbn.networks.residual.ResidualNetwork`.
    normalization : str
        A key of `NORMALIZATIONS`.
    seed : int
    device : str or torch.device
    """

    features: dict[str, np.ndarray]
    depth: int
    width: int
    normalization: str
    seed: int
    device: str | torch.device = "cpu"

    @property
    def C(self) -> int:
        """The number of classes."""
        return int(self.features["labels_train"].max()) + 1

    def samples(self, split: str = "train") -> Samples:
        """Return the samples of a split, on the device."""
        return Samples.of(self.features, split, self.device)

    def network(self) -> ResidualNetwork:
        """Return the network at initialization, in training mode, on the device."""
        network = ResidualNetwork(
            self.depth,
            self.C,
            NORMALIZATIONS[self.normalization],
            width=self.width,
            channels=int(self.features["image"][2]),
            generator=torch.Generator().manual_seed(self.seed),
        )
        return network.to(memory_format=torch.channels_last).to(self.device)

    def batches(self, batch_size: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `count` batches X (b, c, H, W) and labels (b,), no training sample twice in one.

        Raises
        ------
        ValueError
            If there are fewer samples than a batch has, or it has only one.
        """
        samples = self.samples()
        check_between("batch_size", batch_size, 2, len(samples))
        generator = torch.Generator().manual_seed(self.seed)
        orders = [torch.randperm(len(samples), generator=generator) for _ in range(count)]
        # To the device at once: each move waits for it.
        for index in torch.stack([order[:batch_size] for order in orders]).to(samples.X.device):
            yield samples.X[index], samples.labels[index]


# From a case, the settings and a file that a long measurement may keep its state in, to the rows of
# a table.
Measurement = Callable[[Case, dict, Path | None], list[dict]]


def of_each(
    measurement: Measurement,
    depths: list[int],
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
    varied: Sequence[dict] = ({},),
) -> pd.DataFrame:
    """Measure the networks of some depths, with BN and without; return one table.

    Parameters
    ----------
    measurement : callable
        A function of a module.
    depths : list of int
    features : dict of ndarray
        The features artifact of a data set of whole images.
    settings : dict
        `width`, and what the measurement needs.
    seed : int
    device : str or torch.device
    parts : Parts, optional
        See :func:`convexbn.training.series.run_each`.
    varied : sequence of dict
        Settings of several measurements of each network.

    Returns
    -------
    DataFrame
        Columns depth, normalization and seed, then those of the rows.
    """
    measurements: dict[str, Callable[[Path | None], list[dict]]] = {}
    for depth, name, other in itertools.product(depths, NORMALIZATIONS, varied):
        case = Case(features, depth, settings["width"], name, seed, device)
        words = ", ".join([name, f"depth {depth}", *(f"{key} {other[key]:g}" for key in other)])
        measurements[words] = partial(_rows, measurement, case, settings | other)
    code = str(sys.modules[measurement.__module__].__file__)
    work = fingerprint(f"{settings} {seed} {device}", features, code) if parts else ""
    found = run_each(measurements, work, parts)
    return pd.DataFrame([row for rows in found.values() for row in rows])


def _rows(measurement: Measurement, case: Case, settings: dict, path: Path | None) -> list[dict]:
    labels = {"depth": case.depth, "normalization": case.normalization, "seed": case.seed}
    with repeatable(case.device):  # the rounding of TF32 is above what is measured
        return [labels | row for row in measurement(case, settings, path)]


def overflowed(value: float) -> float:
    """Return a value, or infinity for NaN, the difference or ratio of values that overflowed."""
    return math.inf if math.isnan(value) else value
