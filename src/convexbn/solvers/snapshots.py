"""Snapshots that solvers hand to a callback, and the clock that stands still meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch

from convexbn.programs.certificates import relative_gap
from convexbn.programs.units import Units


class Stopwatch:
    """Wall time since it was made, less the time it was paused."""

    def __init__(self) -> None:
        self._origin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds counted so far."""
        return time.perf_counter() - self._origin

    def begin_at(self, seconds: float) -> None:
        """Go on from the seconds that were counted before."""
        self._origin = time.perf_counter() - seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of the enclosed block."""
        stopped = time.perf_counter()
        try:
            yield
        finally:
            self._origin += time.perf_counter() - stopped


@dataclass(frozen=True)
class Snapshot:
    """A recorded point of a solver, in the solver's own precision.

    `weights`, of the form of :class:`convexbn.Solution`, and `predictions` (n, C) are put together
    by `form` and `predict` when they are first asked for. They are the solver's own tensors: read
    only. Of processes that share the samples, each has the predictions of its own; what the
    callback raises in one of them leaves the others waiting.
    """

    beta: float
    iteration: int
    seconds: float
    objective: float
    dual_objective: float
    form: Callable[[], torch.Tensor]
    predict: Callable[[], torch.Tensor]

    @cached_property
    def weights(self) -> torch.Tensor:
        """The best weights so far."""
        return self.form()

    @cached_property
    def predictions(self) -> torch.Tensor:
        """Their predictions."""
        return self.predict()

    def in_units(self, units: Units, beta: float) -> "Snapshot":
        """Return the snapshot of a program without units as one of the program in its units."""
        objective, dual = (units.put_on_value(a) for a in (self.objective, self.dual_objective))
        return Snapshot(
            *(beta, self.iteration, self.seconds, objective, dual),
            form=lambda: units.put_on_weights(self.weights),
            predict=lambda: units.put_on_dual(self.predictions),
        )

    @property
    def gap(self) -> float:
        """Objective minus the best dual bound so far."""
        return self.objective - self.dual_objective

    @property
    def relative_gap(self) -> float:
        """Gap relative to the objective."""
        return relative_gap(self.objective, self.dual_objective)


Callback = Callable[[Snapshot], object]


def ignore(snapshot: Snapshot) -> None:
    """Do nothing: the callback of a solve that nobody follows."""


def following(callback: Callback | None, units: Units, beta: float) -> Callback:
    """Return the callback of a program without units that hands on snapshots in its units."""
    if callback is None:
        return ignore
    if not callable(callback):
        raise TypeError(f"callback must be a function of a snapshot, got {callback!r}")
    return lambda snapshot: callback(snapshot.in_units(units, beta))
