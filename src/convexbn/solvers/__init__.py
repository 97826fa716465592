"""Solve the convex programs to a certified global optimum.

:func:`solve` runs in float32 for as long as that makes progress and in float64 from there, and
lets the referee (:func:`convexbn.certify`) have the last word in float64.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch

from convexbn.inputs import check_between, check_finite, check_positive
from convexbn.program import Certificate, Program, forward, make_program, referee
from convexbn.solvers import fista

logger = logging.getLogger(__name__)

__all__ = ["Solution", "solve", "solve_path"]


@dataclass(frozen=True)
class Solution:
    """Weights with the referee's certificate.

    Attributes
    ----------
    weights : ndarray or Tensor, shape (r + 1, P, C)
        Of the kind of the design that was handed in.
    certificate : Certificate
    beta : float
    """

    weights: np.ndarray | torch.Tensor
    certificate: Certificate
    beta: float

    @property
    def neurons(self) -> int:
        """Number of non-zero blocks."""
        return int((torch.as_tensor(self.weights).norm(dim=0) > 0).sum())

    def predict(self, U, D):
        """Return the predictions (m, C) for whitened samples U (m, r + 1) with gates D (m, P)."""
        W = torch.as_tensor(self.weights)
        U, D = torch.as_tensor(U, dtype=W.dtype, device=W.device), torch.as_tensor(D).to(W.device)
        F = forward(U, D, W)
        return F if torch.is_tensor(self.weights) else F.numpy()


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
        `model`, `loss`, `penalty`, `tol`, `max_iterations`, `initial`, `device` and `on_look` of
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
    on_look=None,
):
    """Solve for several weight decays, each from the solution of the next larger one.

    Parameters
    ----------
    U, D, Y : array or tensor
        As for :func:`solve`.
    betas : sequence of float
        Weight decays; solved from the largest to the smallest.
    model : {"gated"}
        "gated": the patterns are fixed by the gates.
    loss : {"squared"}
        Half the sum of squares.
    penalty : {"group"}
        "group": one block, and one norm, per gate and class.
    tol : float
        Relative duality gap to reach.
    max_iterations : int
        Give up on a beta (with `certificate.converged` False) after so many iterations.
    initial : array or tensor, shape (r + 1, P, C), optional
        Weights to start from; zero by default.
    device : str, optional
        Where to compute; by default where U is.
    on_look : callable, optional
        Called with a :class:`convexbn.solvers.fista.Look` each time the gap is computed; the time
        it takes is not counted.

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
    Ergen et al. 2022, the program of Section 2 with the arrangements restricted to the given ones
    and without the cone constraints. Optimality is global for this program.
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
    weights, lipschitz = _initial_weights(program, initial), None
    for beta in betas:
        program = replace(program, beta=float(beta))
        weights, certificate, lipschitz = _solve(
            program, weights, lipschitz, tol, max_iterations, on_look or (lambda look: None)
        )
        logger.info("beta %.3g: %s", beta, certificate.reason)
        yield Solution(_like(U, weights), certificate, float(beta))


def _solve(program: Program, W, lipschitz, tol, max_iterations, on_look):
    """Return weights, their certificate, and the step size's constant for the next solve."""
    watch, iteration = fista.Stopwatch(), 0
    for dtype in (torch.float32, torch.float64):
        working = program.to(dtype)
        state = fista.State.at(working, W, lipschitz, iteration)
        target, stopped = tol, "tolerance"
        while stopped == "tolerance":
            stopped = fista.minimize(working, state, target, max_iterations, watch, on_look)
            certificate = referee(program, state.W.double(), tol)
            if certificate.converged or target < torch.finfo(dtype).eps:
                break
            target /= 2  # the working precision was too kind to itself
        W, lipschitz, iteration = state.W, state.lipschitz, state.iteration
        if certificate.converged or stopped == "iterations":
            break
    reason = f"{certificate.reason}; stopped by {stopped} after {iteration} iterations in {dtype}"
    certificate = replace(certificate, iterations=iteration, seconds=watch.seconds, reason=reason)
    return W, certificate, lipschitz


def _initial_weights(program: Program, initial):
    if initial is None:
        return program.U.new_zeros(program.shape)
    W = torch.as_tensor(initial, dtype=torch.float64, device=program.U.device)
    if tuple(W.shape) != program.shape:
        raise ValueError(f"initial weights must have shape {program.shape}, got {tuple(W.shape)}")
    check_finite("initial weights", W)
    return W


def _like(U, W):
    """Return W as what the caller works with: numpy if U is."""
    return W if torch.is_tensor(U) else W.cpu().numpy()
