"""The proximal point method for the gated program, its subproblems solved by Newton's method.

    W^{k+1} = argmin_W  L(A W) + beta R(W) + 1/(2 sigma_k) ||W - W^k||^2,    sigma_{k+1} > sigma_k,

each in its dual (:mod:`convexbn.solvers.gated.semismooth`), to an accuracy that rises with k: the
augmented Lagrangian method of the dual program. Every Newton step gives weights and a dual point,
and so a certified gap.
"""

import math
from dataclasses import dataclass, replace

import torch

from convexbn.products import fast_products
from convexbn.programs.certificates import relative_gap
from convexbn.programs.gated import GatedProgram
from convexbn.programs.memory import columns_at_once, compiled_multiplications
from convexbn.programs.terms import ProximalPenalty, require
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.primal import Primal
from convexbn.solvers.gated.semismooth import System, uncoupled
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch
from convexbn.solvers.starts import scaled_start
from convexbn.solvers.stopping import Result, Search, Stopping, run

_FIRST = 40.0  # sigma, of a design of norm 1
_GROWTH = 4.0
_LAST = {torch.float32: 1e7, torch.float64: 1e12}  # Newton systems become too stiff beyond
_ACCURACY = 1.0  # residual of a subproblem, relative to V and to the gap
_STEPS = 15  # Newton steps on one subproblem
_ROUNDED = 1e-3  # gap below which iterates are in float64
_STALE = 8  # rounds without progress after which they are
_PATIENCE = 51  # rounds without progress that exhaust a precision
_PROGRESS = 0.9  # share of the gap below which a round has made progress
_ROOM = 0.9  # share of the tolerance to reach, as the referee's sums differ in their rounding


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

    def of(self, index: torch.Tensor) -> "Found":
        """Return that of some of the columns, which are not coupled with the others."""
        columns, dual = self.columns.index_select(0, index), self.dual.index_select(0, index)
        return Found(columns, self.primal.of(index), dual, self.V.index_select(1, index))

    def nearly(self, tol: float) -> torch.Tensor:
        """Return which gaps are within the tolerance, shape (s,)."""
        return self.primal.objective - self.dual <= _ROOM * tol * self.primal.objective


class Stage:
    """One System under way: its proximal steps, and the best that it has seen.

    Columns that do not depend on the others leave the System as soon as they are solved.
    """

    def __init__(self, system: System):
        self.system, self.done = system, False
        primal, count = system.primal(), torch.zeros_like(system.sigma)
        never = torch.full_like(count, math.inf)
        self.best = Found(system.columns, replace(primal, objective=never), -never, system.V)
        self.solved: list[Found] = []
        self.steps, self.mark, self.stale = count, never, count

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
            for name in ("steps", "mark", "stale"):
                setattr(self, name, getattr(self, name).index_select(0, kept))

    def _watch_precision(self) -> None:
        """Leave float32 where a gap is near its rounding, or does not close any more."""
        if self.system.real == torch.float64:
            return
        gap = self._gaps()
        progress = gap < _PROGRESS * self.mark
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
            system.recentre(torch.where(grows, _GROWTH, 1.0), solved)
        system.newton_step()
        self.steps = self.steps + 1


def _where(flags: list[bool], value: bool) -> list[int]:
    return [i for i, flag in enumerate(flags) if flag == value]


def minimize(
    program: GatedProgram,
    start: Result,
    *,
    tol: float,
    max_iterations: int,
    watch: Stopwatch,
    callback: Callback,
) -> Result:
    """Solve the gated program from weights (r + 1, P, C) until the relative gap is within `tol`.

    Parameters
    ----------
    program : GatedProgram
    start : Result
        Weights, and the passes over the design if a solve for another beta has made them. Weights
        that are not a solution for another beta are scaled first.
    tol : float
    max_iterations : int
        Rounds.
    watch : Stopwatch
        Paused while `callback` works.
    callback : callable
        Called with a :class:`Snapshot` after each round.

    Returns
    -------
    Result
        Weights (r + 1, P, C) and the `dual` variable (n, C).

    Raises
    ------
    TypeError
        If the loss or penalty lacks a method that the solver needs.
    """
    require(program.penalty, ProximalPenalty, "the proximal point method of model 'gated'")
    W, passes = start.weights.double(), start.state
    (rows, p), P = program.U.shape, program.D.shape[1]
    with fast_products(compiled_multiplications(rows, p, P, program.U.device.type)):
        if not isinstance(passes, Passes):
            passes = Passes(program)
            if not start.stopped:
                penalty = program.beta * float(program.penalty.value(W))
                W = scaled_start(program, W, program.forward(W), penalty, program.processes)
        method = ProximalPoint(program, W, passes, tol)
        stopped = run(method, Stopping(max_iterations, _PROGRESS, _PATIENCE), watch, callback)
    witness = {"dual": method.dual()}
    short = program.penalty.by_column
    return Result(method.weights(), witness, method.iterations, stopped, passes, may_round=short)


class ProximalPoint(Search):
    """The method on one program in float64, from weights W (r + 1, P, C), to a relative gap.

    Where loss and penalty do not couple the classes, they are solved by themselves: side by side,
    or one after the other (:func:`convexbn.programs.memory.columns_at_once`).
    """

    def __init__(self, program: GatedProgram, W: torch.Tensor, passes: Passes, tol: float):
        self.program, self.tol = program, tol
        C = program.Y.shape[1]
        sigma = _FIRST / program.loss.lipschitz / _GROWTH / passes.norm**2
        columns = torch.arange(C, device=W.device).split(_together(program))
        self.stages = [Stage(System(program, passes, c, W, sigma)) for c in columns]

    @property
    def bounds(self) -> tuple[float, float]:
        """Objective and dual bound, summed over the columns."""
        found = self._found
        objectives = torch.cat([f.primal.objective for f in found])
        return float(objectives.sum()), float(torch.cat([f.dual for f in found]).sum())

    @property
    def _found(self) -> list[Found]:
        return [found for stage in self.stages for found in stage.found]

    def observe(self) -> float:
        """Take stock of every System; return the relative gap."""
        for stage in self.stages:
            stage.take_stock(self.tol)
        self.done = all(stage.done for stage in self.stages)
        return relative_gap(*self.bounds)

    def advance(self) -> bool:
        """Make a Newton step on every System."""
        for stage in self.stages:
            stage.advance()
        self.iterations += 1
        return True

    def sharpen(self) -> bool:
        """Solve Newton systems in float64 from now on; return False if they are already."""
        systems = [stage.system for stage in self.stages]
        rounded = any(system.dtype != torch.float64 for system in systems)
        for system in systems:
            system.dtype = torch.float64
        return rounded

    def weights(self) -> torch.Tensor:
        """Return the best weights so far, shape (r + 1, P, C)."""
        W = self.program.U.new_zeros(self.program.shape)
        for found in self._found:
            found.primal.put(W, found.columns)
        return W

    def dual(self) -> torch.Tensor:
        """Return the best dual point so far, before it is scaled, shape (n, C)."""
        return self._joined([found.V for found in self._found])

    def _joined(self, pieces: list[torch.Tensor]) -> torch.Tensor:
        """Return what all columns found (n, c), in the order of the program's columns (n, C)."""
        out = torch.empty_like(self.program.Y)
        for found, piece in zip(self._found, pieces, strict=True):
            out[:, found.columns] = piece.double()
        return out

    def snapshot(self, seconds: float) -> Snapshot:
        """Return the snapshot of the best weights and dual points so far."""
        F = self._joined([found.primal.F for found in self._found])
        seen = self.program.beta, self.iterations, seconds, *self.bounds
        return Snapshot(*seen, self.weights, F)


def _together(program: GatedProgram) -> int:
    """Return how many columns are solved side by side: all that are coupled."""
    C = program.Y.shape[1]
    if not uncoupled(program):
        return C
    sizes = len(program.Y), *program.shape, program.patches
    fitting = columns_at_once(*sizes, device=program.U.device, loss=program.loss.name)
    return program.processes.least(fitting)
