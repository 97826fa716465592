"""Accelerated proximal gradient (FISTA) with adaptive restart and a checked step size.

Beck and Teboulle 2009; restarts by the gradient scheme of O'Donoghue and Candes 2015. One
iteration costs one pass over the design and one over its adjoint. The predictions at the
extrapolated point follow from those of the iterates, so that objective, dual bound and the check of
the step size cost no pass of their own.
"""

import math
from dataclasses import dataclass

import torch

from convexbn.program import Program
from convexbn.solvers.looks import Look

_LOOK_EVERY = 10  # iterations between two looks at the gap
_EARLY_LOOKS = (1, 2, 5)  # the curves of gap against time begin here
# Looks without progress before a precision is held to be exhausted: accelerated iterations go up
# and down, and leaving float32 early only costs time.
_PATIENCE = {torch.float32: 20, torch.float64: 500}
_POWER_ITERATIONS = 25


@dataclass
class State:
    """Where the solver is: iterate W, extrapolated point Z, their predictions, and the step.

    `lipschitz` is the constant of the step size, `bound` the largest that it can have to be: both
    of the gradient of the loss of the weights.
    """

    W: torch.Tensor
    AW: torch.Tensor
    Z: torch.Tensor
    AZ: torch.Tensor
    lipschitz: float
    bound: float
    iteration: int
    momentum: float = 1.0
    best_dual: float = -math.inf

    @classmethod
    def at(cls, program: Program, W, lipschitz=None, iteration=0) -> "State":
        """Begin at weights W (r + 1, P, C), in the precision of the program."""
        W = W.to(program.U.dtype)
        AW = program.forward(W)
        of_loss = program.loss.lipschitz
        lipschitz = lipschitz or of_loss * largest_eigenvalue(program)
        return cls(W, AW, W, AW, lipschitz, of_loss * eigenvalue_bound(program), iteration)


def largest_eigenvalue(program: Program) -> float:
    """Estimate the largest eigenvalue of `A^T A` from below, by the power method.

    Too small a value is harmless: :func:`advance` checks each step.
    """
    v = program.Y[:, :1] + 1 / math.sqrt(len(program.Y))
    length = float(torch.linalg.vector_norm(v))
    for _ in range(_POWER_ITERATIONS):
        if length == 0:  # the start has no part in the range of A
            return 1.0
        v = program.forward(program.adjoint(v / length))
        length = float(torch.linalg.vector_norm(v))
    return length or 1.0


def eigenvalue_bound(program: Program) -> float:
    """Bound the largest eigenvalue of `A^T A` from above.

    `A A^T` is the entrywise product of `U U^T` and `D D^T`, so that (Schur 1911) the largest
    eigenvalue of the one times the largest diagonal entry of the other bounds it. Summing over
    patches multiplies it by at most their number.
    """
    active = int(program.D.sum(dim=1).max()) * program.patches
    return active * float(torch.linalg.matrix_norm(program.U.T @ program.U, torch.inf))


def advance(program: Program, state: State, V, T) -> None:
    """Make one iteration in place, from V, the negative gradient at Z, and its blocks T."""
    while True:
        step = 1 / state.lipschitz
        W = program.penalty.prox(state.Z + step * T, step * program.beta)
        AW = program.forward(W)
        bend = float(program.loss.curvature(AW - state.AZ))
        length = float((W - state.Z).square().sum())
        # Near the optimum the bend of a tiny step is rounding: hence the bound.
        if bend <= state.lipschitz * length * (1 + 1e-4) or state.lipschitz >= state.bound:
            break
        state.lipschitz = min(state.bound, 1.02 * bend / length) if length > 0 else state.bound
    if float(((state.Z - W) * (W - state.W)).sum()) > 0:
        state.momentum = 1.0
    momentum = (1 + math.sqrt(1 + 4 * state.momentum**2)) / 2
    theta = (state.momentum - 1) / momentum
    state.Z = W + theta * (W - state.W)
    state.AZ = AW + theta * (AW - state.AW)
    state.W, state.AW, state.momentum = W, AW, momentum
    state.iteration += 1


def minimize(program: Program, state: State, tol, max_iterations, watch, on_look) -> str:
    """Iterate until the relative gap, as this precision sees it, is within `tol`.

    Parameters
    ----------
    program : Program
    state : State
        Changed in place.
    tol : float
    max_iterations : int
    watch : Stopwatch
        Paused while `on_look` works.
    on_look : callable
        Called with a :class:`Look` each time the gap is computed.

    Returns
    -------
    str
        "tolerance", "iterations" (the limit was reached) or "precision" (no more progress).
    """
    best, stale = math.inf, 0
    while True:
        V = program.loss.negative_gradient(state.AZ, program.Y)
        T = program.adjoint(V)
        out_of_time = state.iteration >= max_iterations
        if state.iteration % _LOOK_EVERY == 0 or state.iteration in _EARLY_LOOKS or out_of_time:
            look = _look(program, state, V, T, watch.seconds)
            with watch.paused():
                on_look(look)
            if look.relative_gap <= tol:
                return "tolerance"
            progressed = look.relative_gap < 0.99 * best
            best, stale = (look.relative_gap, 0) if progressed else (best, stale + 1)
            if stale >= _PATIENCE[program.U.dtype] or not math.isfinite(look.objective):
                return "precision"
            if out_of_time:
                return "iterations"
        advance(program, state, V, T)


def _look(program, state, V, T, seconds) -> Look:
    objective = program.objective(state.W, state.AW)
    state.best_dual = max(state.best_dual, program.dual_objective(V, T))
    return Look(
        program.beta, state.iteration, seconds, objective, state.best_dual, state.W, state.AW
    )
