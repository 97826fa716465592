"""Solve the convex programs to a certified global optimum.

:func:`solve` takes the proximal point method with semismooth Newton steps, in the dual for the
gated program and in the predictions for the exact program of the ReLU network, and an
interior-point method for that of BN after the ReLU. The referee (:func:`convexbn.certify`) has the
last word in float64.
"""

import logging
from dataclasses import replace
from functools import partial

import torch

from convexbn.inputs import check_between, check_positive
from convexbn.programs.certificates import Certificate, referee
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import checked, make_program
from convexbn.programs.relu import ExactProgram, ReLUProgram
from convexbn.programs.solutions import Solution
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.proximal_point import ProximalPoint
from convexbn.solvers.relu import proximal_newton as cone_newton
from convexbn.solvers.relu_bn import interior_point
from convexbn.solvers.snapshots import Stopwatch

logger = logging.getLogger(__name__)

__all__ = ["Solution", "solve", "solve_path"]


def solve(U, D, Y, beta, **options) -> Solution:
    """Train a BN-ReLU network to its global optimum by its convex equivalent.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1)
        Whitened design, see :func:`convexbn.whiten`.
    D : array or tensor of bool, shape (n, P)
        Activation patterns, see :func:`convexbn.activation`.
    Y : array or tensor, shape (n,) or (n, C)
        Targets.
    beta : float
        Weight decay, in the paper's units (the loss is a sum over samples).
    **options
        `model`, `loss`, `penalty`, `tol`, `max_iterations`, `initial`, `device` and `callback` of
        :func:`solve_path`.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        For NaN, lengths that do not match, beta <= 0, an unknown name: see the message.
    """
    (solution,) = solve_path(U, D, Y, [beta], **options)
    return solution


def solve_path(
    U,
    D,
    Y,
    betas,
    *,
    model="gated",
    loss="squared",
    penalty="group",
    tol=1e-6,
    max_iterations=100_000,
    initial=None,
    device=None,
    callback=None,
):
    """Solve for several weight decays, each from the solution of the next larger one.

    Parameters
    ----------
    U, D, Y : array or tensor
        As for :func:`solve`.
    betas : sequence of float
        Weight decays; solved from the largest to the smallest.
    model : {"gated", "relu", "relu_bn"}
        "gated": the patterns are fixed by the gates. "relu": the exact program of the ReLU
        network with one output, blocks confined to the cones of D. "relu_bn": the same for batch
        normalization after the ReLU; U is then the data X (n, d) themselves, of full column rank,
        D its patterns `1[X g >= 0]`, and the weights are blocks [w; alpha] (2, d + 1, P).
    loss : {"squared", "logistic", "squared_hinge", "cross_entropy"}
        Half the sum of squares; the logistic loss and the sum of squared hinges, of targets +-1;
        the softmax cross-entropy of one-hot targets (model "gated"). Each a sum over samples.
    penalty : {"group", "nuclear"}
        "group": one block, and one norm, per gate and class, so that each class has neurons of its
        own. "nuclear" (model "gated"): the nuclear norm of each gate's (r + 1, C) block, for
        neurons whose outputs are vectors.
    tol : float
        Relative duality gap to reach.
    max_iterations : int
        Give up on a beta (with `certificate.converged` False) after so many iterations.
    initial : array or tensor, shape (r + 1, P, C), or (2, r + 1, P) for model "relu", optional
        Weights to start from, zero by default; not for model "relu_bn".
    device : str, optional
        Where to compute; by default where U is.
    callback : callable, optional
        Called with a :class:`convexbn.solvers.snapshots.Snapshot` each time the gap is computed;
        the time it takes is not counted.

    Yields
    ------
    Solution
        One per beta, in descending order of beta.

    Raises
    ------
    ValueError
        For NaN, lengths that do not match, beta <= 0, an unknown name: see the message.

    Notes
    -----
    Ergen et al. 2022, the programs of Sections 2 and 3 restricted to the given arrangements, and
    for model "gated" without the cone constraints. Optimality is global for the program; with all
    arrangements (:func:`convexbn.enumerate_arrangements`) the ReLU models are the network itself.
    """
    for beta in betas:
        check_positive("beta", beta)
    check_positive("tol", tol)
    check_between("max_iterations", max_iterations, 1, 10**9)
    if len(betas) == 0:
        raise ValueError("betas must hold at least one weight decay, got none")
    betas = sorted(betas, reverse=True)
    terms = {"model": model, "loss": loss, "penalty": penalty}
    program = make_program(U, D, Y, betas[0], device=device, **terms)
    callback = callback or (lambda snapshot: None)
    solve_one = _cone_solver if isinstance(program, ExactProgram) else _gated_solver
    solve_one = solve_one(program, initial, tol, max_iterations, callback)
    for beta in betas:
        weights, certificate, witness = solve_one(replace(program, beta=float(beta)))
        logger.info("beta %.3g: %s", beta, certificate.reason)
        witness = {name: _like(U, values) for name, values in witness.items()}
        yield Solution(_like(U, weights), certificate, float(beta), **terms, **witness)


def _cone_solver(program: ExactProgram, initial, tol, max_iterations, callback):
    """Return a function that solves the program for one beta after the other, warmly started."""
    if isinstance(program, ReLUProgram):
        state = cone_newton.State.at(program, _initial_weights(program, initial))
        minimize = partial(cone_newton.minimize, state=state)
    elif initial is None:
        minimize = interior_point.minimize
    else:
        raise ValueError(
            "initial weights are for models 'gated' and 'relu': the interior-point method that "
            "solves 'relu_bn' starts inside"
        )

    def solve_one(program):
        watch = Stopwatch()
        x, multipliers, iterations, stopped = minimize(
            program, tol=tol, max_iterations=max_iterations, watch=watch, callback=callback
        )
        W, stopped = program.weights(x), f"{stopped} after {iterations} iterations"
        witness = {"multipliers": multipliers}
        certificate = referee(program, W, tol, **witness)
        return W, _signed(certificate, iterations, watch, stopped), witness

    return solve_one


def _gated_solver(program: GatedProgram, initial, tol, max_iterations, callback):
    """Return a function that solves the program for one beta after the other, warmly started."""
    W, design = _initial_weights(program, initial), None

    def solve_one(program):
        nonlocal W, design
        watch = Stopwatch()
        design = design or Passes(program)
        method = ProximalPoint(program, W.double(), design)
        stopped = method.minimize(tol, max_iterations, watch, callback)
        witness = {"dual": method.dual()}
        W, certificate = _shortest(program, method.weights(), tol, witness)
        stopped = f"{stopped} after {method.rounds} iterations"
        return W, _signed(certificate, method.rounds, watch, stopped), witness

    return solve_one


def _shortest(program, W, tol, witness):
    """Return the weights in float32 if that is precise enough, else as they are; and certified.

    Rounded, blocks of low rank would be so no more: those of the nuclear norm stay as they are.
    """
    rounded = [torch.float32] if program.penalty.by_column else []
    for dtype in (*rounded, torch.float64):
        certificate = referee(program, W.to(dtype).double(), tol, **witness)
        if certificate.converged:
            break
    return W.to(dtype), certificate


def _signed(certificate, iterations, watch, stopped) -> Certificate:
    """Return the certificate with what only the solver knows."""
    reason = f"{certificate.reason}; stopped by {stopped}"
    return replace(certificate, iterations=iterations, seconds=watch.seconds, reason=reason)


def _initial_weights(program: GatedProgram | ReLUProgram, initial):
    if initial is None:
        return program.U.new_zeros(program.shape)
    return checked(program, "initial weights", initial, program.shape)


def _like(U, W):
    """Return W as what the caller works with: numpy if U is."""
    return W if torch.is_tensor(U) else W.cpu().numpy()
