"""The proximal point method for the gated program, its subproblems solved by Newton's method.

    W^{k+1} = argmin_W  L(A W) + beta R(W) + 1/(2 sigma_k) ||W - W^k||^2,    sigma_{k+1} > sigma_k,

each in its dual (:mod:`convexbn.solvers.gated.semismooth`), to an accuracy that rises with k: the
augmented Lagrangian method of the dual program. Every Newton step gives weights and a dual point,
and so a certified gap.
"""

import math

import torch

from convexbn.programs.gated import GatedProgram
from convexbn.solvers.gated.loss_prox import LOSS_PROX
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.semismooth import System
from convexbn.solvers.snapshots import Snapshot

_FIRST = 20.0  # sigma, of a design of norm 1
_WARMER = 10.0  # times that, from weights that are not zero: they are near
_GROWTH = 4.0
_LAST = {torch.float32: 1e7, torch.float64: 1e12}  # Newton systems become too stiff beyond
_ACCURACY = 1.0  # of a subproblem, relative to V and to the gap
_STEPS = 15  # Newton steps on one subproblem
_PATIENCE = 50  # rounds without progress before the precision is held to be exhausted
_PROGRESS = 0.9  # of the gap
_ROOM = 0.9  # share of the tolerance to reach, as the referee's sums differ in their rounding


class Stage:
    """One System on its way: when it takes a proximal step, and the best that it has seen."""

    def __init__(self, system: System):
        self.system, self.steps = system, 0
        self.objective, self.dual = math.inf, -math.inf
        self.done, self.best, self.V = False, None, system.V

    def take_stock(self, tol) -> None:
        """Take stock of gap and objective; keep the best blocks."""
        if self.done:
            return
        system = self.system
        objective = system.objective()
        if self.best is None or objective < self.objective:
            self.objective = objective
            self.best = system.F, [(p.gates, p.columns, p.blocks) for p in system.parts]
        self._raise(*system.dual_bound(exact=False))
        if self._nearly(10 * tol):
            self._raise(*system.dual_bound(exact=True))
        self.done = self._nearly(tol)

    def _raise(self, dual, V) -> None:
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


class ProximalPoint:
    """The method on one program in float64, from weights W (r + 1, P, C).

    A loss and a penalty that do not couple the classes make one System for each of them.
    """

    def __init__(self, program: GatedProgram, W, passes: Passes):
        self.program, self.rounds = program, 0
        C = program.Y.shape[1]
        alone = LOSS_PROX[program.loss.name].separable and program.penalty.by_column
        columns = [slice(c, c + 1) for c in range(C)] if alone else [slice(0, C)]
        first = _FIRST * (_WARMER if bool(W.any()) else 1)
        sigma = first / program.loss.lipschitz / _GROWTH / passes.norm**2
        self.stages = [Stage(System(program, passes, c, W, sigma)) for c in columns]

    def minimize(self, tol, max_iterations, watch, callback) -> str:
        """Make rounds of Newton steps, one for each System, until the relative gap is within `tol`.

        Parameters
        ----------
        tol : float
        max_iterations : int
            Rounds.
        watch : Stopwatch
            Paused while `callback` works.
        callback : callable
            Called with a :class:`Snapshot` after each round.

        Returns
        -------
        str
            "tolerance", "iterations" (the limit was reached) or "precision" (no more progress).
        """
        least, stale = math.inf, 0
        while True:
            for stage in self.stages:
                stage.take_stock(tol)
            with watch.paused():
                snapshot = self._snapshot(watch.seconds)
                callback(snapshot)
            if not math.isfinite(snapshot.objective):
                return "precision"
            if all(stage.done for stage in self.stages):
                return "tolerance"
            stale += 1
            if snapshot.relative_gap < _PROGRESS * least:
                least, stale = snapshot.relative_gap, 0
            exhausted = stale > _PATIENCE
            if exhausted and not self._sharpen():
                return "precision"
            stale = 0 if exhausted else stale
            if self.rounds >= max_iterations:
                return "iterations"
            for stage in self.stages:
                stage.advance()
            self.rounds += 1

    def _sharpen(self) -> bool:
        """Solve Newton systems in float64 from now on; return False if that is so already."""
        systems = [stage.system for stage in self.stages]
        rounded = any(system.dtype != torch.float64 for system in systems)
        for system in systems:
            system.dtype = torch.float64
        return rounded

    def weights(self) -> torch.Tensor:
        """Return the best weights so far, shape (r + 1, P, C)."""
        W = self.program.U.new_zeros(self.program.shape)
        for stage in self.stages:
            _, parts = stage.best
            for gates, columns, blocks in parts:
                W[:, :, stage.system.columns][:, gates, columns] = blocks
        return W

    def dual(self) -> torch.Tensor:
        """Return the best dual point so far, before it is scaled, shape (n, C)."""
        return torch.cat([stage.V for stage in self.stages], dim=1)

    def _snapshot(self, seconds) -> Snapshot:
        objective = sum(stage.objective for stage in self.stages)
        dual = sum(stage.dual for stage in self.stages)
        F = torch.cat([stage.best[0] for stage in self.stages], dim=1)
        return Snapshot(self.program.beta, self.rounds, seconds, objective, dual, self.weights, F)
