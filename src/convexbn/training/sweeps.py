"""A sweep of networks: its members and the settings of their training.

Every network of a sweep, a member, is one (seed, learning rate, beta). A seed fixes the
initialization and the order of the samples for all its learning rates and betas: they are paired.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from convexbn.inputs import check_between, check_choice, check_momentum, check_positive
from convexbn.training.networks import NETWORKS
from convexbn.training.schedules import SCHEDULES, log_spaced
from convexbn.training.tuning import check_tuning, is_tuned

OPTIMIZERS = "sgd", "adam"


class Member(NamedTuple):
    """The key of a network in a sweep; beta is in the paper's units."""

    seed: int
    learning_rate: float
    beta: float


@dataclass(frozen=True)
class Sweep:
    """A sweep of networks.

    Parameters
    ----------
    network : str
        "bn"; "plain", the same network without BN; or "convex", the gated convex program itself.
    width : int or None
        Number of neurons; None for "convex", whose gates come with the data.
    epochs, batch_size : int
        Passes over the data; samples per step, at least 2. An epoch leaves out the samples after
        its last full batch: the statistics of a small remainder would be noise.
    learning_rates, betas, seeds : sequences
        Every combination is a member, unless there are `tuning_seeds`. Learning rates are for the
        loss per sample; beta is the weight decay in the paper's units, for a loss summed over the
        samples.
    momentum : float
        In [0, 1); for "adam" the decay of the first moment (the second has the decay 0.999).
    schedule : str
        "constant"; "cosine", down to zero at the end of training; or "steps", a tenth after half of
        it and a hundredth after three quarters.
    evaluations : int
        Approximate number of epochs that are evaluated, log-spaced; the start and the end always
        are.
    max_members : int, optional
        Largest number of members that are trained together; the results are the same up to
        rounding. By default as many as the cache of a CPU holds
        (:func:`convexbn.training.memory.members_in_cache`), and on a GPU all.
    optimizer : str
        "sgd" or "adam", with the weight decay in the gradient.
    tuning_seeds : int, optional
        Number of seeds, the first ones, that try every combination; the others are trained only in
        the combination with the best final validation accuracy. By default all seeds try every
        combination.
    flip : bool
        Whether training images are mirrored at random (see
        :class:`convexbn.training.augmentation.Augmentation`). Not for "convex", whose data are
        whitened.
    shift : int
        Largest number of pixels by which training images are moved at random. Not for "convex".

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """

    network: str
    width: int | None
    epochs: int
    batch_size: int
    learning_rates: tuple[float, ...]
    betas: tuple[float, ...]
    seeds: tuple[int, ...]
    momentum: float = 0.9
    schedule: str = "constant"
    evaluations: int = 12
    max_members: int | None = None
    optimizer: str = "sgd"
    tuning_seeds: int | None = None
    flip: bool = False
    shift: int = 0

    def __post_init__(self) -> None:
        check_choice("network", self.network, [*NETWORKS, "convex"])
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        self._check_width()
        for name in ("epochs", "evaluations", "max_members"):
            if (value := getattr(self, name)) is not None:
                check_between(name, value, 1, 10**9)
        for name in ("learning_rates", "betas", "seeds"):
            values = getattr(self, name)
            if not hasattr(values, "__len__") or len(values) == 0:
                raise ValueError(
                    f"{name} must name at least one value, in a tuple, got {values!r}; give one"
                )
        for value in (*self.learning_rates, *self.betas):
            check_positive("each learning rate and beta", value)
        check_momentum(self.momentum)
        check_tuning(self.tuning_seeds, len(self.seeds), validation=True)
        check_between("shift", self.shift, 0, 10**9)
        if self.is_augmented and self.network == "convex":
            raise ValueError(
                "the convex program is trained on whitened data, which cannot be flipped or "
                "shifted; leave flip and shift out"
            )

    @classmethod
    def of(cls, entry: dict, seeds: Iterable[int]) -> "Sweep":
        """Return the sweep of an entry of `sgd` in the config, with these seeds."""
        given = {name: entry[name] for name in cls.__dataclass_fields__.keys() & entry.keys()}
        return cls(**{"width": None, **given, "seeds": tuple(seeds)})

    def _check_width(self) -> None:
        if self.network != "convex":
            check_between("width", self.width, 1, 10**9)
        elif self.width is not None:
            raise ValueError(
                f"the convex program has no width, got {self.width!r}; leave it out, the number of "
                "gates sets the size"
            )

    @property
    def tuning(self) -> "Sweep":
        """The part of the sweep that tries every combination: the whole sweep without tuning."""
        return replace(self, seeds=self.seeds[: self.tuning_seeds], tuning_seeds=None)

    @property
    def is_tuned(self) -> bool:
        """Whether some of the seeds choose the setting of the others."""
        return is_tuned(self.tuning_seeds, len(self.seeds))

    def remaining(self, beta: float, learning_rate: float) -> "Sweep":
        """Return the part of a tuned sweep that is trained in the chosen setting."""
        return replace(
            self,
            seeds=self.seeds[self.tuning_seeds :],
            betas=(beta,),
            learning_rates=(learning_rate,),
            tuning_seeds=None,
        )

    @property
    def is_augmented(self) -> bool:
        """Whether training images are flipped or shifted."""
        return self.flip or self.shift > 0

    @property
    def members(self) -> list[Member]:
        """All combinations, the seed changing slowest and beta fastest."""
        combinations = product(self.seeds, self.learning_rates, self.betas)
        return [Member(int(seed), float(rate), float(beta)) for seed, rate, beta in combinations]

    @property
    def evaluated(self) -> set[int]:
        """The epochs after which the networks are evaluated; 0 is the start."""
        return {0} | log_spaced(self.epochs, self.evaluations)

    def factor(self, done: float) -> float:
        """Return the factor on the learning rate after a share `done` of the training."""
        return SCHEDULES[self.schedule](done)
