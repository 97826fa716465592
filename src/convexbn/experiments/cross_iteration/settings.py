"""Settings of a run, and the names of what it compares."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

BN, CBN, NAIVE = "BN", "cross-iteration BN", "naive window"
GROUPS, RENORMALIZATION = "group normalization", "batch renormalization"
METHODS = (BN, CBN, NAIVE, GROUPS, RENORMALIZATION)
MEAN, SQUARE, DEVIATION = "mean", "mean of squares", "standard deviation"
KINDS = {True: "compensated", False: "as they were"}  # of old statistics
AGE, WINDOW = "age", "window"  # what the errors of statistics are measured against

REFERENCE = 32  # batch size for which the learning rate is given
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4  # of SGD


@dataclass(frozen=True)
class Accuracies:
    """Settings of the trainings that are compared by their accuracy.

    Attributes
    ----------
    batch_sizes : sequence of int
    epochs : int
    """

    batch_sizes: Sequence[int]
    epochs: int


@dataclass(frozen=True)
class Statistics:
    """Settings of the trainings during which statistics are measured.

    Attributes
    ----------
    batch_size, iterations : int
    points : int
        Steps at which statistics are measured, evenly spaced.
    ages : sequence of int
        How many steps old statistics are.
    windows : sequence of int
    images : int
        Size of the large batch, of training images.
    """

    batch_size: int
    iterations: int
    points: int
    ages: Sequence[int]
    windows: Sequence[int]
    images: int


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes
    ----------
    depth, width : int
        Of :class:`convexbn.networks.residual.ResidualNetwork`.
    window : int
        Iterations of cross-iteration BN and of the naive window.
    burn_in : float
        Share of the steps that are normalized by their batch alone at the beginning.
    learning_rate : float
        For batches of `REFERENCE`; in proportion for others.
    accuracies : Accuracies, optional
    statistics : Statistics, optional
    """

    depth: int
    width: int
    window: int
    burn_in: float
    learning_rate: float
    accuracies: Accuracies | None = None
    statistics: Statistics | None = None

    @classmethod
    def of(cls, entry: dict) -> "Settings":
        """Return the settings of an entry of `cross_iteration` in the config."""
        names = [field.name for field in fields(cls)]
        own: dict[str, Any] = {name: entry[name] for name in names if name in entry}
        for name, kind in (("accuracies", Accuracies), ("statistics", Statistics)):
            if name in own:
                own[name] = kind(**own[name])
        return cls(**own)

    def rate(self, batch_size: int) -> float:
        """Return the learning rate for batches of a size."""
        return self.learning_rate * batch_size / REFERENCE
