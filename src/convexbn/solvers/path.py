"""Solutions for several weight decays, one after the other, for the functions that judge them.

What a caller should be told of a solution that misses its tolerance is theirs to say.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from convexbn.inputs import ArrayLike, as_betas, check_between, check_tolerance
from convexbn.products import threads_for
from convexbn.programs.certificates import judged
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import check_shared, checked, make_program, spread
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.relu import ExactProgram, ReLUProgram
from convexbn.programs.relu_bn import ReLUBNProgram
from convexbn.programs.solutions import Solution
from convexbn.programs.units import Units
from convexbn.solvers.checks import warn_of_design, warn_of_labels
from convexbn.solvers.gated import proximal_point
from convexbn.solvers.relu import proximal_newton
from convexbn.solvers.relu_bn import interior_point
from convexbn.solvers.snapshots import Callback, Stopwatch, following
from convexbn.solvers.stopping import Keeper, Result

logger = logging.getLogger(__name__)

_METHODS: dict[type, Callable[..., Result]] = {
    GatedProgram: proximal_point.minimize,
    ReLUProgram: proximal_newton.minimize,
    ReLUBNProgram: interior_point.minimize,
}


def solutions(
    U: ArrayLike,
    D: ArrayLike,
    Y: ArrayLike,
    betas: float | Iterable[float],
    *,
    model: str,
    loss: str,
    penalty: str,
    tol: float,
    max_iterations: int,
    initial: ArrayLike | Solution | None = None,
    device: str | torch.device | None = None,
    callback: Callback | None = None,
    distributed: bool = False,
    keeper: Keeper | None = None,
) -> Iterator[Solution]:
    """Yield the solutions of :func:`convexbn.solve_path`, without a word about their certificates.

    Parameters and errors are its own, but for the `keeper`: of model "gated", each solve asks it
    for a state to go on from, and keeps its state there. The last solution is the best so far of an
    interrupted solve, if there is one.

    Raises
    ------
    KeyboardInterrupt
        If an interrupt comes before a solve has begun, or while processes share the samples: the
        others would wait for this one.
    """
    processes = Processes.running() if distributed else ALONE
    terms = {"model": model, "loss": loss, "penalty": penalty}
    limits = {"tol": tol, "max_iterations": max_iterations}
    kept = {} if keeper is None else {"keeper": keeper}
    stopped, start = "", initial
    if isinstance(initial, Solution):
        stopped, start = initial.certificate.stopped, initial.weights

    def prepared() -> tuple:
        descending = sorted(as_betas(betas), reverse=True)
        check_tolerance(tol)
        check_between("max_iterations", max_iterations, 1, 10**9)
        warn_of_labels("Y", Y, loss)
        program = spread(
            make_program(U, D, Y, descending[0], device=device, for_solver=True, **terms), processes
        )
        return program, descending, _initial_weights(program, start)

    with threads_for(_entries(U)):  # a few passes over U alone
        program, descending, W = processes.together(prepared)
        check_shared(program, W, betas=descending, **terms, **limits)
        warn_of_design(program)
        units = Units.of(program)
        program = units.taken_off(program)
    minimize, W = _METHODS[type(program)], units.taken_off_weights(W)
    result = Result(W, {}, stopped=stopped)
    for beta in descending:
        watch, program = Stopwatch(), replace(program, beta=units.taken_off_beta(beta))
        follow = following(callback, units, float(beta))
        result = minimize(program, result, **limits, **kept, watch=watch, callback=follow)
        if processes != ALONE:
            result.uninterrupted()
        witness = {name: units.put_on_dual(a) for name, a in result.witness.items()}
        with threads_for(math.prod(program.shape) * program.patches * len(program.Y)):
            weights, certificate = _judged(program, result, units, tol, witness)
        certificate = result.signed(certificate, watch)
        logger.info("beta %.3g: %s", beta, certificate.reason)
        result = result._replace(weights=units.taken_off_weights(weights.double()))
        proof = {name: _like(U, values) for name, values in witness.items()}
        yield Solution(
            *(_like(U, weights), certificate, float(beta), model, loss, penalty), **proof
        )
        if result.stopped == "interrupt":
            return


def _entries(U: Any) -> float:
    """Return how many entries a design has, infinity where it does not say."""
    try:
        return math.prod(U.shape)
    except (AttributeError, TypeError):
        return math.inf


def _judged(program, result: Result, units: Units, tol: float, witness: dict) -> tuple:
    """Return the weights in float32 if these are within the tolerance, else as they are; judged."""
    for dtype in (torch.float32, torch.float64) if result.may_round else (torch.float64,):
        weights = units.put_on_weights(result.weights).to(dtype)
        certificate = judged(program, units, weights.double(), tol, **witness)
        if certificate.converged:
            break
    return weights, certificate


def _initial_weights(program: GatedProgram | ExactProgram, initial) -> torch.Tensor:
    """Return the weights to start from, checked; zeros by default."""
    if initial is None:
        return program.Y.new_zeros(program.shape)
    if isinstance(program, ReLUBNProgram):
        raise ValueError(
            "initial weights are for models 'gated' and 'relu': the interior-point method that "
            "solves 'relu_bn' starts inside"
        )
    return checked(program, "initial weights", initial, program.shape)


def _like(U, W):
    """Return W as what the caller works with: numpy if U is."""
    return W if torch.is_tensor(U) else W.cpu().numpy()
