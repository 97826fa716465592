"""The loop of the iterative solvers: the rule by which it stops, and the result that it returns."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Protocol

import torch

from convexbn.programs.certificates import Certificate
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch


class Result(NamedTuple):
    """The outcome of a solve, from which the solve for the next beta can start.

    Attributes
    ----------
    weights : Tensor
        Best weights, in the shape of the program.
    witness : dict of str to Tensor
        Arguments of the referee besides the weights: `dual` or `multipliers`.
    iterations : int
    stopped : str
        "tolerance", "iterations" (the limit was reached), "precision" (no more progress) or
        "interrupt"; "" before a solve.
    state : object, optional
        Anything else that the same solver can reuse for the next beta.
    may_round : bool
        Whether the weights keep their structure in float32. Blocks of zeros do; low ranks, and
        points on the boundary of a cone, do not.
    """

    weights: torch.Tensor
    witness: dict[str, torch.Tensor]
    iterations: int = 0
    stopped: str = ""
    state: object = None
    may_round: bool = False

    def uninterrupted(self) -> "Result":
        """Return the result itself.

        Raises
        ------
        KeyboardInterrupt
            If an interrupt has ended the solve, for callers who cannot go on with the best so far.
        """
        if self.stopped == "interrupt":
            raise KeyboardInterrupt
        return self

    def signed(self, certificate: Certificate, watch: Stopwatch) -> Certificate:
        """Return the referee's certificate with what only the solver knows."""
        return replace(
            certificate,
            iterations=self.iterations,
            seconds=watch.seconds,
            stopped=self.stopped,
            reason=f"{certificate.reason}; stopped by {self.stopped} after {self.iterations} "
            "iterations",
        )


def missed(beta: float, certificate: Certificate, tol: float, limit: str = "") -> str:
    """Return in words that a solution is not certified, and what to do.

    Parameters
    ----------
    beta : float
    certificate : Certificate
    tol : float
        The tolerance that it misses.
    limit : str
        What a caller names the limit of iterations, if there is one to raise.
    """
    is_limited = limit and certificate.stopped == "iterations"
    advice = f"raise {limit}, tol or beta" if is_limited else "raise tol or beta"
    if certificate.stopped == "precision":
        advice = "rounding allows no more: raise tol or beta"
    elif certificate.stopped == "interrupt":
        advice = "these are the best weights so far"
    return f"beta {beta:g} is not certified to tol={tol:g}: {certificate.reason}; {advice}"


class Keeper(Protocol):
    """Keeps the state of a solve under way, from which it goes on after its process was killed.

    :class:`convexbn.training.checkpoints.Checkpoint` keeps it in a file.
    """

    def load(self) -> dict | None:
        """Return the state that was saved last, None if there is none."""

    def save(self, state: Callable[[], dict]) -> None:
        """Save what `state()` returns, now or another time."""


@dataclass
class Stopping:
    """Stopping rule of one solve, told the error after every round.

    Attributes
    ----------
    max_iterations : int
    progress : float
        A round makes progress if it lowers the error below this share of the last mark.
    patience : int
        Rounds without progress after which the precision counts as exhausted.
    enough : float
        Error at which the solve ends at once. By default only the solver itself says so.
    tol : float
        Error that meets the tolerance, where it is above `enough`: a solver may go on below it for
        as long as this makes progress.
    patience_within : int
        Rounds without progress that end a solve within the tolerance.
    least : float
        Smallest error so far.
    mark : float
        Error at the last progress.
    stale : int
        Rounds since then.
    """

    max_iterations: int
    progress: float
    patience: int
    enough: float = -math.inf
    tol: float = -math.inf
    patience_within: int = 0
    least: float = field(default=math.inf, init=False)
    mark: float = field(default=math.inf, init=False)
    stale: int = field(default=0, init=False)

    def verdict(self, error: float, iterations: int, done: bool = False) -> str:
        """Take in the error of a round and return why the solve ends here, "" if it goes on.

        Parameters
        ----------
        error : float
            Relative gap or violation. NaN counts as no progress.
        iterations : int
            Iterations so far.
        done : bool
            Whether the solver itself knows that the tolerance is met.
        """
        self.least = error if error < self.least else self.least
        progress = error < self.progress * self.mark
        self.mark, self.stale = (error, 0) if progress else (self.mark, self.stale + 1)
        settled = self.least <= self.tol and self.stale >= self.patience_within
        if done or error <= self.enough or settled:
            return "tolerance"
        if iterations >= self.max_iterations:
            return "iterations"
        return "precision" if self.stale >= self.patience else ""

    def state(self) -> dict:
        """Return what it has taken in."""
        return {"least": self.least, "mark": self.mark, "stale": self.stale}

    def resume(self, state: dict) -> None:
        """Go on from the state of an earlier one."""
        self.least, self.mark, self.stale = (state[key] for key in ("least", "mark", "stale"))


class Search(ABC):
    """A solve under way, as :func:`run` drives it.

    Attributes
    ----------
    iterations : int
        Iterations so far.
    done : bool
        Whether the solver itself knows that the tolerance is met.
    """

    iterations = 0
    done = False

    @abstractmethod
    def observe(self) -> float:
        """Take stock; return the error, a relative gap or a violation."""

    @abstractmethod
    def snapshot(self, seconds: float) -> Snapshot:
        """Return the snapshot of what was observed last."""

    @abstractmethod
    def advance(self) -> bool:
        """Make a round; return False if rounding allows none."""

    def keep(self) -> None:  # noqa: B027
        """Keep the point as the best so far, where the solver does not keep track itself."""

    def sharpen(self) -> bool:
        """Go on in a higher precision; return False if there is none."""
        return False

    def checkpoint(self) -> dict:
        """Return the state that a new search goes on from to the same numbers, where it can.

        Numbers, texts, tensors and their dtypes, and lists and dicts of these.
        """
        raise NotImplementedError(f"{type(self).__name__} does not go on from a state")


def run(
    search: Search,
    stopping: Stopping,
    watch: Stopwatch,
    callback: Callback,
    keeper: Keeper | None = None,
) -> str:
    """Make rounds until the rule, rounding or an interrupt ends the solve; return `Result.stopped`.

    The time that the callback and the keeper take is not counted. An interrupt can come anywhere in
    a round: the best so far is then that of an earlier one.
    """
    try:
        return _rounds(search, stopping, watch, callback, keeper)
    except KeyboardInterrupt:
        return "interrupt"


def _rounds(
    search: Search,
    stopping: Stopping,
    watch: Stopwatch,
    callback: Callback,
    keeper: Keeper | None,
) -> str:
    while True:
        error = search.observe()
        seconds = watch.seconds  # before the pause, so that no snapshot is before the last one
        # A callback may train a network, whatever mode the solver is in.
        with watch.paused(), torch.inference_mode(False):
            snapshot = search.snapshot(seconds)
            callback(snapshot)
        if not math.isfinite(snapshot.objective):
            return "precision"
        if error < stopping.least:
            search.keep()
        stopped = stopping.verdict(error, search.iterations, search.done)
        if stopped == "precision" and search.sharpen():
            stopping.stale, stopped = 0, ""
        if stopped:
            return stopped
        if not search.advance():
            return "precision"
        if keeper is not None:
            seconds = watch.seconds
            with watch.paused():
                keeper.save(partial(_state, search, stopping, seconds))


def _state(search: Search, stopping: Stopping, seconds: float) -> dict:
    return {**search.checkpoint(), **stopping.state(), "seconds": seconds}
