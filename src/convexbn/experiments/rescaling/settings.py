"""Settings of the experiment, and the names of its methods."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

NONE, DECAY, RESCALING, SCALED = "none", "weight decay", "weight rescaling", "scaled rate"
METHODS = (NONE, DECAY, RESCALING, SCALED)
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Identities:
    """Settings of the check of identities.

    Attributes
    ----------
    samples : int
        Training images, the first of the data set; fewer than features, so that there are weights
        beside their span.
    widths : sequence of int
        Neurons of the hidden layers.
    batch_size : int
    learning_rates : sequence of float
    time : float
        Learning rate times number of steps, the same for all learning rates.
    weight_decay : float
        Of the second of two trainings at each learning rate; the first has none.
    seeds : int
    """

    samples: int
    widths: Sequence[int]
    batch_size: int
    learning_rates: Sequence[float]
    time: float
    weight_decay: float
    seeds: int

    @classmethod
    def of(cls, entry: dict) -> "Identities":
        """Return the settings that an entry of the config has.

        Raises
        ------
        ValueError
            If a training would not take a single step.
        """
        return cls(**some_of(cls, entry))

    def __post_init__(self) -> None:
        if self.time < max(self.learning_rates):
            raise ValueError(
                f"time must be at least the largest learning rate, {max(self.learning_rates):g}, "
                f"so that its training takes a step, got {self.time:g}"
            )


@dataclass(frozen=True)
class Run:
    """Settings of a comparison of methods.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rates : sequence of float
        At the start of a training; each method is trained with each.
    weight_decays : sequence of float
        Of the filters, for the method that decays them.
    classifier_decay : float
        Weight decay of the other weights, in all methods. Biases, and scales and shifts of BN, have
        none.
    momentum : float
        Of SGD; the decay of Adam's first moment.
    optimizer : {"sgd", "adam"}
    schedule : str
        A key of :data:`convexbn.training.schedules.SCHEDULES`.
    plan : sequence of int or "M"
        Widths of convolutions, and poolings, of a VGG; either this or `widths`.
    widths : sequence of int
        Neurons of the hidden layers of a fully connected network.
    samples : int, optional
        Training images, the first of the data set; all by default.
    flip, shift
        See :class:`convexbn.training.augmentation.Augmentation`.
    evaluations : int
        Approximate number of epochs that are evaluated.
    """

    epochs: int
    batch_size: int
    learning_rates: Sequence[float]
    weight_decays: Sequence[float]
    classifier_decay: float
    momentum: float = 0.9
    optimizer: str = "sgd"
    schedule: str = "steps"
    plan: Sequence[int | str] | None = None
    widths: Sequence[int] | None = None
    samples: int | None = None
    flip: bool = False
    shift: int = 0
    evaluations: int = 20

    @property
    def trainings(self) -> list[tuple[str, float, float]]:
        """Method, learning rate and weight decay of the filters of all trainings.

        Adam's steps do not change with the scale of the gradient, so that its learning rate is not
        scaled.
        """
        decays = {DECAY: self.weight_decays}
        methods = METHODS if self.optimizer == "sgd" else METHODS[:-1]
        return [
            (method, rate, decay)
            for method in methods
            for rate in self.learning_rates
            for decay in decays.get(method, [0.0])
        ]


def some_of(kind: Any, entry: dict) -> dict:
    """Return the settings of a kind that an entry of the config has."""
    names = [field.name for field in fields(kind)]
    return {name: entry[name] for name in names if name in entry}
