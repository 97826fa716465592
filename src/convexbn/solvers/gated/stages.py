"""The proximal steps of one System, and the best that it has seen."""

import math
from dataclasses import dataclass, field, replace

import torch

from convexbn.programs.gated import GatedProgram
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.primal import Primal
from convexbn.solvers.gated.semismooth import System

GROWTH = 4.0  # of sigma, in a proximal step
PROGRESS = 0.9  # share of the gap below which a round has made progress
_LAST = {torch.float32: 1e7, torch.float64: 1e12}  # Newton systems become too stiff beyond
_ACCURACY = 3.0  # residual of a subproblem, relative to V and to the gap
_STEPS = 15  # Newton steps on one subproblem
_ROUNDED = 1e-3  # gap below which iterates are in float64
_STALE = 8  # rounds without progress after which they are
_ROOM = 0.9  # share of the tolerance to reach, as the referee's sums differ in their rounding
_COUNTS = "steps", "mark", "stale"  # of a Stage, one for each column that goes by itself


@dataclass(frozen=True)
class Found:
    """The best that is known of some columns of the program.

    Attributes
    ----------
    columns : Tensor of int, shape (c,)
    primal : Primal
        Weights, with the least objective of each column, or of all where they are coupled.
    dual : Tensor, shape (s,)
        Largest dual bounds.
    V : Tensor, shape (n, c)
        Their dual points, before they are scaled.
    """

    columns: torch.Tensor
    primal: Primal
    dual: torch.Tensor
    V: torch.Tensor

    @classmethod
    def resumed(cls, state: dict) -> "Found":
        """Return what :meth:`state` was made of."""
        return cls(**state | {"primal": Primal(**state["primal"])})

    def state(self) -> dict:
        """Return it as dicts of tensors."""
        return {**vars(self), "primal": {**vars(self.primal)}}

    def of(self, index: torch.Tensor) -> "Found":
        """Return that of some of the columns, which are not coupled with the others."""
        columns, dual = self.columns.index_select(0, index), self.dual.index_select(0, index)
        return Found(columns, self.primal.of(index), dual, self.V.index_select(1, index))

    def nearly(self, tol: float) -> torch.Tensor:
        """Return which gaps are within the tolerance, shape (s,)."""
        return self.primal.objective - self.dual <= _ROOM * tol * self.primal.objective


@dataclass
class Stage:
    """One System under way: its proximal steps, and the best that it has seen.

    Columns that do not depend on the others leave the System as soon as they are solved.

    Attributes
    ----------
    system : System
    best : Found
        Of the columns that are under way.
    steps, stale : Tensor, shape (s,)
        Newton steps since the last proximal one, and rounds without progress in float32.
    mark : Tensor, shape (s,)
        Relative gaps at the last progress.
    solved : list of Found
    done : bool
        Whether all columns are solved.
    """

    system: System
    best: Found
    steps: torch.Tensor
    mark: torch.Tensor
    stale: torch.Tensor
    solved: list[Found] = field(default_factory=list)
    done: bool = False

    @classmethod
    def starting(cls, system: System) -> "Stage":
        """Return the one of a System that has seen nothing yet."""
        primal, count = system.primal(), torch.zeros_like(system.sigma)
        never = torch.full_like(count, math.inf)
        best = Found(system.columns, replace(primal, objective=never), -never, system.V)
        return cls(system, best, steps=count, mark=never, stale=count)

    @classmethod
    def resumed(cls, program: GatedProgram, passes: Passes, state: dict) -> "Stage":
        """Return the one whose :meth:`state` this was."""
        system = System.resumed(program, passes, state["system"])
        best = Found.resumed(state["best"])
        solved = [Found.resumed(found) for found in state["solved"]]
        return cls(**state | {"system": system, "best": best, "solved": solved})

    def state(self) -> dict:
        """Return all that it goes on from."""
        solved = [found.state() for found in self.solved]
        system, best = self.system.state(), self.best.state()
        return {**vars(self), "system": system, "best": best, "solved": solved}

    @property
    def found(self) -> list[Found]:
        """The best of all columns."""
        return self.solved if self.done else [*self.solved, self.best]

    def take_stock(self, tol: float) -> None:
        """Compute gaps and objectives, keep the best blocks, and let go of what is solved."""
        if self.done:
            return
        system, best = self.system, self.best.primal.best(self.system.primal())
        if system.linear is not None and bool((system.linear.objective < best.objective).any()):
            best = best.best(system.checked(system.linear))
        self.best = replace(self.best, primal=best)
        self._raise(*system.dual_bound(exact=False))
        if system.loss_prox.damped and bool(self.best.nearly(10 * tol).any()):
            self._raise(*system.dual_bound(exact=True))
        self._part(self.best.nearly(tol).tolist())
        if not self.done:
            self._watch_precision()

    def _raise(self, dual: torch.Tensor, V: torch.Tensor) -> None:
        better = dual > self.best.dual
        dual, V = (torch.where(better, a, b) for a, b in ((dual, self.best.dual), (V, self.best.V)))
        self.best = replace(self.best, dual=dual, V=V)

    def _part(self, solved: list[bool]) -> None:
        """Let go of the columns that are solved."""
        if all(solved):
            # In this order an interrupt between the two loses nothing.
            self.solved.append(self.best)
            self.done = True
        elif any(solved):
            order = torch.tensor([*_where(solved, True), *_where(solved, False)])
            left, kept = order.to(self.steps.device).tensor_split([sum(solved)])
            self.solved.append(self.best.of(left))
            self.best = self.best.of(kept)
            self.system.keep(kept)
            for name in _COUNTS:
                setattr(self, name, getattr(self, name).index_select(0, kept))

    def _watch_precision(self) -> None:
        """Leave float32 where a gap is near its rounding, or does not close any more."""
        if self.system.real == torch.float64:
            return
        gap = self._gaps()
        progress = gap < PROGRESS * self.mark
        self.mark = torch.where(progress, gap, self.mark)
        self.stale = torch.where(progress, 0, self.stale + 1)
        if bool(((gap < _ROUNDED) | (self.stale >= _STALE)).any()):
            self.system.refine()

    def _gaps(self) -> torch.Tensor:
        """Return the relative gaps, shape (s,)."""
        objective = self.best.primal.objective
        return (objective - self.best.dual) / objective

    def advance(self) -> None:
        """Make a Newton step, after a proximal step where the subproblem is solved."""
        if self.done:
            return
        system = self.system
        # No subproblem needs to be solved better than its optimum is worth.
        limit = _ACCURACY * self._gaps() * system.processes.lengths(system.V, system.apart)
        solved = (system.residual <= limit) | (self.steps >= _STEPS)
        if bool(solved.any()):
            self.steps = torch.where(solved, 0, self.steps)
            grows = system.scaled_sigma < _LAST[system.dtype]
            system.recentre(torch.where(grows, GROWTH, 1.0), solved)
        system.newton_step()
        self.steps = self.steps + 1


def _where(flags: list[bool], value: bool) -> list[int]:
    return [i for i, flag in enumerate(flags) if flag == value]
