"""The proximal point method for the gated program, its subproblems solved by Newton's method.

    W^{k+1} = argmin_W  L(A W) + beta R(W) + 1/(2 sigma_k) ||W - W^k||^2,    sigma_{k+1} > sigma_k,

each in its dual (:mod:`convexbn.solvers.gated.semismooth`), to an accuracy that rises with k: the
augmented Lagrangian method of the dual program. Every Newton step gives weights and a dual point,
and so a certified gap.
"""

import math
from dataclasses import replace

import torch

from convexbn.programs.certificates import relative_gap
from convexbn.programs.gated import GatedProgram
from convexbn.programs.terms import ProximalPenalty, require
from convexbn.solvers.gated.loss_prox import prox_of
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.semismooth import System
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


class Stage:
    """One System under way: its proximal steps, and the best that it has seen."""

    def __init__(self, system: System):
        self.system, self.steps = system, 0
        self.best, self.dual = replace(system.primal(), objective=math.inf), -math.inf
        self.done, self.V = False, system.V
        self.mark, self.stale = math.inf, 0

    def take_stock(self, tol: float) -> None:
        """Compute gap and objective, and keep the best blocks."""
        if self.done:
            return
        system = self.system
        self.best = min(self.best, system.primal(), key=lambda primal: primal.objective)
        if system.linear is not None and system.linear.objective < self.best.objective:
            linear = system.checked(system.linear)
            self.best = min(self.best, linear, key=lambda primal: primal.objective)
        self._raise(*system.dual_bound(exact=False))
        if self._nearly(10 * tol):
            self._raise(*system.dual_bound(exact=True))
        self.done = self._nearly(tol)
        self._watch_precision()

    @property
    def objective(self) -> float:
        """The least objective so far."""
        return self.best.objective

    def _watch_precision(self) -> None:
        """Leave float32 where the gap is near its rounding, or does not close any more."""
        gap = relative_gap(self.objective, self.dual)
        progress = gap < _PROGRESS * self.mark
        self.mark, self.stale = (gap, 0) if progress else (self.mark, self.stale + 1)
        rounded = self.system.real != torch.float64
        if rounded and not self.done and (gap < _ROUNDED or self.stale >= _STALE):
            self.system.refine()
            self.mark, self.stale = math.inf, 0

    def _raise(self, dual: float, V: torch.Tensor) -> None:
        if dual > self.dual:
            self.dual, self.V = dual, V

    def _nearly(self, tol) -> bool:
        return self.objective - self.dual <= _ROOM * tol * self.objective

    def advance(self) -> None:
        """Make a Newton step, after a proximal step where the subproblem is solved."""
        if self.done:
            return
        system = self.system
        # No subproblem needs to be solved better than its optimum is worth.
        gap = (self.objective - self.dual) / self.objective
        limit = _ACCURACY * gap * float(torch.linalg.vector_norm(system.V))
        if system.residual <= limit or self.steps >= _STEPS:
            self.steps = 0
            system.recentre(_GROWTH if system.scaled_sigma < _LAST[system.dtype] else 1.0)
        system.newton_step()
        self.steps += 1


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
        Weights, and the passes over the design if a solve for another beta has made them.
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
    if not isinstance(passes, Passes):
        passes = Passes(program)
        W = scaled_start(
            program, W, program.forward(W), program.beta * float(program.penalty.value(W))
        )
    method = ProximalPoint(program, W, passes, tol)
    stopped = run(method, Stopping(max_iterations, _PROGRESS, _PATIENCE), watch, callback)
    witness = {"dual": method.dual()}
    short = program.penalty.by_column
    return Result(method.weights(), witness, method.iterations, stopped, passes, may_round=short)


class ProximalPoint(Search):
    """The method on one program in float64, from weights W (r + 1, P, C), to a relative gap.

    Where loss and penalty do not couple the classes, each class is a System of its own.
    """

    def __init__(self, program: GatedProgram, W: torch.Tensor, passes: Passes, tol: float):
        self.program, self.tol = program, tol
        C = program.Y.shape[1]
        alone = prox_of(program.loss).separable and program.penalty.by_column
        columns = [slice(c, c + 1) for c in range(C)] if alone else [slice(0, C)]
        sigma = _FIRST / program.loss.lipschitz / _GROWTH / passes.norm**2
        self.stages = [Stage(System(program, passes, c, W, sigma)) for c in columns]

    @property
    def bounds(self) -> tuple[float, float]:
        """Objective and dual bound, summed over the Systems."""
        return sum(s.objective for s in self.stages), sum(s.dual for s in self.stages)

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
        for stage in self.stages:
            for gates, columns, blocks in stage.best.blocks:
                W[:, :, stage.system.columns][:, gates, columns] = blocks.double()
        return W

    def dual(self) -> torch.Tensor:
        """Return the best dual point so far, before it is scaled, shape (n, C)."""
        return torch.cat([stage.V for stage in self.stages], dim=1)

    def snapshot(self, seconds: float) -> Snapshot:
        """Return the snapshot of the best weights and dual points so far."""
        F = torch.cat([stage.best.F.double() for stage in self.stages], dim=1)
        seen = self.program.beta, self.iterations, seconds, *self.bounds
        return Snapshot(*seen, self.weights, F)
