"""The proximal point method for the gated program, its subproblems solved by Newton's method.

    W^{k+1} = argmin_W  L(A W) + beta R(W) + 1/(2 sigma_k) ||W - W^k||^2,    sigma_{k+1} > sigma_k,

each in its dual (:mod:`convexbn.solvers.gated.semismooth`), to an accuracy that rises with k: the
augmented Lagrangian method of the dual program. Every Newton step gives weights and a dual point,
and so a certified gap.
"""

from typing import Any

import torch

from convexbn.products import fast_products, repeatable, threads_for
from convexbn.programs.certificates import relative_gap
from convexbn.programs.gated import GatedProgram
from convexbn.programs.memory import columns_at_once, compiled_multiplications
from convexbn.programs.terms import ProximalPenalty, require
from convexbn.solvers.gated.loss_prox import uncoupled
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.semismooth import System
from convexbn.solvers.gated.stages import GROWTH, PROGRESS, Found, Stage
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch
from convexbn.solvers.starts import scaled_start
from convexbn.solvers.stopping import Keeper, Result, Search, Stopping, run

_FIRST = 40.0  # sigma, of a design of norm 1
_PATIENCE = 51  # rounds without progress that exhaust a precision


def minimize(
    program: GatedProgram,
    start: Result,
    *,
    tol: float,
    max_iterations: int,
    watch: Stopwatch,
    callback: Callback,
    keeper: Keeper | None = None,
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
        Paused while `callback` and `keeper` work.
    callback : callable
        Called with a :class:`Snapshot` at the start and after each round.
    keeper : Keeper, optional
        Of a state that it has, the solve goes on to the same numbers; `watch` does, too.

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
    (rows, p), (_, P, C), device = program.U.shape, program.shape, program.U.device
    compiled = compiled_multiplications(rows, p, P, device.type)
    with threads_for(rows * p * P * C), fast_products(compiled), repeatable(device):
        passes = start.state if isinstance(start.state, Passes) else Passes(program)
        stopping = Stopping(max_iterations, PROGRESS, _PATIENCE)
        # Small operations take a tenth less time where autograd keeps no track of them. What is
        # made here cannot go into a graph: the passes, and all that is returned, are made outside.
        with torch.inference_mode():
            method = _resumed(program, passes, tol, keeper, stopping, watch)
            if method is None:
                method = ProximalPoint.starting(program, _scaled(program, start), passes, tol)
            stopped = run(method, stopping, watch, callback, keeper)
    witness = {"dual": method.dual()}
    short = program.penalty.by_column
    return Result(method.weights(), witness, method.iterations, stopped, passes, may_round=short)


def _scaled(program: GatedProgram, start: Result) -> torch.Tensor:
    """Return the weights to start from, scaled unless they are a solution."""
    W = start.weights.double()
    if start.stopped:
        return W
    penalty = program.beta * float(program.penalty.value(W))
    return scaled_start(program, W, program.forward(W), penalty, program.processes)


def _resumed(
    program: GatedProgram,
    passes: Passes,
    tol: float,
    keeper: Keeper | None,
    stopping: Stopping,
    watch: Stopwatch,
) -> "ProximalPoint | None":
    """Return the method as the keeper has it, with its rule and its clock; None if it has none."""
    saved = None if keeper is None else keeper.load()
    if saved is None:
        return None
    stopping.resume(saved)
    watch.begin_at(saved["seconds"])
    return ProximalPoint.resumed(program, passes, tol, _on(program.U.device, saved))


class ProximalPoint(Search):
    """The method on one program in float64, to a relative gap.

    Where loss and penalty do not couple the classes, they are solved by themselves: side by side,
    or one after the other (:func:`convexbn.programs.memory.columns_at_once`).
    """

    def __init__(self, program: GatedProgram, tol: float, stages: list[Stage]):
        self.program, self.tol, self.stages = program, tol, stages

    @classmethod
    def starting(
        cls, program: GatedProgram, W: torch.Tensor, passes: Passes, tol: float
    ) -> "ProximalPoint":
        """Return the method at weights W (r + 1, P, C)."""
        C = program.Y.shape[1]
        sigma = _FIRST / program.loss.lipschitz / GROWTH / passes.norm**2
        columns = torch.arange(C, device=W.device).split(_together(program))
        systems = [System.starting(program, passes, c, W, sigma) for c in columns]
        return cls(program, tol, [Stage.starting(system) for system in systems])

    @classmethod
    def resumed(
        cls, program: GatedProgram, passes: Passes, tol: float, state: dict
    ) -> "ProximalPoint":
        """Return the one whose :meth:`checkpoint` this was."""
        method = cls(program, tol, [Stage.resumed(program, passes, s) for s in state["stages"]])
        method.iterations = state["iterations"]
        return method

    def checkpoint(self) -> dict:
        """Return all that it goes on from to the same numbers."""
        return {"stages": [stage.state() for stage in self.stages], "iterations": self.iterations}

    @property
    def _found(self) -> list[Found]:
        return [found for stage in self.stages for found in stage.found]

    def observe(self) -> float:
        """Take stock of every System; return the relative gap."""
        for stage in self.stages:
            stage.take_stock(self.tol)
        self.done = all(stage.done for stage in self.stages)
        objectives, duals = zip(*((f.primal.objective, f.dual) for f in self._found), strict=True)
        self.bounds = float(torch.cat(objectives).sum()), float(torch.cat(duals).sum())
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
        return self._weights(self._found)

    def dual(self) -> torch.Tensor:
        """Return the best dual point so far, before it is scaled, shape (n, C)."""
        return self._joined([(found.columns, found.V) for found in self._found])

    def snapshot(self, seconds: float) -> Snapshot:
        """Return the snapshot of the best weights so far."""
        found, seen = self._found, (self.program.beta, self.iterations, seconds, *self.bounds)
        return Snapshot(
            *seen,
            form=lambda: self._weights(found),
            predict=lambda: self._joined([(f.columns, f.primal.F) for f in found]),
        )

    def _weights(self, best: list[Found]) -> torch.Tensor:
        W = self.program.U.new_zeros(self.program.shape)
        for found in best:
            found.primal.put(W, found.columns)
        return W

    def _joined(self, pieces: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Return pieces (n, c), each after its columns, as they are in the program (n, C)."""
        out = torch.empty_like(self.program.Y)
        for columns, piece in pieces:
            out[:, columns] = piece.double()
        return out


def _together(program: GatedProgram) -> int:
    """Return how many columns are solved side by side: all that are coupled."""
    C = program.Y.shape[1]
    if not uncoupled(program):
        return C
    sizes = len(program.Y), *program.shape, program.patches
    fitting = columns_at_once(*sizes, device=program.U.device, loss=program.loss.name)
    return program.processes.least(fitting)


def _on(device: torch.device, state: Any) -> Any:
    """Return a state with its tensors on a device."""
    if isinstance(state, dict):
        return {key: _on(device, value) for key, value in state.items()}
    if isinstance(state, list):
        return [_on(device, value) for value in state]
    return state.to(device) if isinstance(state, torch.Tensor) else state
