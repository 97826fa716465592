"""Runs of the convex program: settings, data, and the samples in the coordinates of the program.

A run sees whole images as the whitened design U, (n, r + 1). Images cut into patches belong to a
convolutional network: BN normalizes over the K n rows of all patches, so these are whitened
together, and the average over the K positions makes `U_k / K`, (K, n, r + 1), the design.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convexbn.arrangements.gates import activation
from convexbn.data.preprocessing import targets_of
from convexbn.experiments.headline.shares import Share
from convexbn.pipeline.artifacts import load_tensors
from convexbn.pipeline.designs import filter_columns, truncated
from convexbn.programs.certificates import Certificate
from convexbn.programs.design import forward
from convexbn.training.tuning import is_tuned
from convexbn.whitening import Whitening

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes
    ----------
    betas : sequence of float
        Weight decays, in the paper's units.
    tolerance : float
        The relative duality gap that each solution must reach.
    loss, penalty : str
        As for :func:`convexbn.solve`.
    max_iterations : int
        Limit on the solver's iterations, per beta.
    allow_uncertified : bool
        Whether to continue with a solution that misses the tolerance, instead of failing.
    tuning_seeds : int, optional
        Number of seeds, the first ones, that are solved for every beta; the other seeds are solved
        only for the beta with the best validation accuracy. By default all are solved for every
        beta.
    """

    betas: Sequence[float]
    tolerance: float
    loss: str = "squared"
    penalty: str = "group"
    max_iterations: int = 100_000
    allow_uncertified: bool = False
    tuning_seeds: int | None = None

    @classmethod
    def of(cls, entry: dict) -> "Settings":
        """Return the settings of an entry of `convex` in the config."""
        return cls(**{name: entry[name] for name in cls.__dataclass_fields__.keys() & entry.keys()})

    @property
    def descending(self) -> list[float]:
        """The betas in the order they are solved in."""
        return sorted(self.betas, reverse=True)

    @property
    def terms(self) -> dict[str, Any]:
        """The terms of the program and its tolerance, as arguments of the public functions."""
        return {"loss": self.loss, "penalty": self.penalty, "tol": self.tolerance}

    def missed(self, certificate: Certificate, where: str) -> list[str]:
        """Return what there is to say of a missed tolerance; it is logged if the run allows it."""
        if certificate.converged:
            return []
        message = (
            f"{where}: relative gap {certificate.relative_gap:.2e} instead of at most "
            f"{self.tolerance:.0e} ({certificate.reason}); raise the tolerance, or "
            "max_iterations if they were too few, or set allow_uncertified: true to have it drawn "
            "with a mark"
        )
        if self.allow_uncertified:
            logger.warning(message)
            return []
        return [message]


@dataclass(frozen=True)
class Samples:
    """Whitened samples of one split under the gates of one seed; whole images have K = 1 patch.

    U and D of the training samples are those of this process, if several share them.
    """

    U: torch.Tensor  # (K, m, r + 1), divided by K
    D: torch.Tensor  # (K, m, P), bool
    labels: np.ndarray  # (m,)
    targets: np.ndarray  # (m, C)

    def scores(self, W: torch.Tensor) -> torch.Tensor:
        """Return the predictions (m, C) of weights W (r + 1, P, C), in their precision."""
        rows = forward(self.U.to(W.dtype).flatten(0, 1), self.D.flatten(0, 1), W)
        return rows.unflatten(0, self.U.shape[:2]).sum(dim=0).cpu()


@dataclass(frozen=True)
class Run:
    """A run and its data.

    Attributes
    ----------
    settings : Settings
    features : dict of ndarray
        The features artifact; X_train in the rows of the share.
    whitening : Whitening
        Truncated or filtered as the run asks; U in the rows of the share.
    seeds : list of int
        One path of betas each.
    gates : ndarray, shape (S, r + 1, P)
    setup_seconds : ndarray, shape (S,)
        Time of the SVD and the gates, at which the clocks of the paths start.
    device : str
    filter_kind : str
        "" without a filter.
    filter_value : float
        NaN without a filter.
    share : Share
        The training samples that this process has.
    """

    settings: Settings
    features: dict[str, np.ndarray]
    whitening: Whitening
    seeds: list[int]
    gates: np.ndarray
    setup_seconds: np.ndarray
    device: str = "cpu"
    filter_kind: str = ""
    filter_value: float = math.nan
    share: Share = field(default_factory=Share)
    _held: dict[str, tuple[int, Samples]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def read(
        cls,
        features: str | Path,
        whitening: str | Path,
        gates: str | Path,
        entry: dict,
        device: str = "cpu",
        share: Share | None = None,
    ) -> "Run":
        """Read a run from the files of its artifacts, and its entry in the config."""
        share, sampled = share or Share(), load_tensors(gates)
        images, svd = share.read(features, whitening)
        return cls(
            settings=Settings.of(entry),
            features=images,
            whitening=truncated(svd, entry),
            seeds=sampled["seeds"].tolist(),
            gates=sampled["gates"],
            setup_seconds=svd["seconds"] + sampled["seconds"],
            device=device,
            share=share,
            **filter_columns(entry),
        )

    @property
    def is_tuned(self) -> bool:
        """Whether some of the seeds choose the beta of the others."""
        return is_tuned(self.settings.tuning_seeds, len(self.seeds))

    @property
    def targets(self) -> np.ndarray:
        """Targets of the training samples that this process has."""
        Y: np.ndarray = self.features["Y_train"]
        return Y[self.share.rows(len(Y))]

    @property
    def patches(self) -> int:
        """Number of patches per sample, K."""
        X = self.features["X_train"]
        return len(X) if X.ndim == 3 else 1

    def samples(self, split: str, s: int) -> Samples:
        """Return one split, "train", "validation" or "test", under the gates of the s-th seed.

        The samples of each split are held, under one seed's gates at a time: that of the last call.
        :mod:`convexbn.pipeline.footprint` counts all splits under one seed's gates.
        """
        if split not in self._held or self._held[split][0] != s:
            self._held.pop(split, None)  # before the next are made
            self._held[split] = s, self._sampled(split, s)
        return self._held[split][1]

    def _sampled(self, split: str, s: int) -> Samples:
        K, labels = self.patches, self.features[f"labels_{split}"]
        rows = torch.as_tensor(self._coordinates(split), device=self.device)  # (K m, r + 1)
        D = activation(rows, torch.as_tensor(self.gates[s], device=self.device))
        return Samples(
            U=(rows / K if K > 1 else rows).unflatten(0, (K, -1)),
            D=D.unflatten(0, (K, -1)),
            labels=labels,
            targets=targets_of(labels, self.features),
        )

    def _coordinates(self, split: str) -> np.ndarray:
        # The stored coordinates of the training samples are orthonormal to the last digit.
        if split == "train":
            return self.whitening.U
        U = self.whitening.transform(self.features[f"X_{split}"])
        return U.reshape(-1, U.shape[-1])
