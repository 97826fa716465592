"""What every solver shows while it works, and the clock that stands still meanwhile."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch


class Stopwatch:
    """Wall time since it was made, less the time it was paused."""

    def __init__(self):
        self._origin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds counted so far."""
        return time.perf_counter() - self._origin

    @contextmanager
    def paused(self):
        """Do not count what happens inside."""
        stopped = time.perf_counter()
        yield
        self._origin += time.perf_counter() - stopped


@dataclass(frozen=True)
class Snapshot:
    """What the solver knows when it looks at the gap, in its own precision.

    `weights`, of the form of :class:`convexbn.Solution`, are put together by `form` when they are
    first asked for, which must be before the solver goes on. They and `predictions` (n, C) are the
    solver's own tensors: read only.
    """

    beta: float
    iteration: int
    seconds: float
    objective: float
    dual_objective: float
    form: Callable[[], torch.Tensor]
    predictions: torch.Tensor

    @cached_property
    def weights(self) -> torch.Tensor:
        """The best weights so far."""
        return self.form()

    @property
    def gap(self) -> float:
        """Objective minus the best dual bound so far."""
        return self.objective - self.dual_objective

    @property
    def relative_gap(self) -> float:
        """Gap relative to the objective."""
        return self.gap / self.objective if self.objective != 0 else 0.0
