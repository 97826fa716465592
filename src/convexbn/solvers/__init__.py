"""Solvers of the convex programs, to a certified global optimum.

:func:`solve` takes the proximal point method with semismooth Newton steps, in the dual for the
gated program and in the predictions for the exact program of the ReLU network, and an
interior-point method for that of BN after the ReLU. The referee (:func:`convexbn.certify`) judges
the result in float64.
"""

from collections.abc import Iterable, Iterator

import torch

from convexbn.calls import public, warn
from convexbn.inputs import ArrayLike, as_beta
from convexbn.programs.solutions import Solution
from convexbn.solvers.path import solutions
from convexbn.solvers.snapshots import Callback
from convexbn.solvers.stopping import missed

__all__ = ["Solution", "solve", "solve_path"]

_NOTHING = 1e-12  # relative gap that is rounding


@public
def solve(
    U: ArrayLike,
    D: ArrayLike,
    Y: ArrayLike,
    beta: float,
    *,
    model: str = "gated",
    loss: str = "squared",
    penalty: str = "group",
    tol: float = 1e-6,
    max_iterations: int = 100_000,
    initial: ArrayLike | None = None,
    device: str | torch.device | None = None,
    callback: Callback | None = None,
    distributed: bool = False,
) -> Solution:
    """Train a BN-ReLU network to its global optimum by an equivalent convex program.

    With the whitened design U (n, r + 1) and the arrangements `D_i = diag(D[:, i])`, i = 1..P,
    model "gated" solves, over blocks W_i (r + 1, C),

        min_W  L(sum_i D_i U W_i, Y) + beta R(W),

    R being `sum_{i,c} ||W_i[:, c]||_2` (penalty "group") or `sum_i ||W_i||_*` ("nuclear"). Model
    "relu" solves, over blocks s_i and t_i (r + 1,),

        min_{s,t}  L(sum_i D_i U (s_i - t_i), y) + beta sum_i (||s_i||_2 + ||t_i||_2)
        s.t.       (2 D_i - I) U s_i >= 0,  (2 D_i - I) U t_i >= 0,

    and model "relu_bn" the program of the network that normalizes after the ReLU, on the data
    themselves (see :mod:`convexbn.programs.relu_bn`). With K patches per sample, `D_i U` is
    `sum_k D_ik U_k`, and the constraints hold for every patch.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1), or (K, n, r + 1) for a CNN with sum pooling
        Whitened design, see :func:`convexbn.whiten`. Model "relu_bn" takes the data X (n, d)
        themselves, of full column rank.
    D : array or tensor of bool, shape (n, P) or (K, n, P)
        Activation patterns `1[U g >= 0]` of gates, see :func:`convexbn.activation`.
    Y : array or tensor, shape (n,) or (n, C)
        Targets. The ReLU models have one output, C = 1.
    beta : float
        Weight decay, in the paper's units (the loss is a sum over samples).
    model : {"gated", "relu", "relu_bn"}
        "gated": the gates alone decide which samples a block acts on. "relu": the exact program of
        the ReLU network, whose blocks are confined to the cones of D. "relu_bn": the same for batch
        normalization after the ReLU.
    loss : {"squared", "logistic", "squared_hinge", "cross_entropy"}
        Half the sum of squares; the logistic loss or the sum of squared hinges, of targets +-1; the
        softmax cross-entropy of one-hot targets (model "gated"). Each is a sum over samples.
    penalty : {"group", "nuclear"}
        "group": one block, and one norm, per gate and class, so that each class has neurons of its
        own. "nuclear" (model "gated"): the nuclear norm of each gate's (r + 1, C) block, for
        neurons whose outputs are vectors.
    tol : float
        Relative duality gap to reach, below 1.
    max_iterations : int
        Limit of iterations. Where it ends the solve, `certificate.converged` is False and
        `certificate.stopped` is "iterations".
    initial : array or tensor, shape (r + 1, P, C), or (2, r + 1, P) for model "relu", optional
        Weights to start from, zero by default; not for model "relu_bn".
    device : str or torch.device, optional
        Device to compute on; that of U by default.
    callback : callable, optional
        Called with a :class:`convexbn.solvers.snapshots.Snapshot` each time the gap is computed.
        The time it takes is not counted. It may raise KeyboardInterrupt to end the solve.
    distributed : bool
        Whether the samples are spread over the processes of PyTorch's default group (model
        "gated"). Each process then calls this with its own rows of U, D and Y, n of them here, in
        any shares, and with the same other arguments; a callback sees its own rows' predictions.

    Returns
    -------
    Solution
        Weights (r + 1, P, C), or (2, r + 1, P) for the ReLU models (s and t; blocks [w; alpha]
        (2, d + 1, P) for "relu_bn"), with the referee's certificate. Of processes that share the
        samples each has all weights, the certificate of all samples, and the dual variable of its
        own. An interrupt (Ctrl-C) gives back the best so far: `certificate.stopped` is "interrupt".

    Raises
    ------
    ValueError
        For NaN, lengths that do not match, beta <= 0 or an unknown name; the message says what was
        expected.
    TypeError
        If a loss or penalty lacks a method that the solver needs.

    Warns
    -----
    UserWarning
        If the certificate misses `tol`, the optimum is zero, U is not whitened, or Y are labels,
        counted from 0, of more than two classes that the squared loss takes for numbers.

    Notes
    -----
    Ergen et al. 2022, the programs of Sections 2 and 3, restricted to the arrangements given, and
    for model "gated" without the cone constraints. Optimality is global for the program; with all
    arrangements (:func:`convexbn.enumerate_arrangements`) the ReLU models are the network itself.
    """
    (solution,) = solve_path(
        *(U, D, Y, [as_beta(beta, "solve_path takes several")]),
        model=model,
        loss=loss,
        penalty=penalty,
        tol=tol,
        max_iterations=max_iterations,
        initial=initial,
        device=device,
        callback=callback,
        distributed=distributed,
    )
    if solution.certificate.relative_gap <= _NOTHING and not solution.weights.any():
        warn(f"the optimum for beta {solution.beta:g} has no neurons: {_advice(model, solution)}")
    return solution


def _advice(model: str, solution: Solution) -> str:
    """Return what to do about an optimum without neurons."""
    if solution.certificate.objective == 0:
        return "the targets are zero, as are its predictions"
    below = "a smaller one" if model == "relu_bn" else "one below beta_max(U, D, Y)"
    return f"beta is so large; take {below}"


@public
def solve_path(
    U: ArrayLike,
    D: ArrayLike,
    Y: ArrayLike,
    betas: float | Iterable[float],
    *,
    model: str = "gated",
    loss: str = "squared",
    penalty: str = "group",
    tol: float = 1e-6,
    max_iterations: int = 100_000,
    initial: ArrayLike | Solution | None = None,
    device: str | torch.device | None = None,
    callback: Callback | None = None,
    distributed: bool = False,
) -> Iterator[Solution]:
    """Solve for several weight decays, each from the solution for the next larger one.

    Parameters
    ----------
    U, D, Y : array or tensor
        As for :func:`solve`.
    betas : float, or iterable of float
        Weight decays, solved from the largest to the smallest.
    model, loss, penalty, tol, max_iterations, initial, device, callback, distributed
        As for :func:`solve`; `max_iterations` is the limit for each beta, and `initial` are the
        weights from which the largest beta is solved, or the solution before it: a path of model
        "gated" that was interrupted goes on from it to the same numbers.

    Yields
    ------
    Solution
        One per beta, in descending order of beta. An interrupt (Ctrl-C) ends the path with the best
        so far.

    Raises
    ------
    ValueError
        For NaN, lengths that do not match, beta <= 0 or an unknown name; the message says what was
        expected.
    TypeError
        If a loss or penalty lacks a method that the solver needs.

    Warns
    -----
    UserWarning
        As :func:`solve`; of certificates, for the first that misses `tol`.

    Notes
    -----
    It is a generator: inputs are checked when the first solution is asked for.
    """
    path = solutions(
        *(U, D, Y, betas),
        model=model,
        loss=loss,
        penalty=penalty,
        tol=tol,
        max_iterations=max_iterations,
        initial=initial,
        device=device,
        callback=callback,
        distributed=distributed,
    )
    has_warned = False
    for solution in path:
        certificate = solution.certificate
        is_last = certificate.stopped == "interrupt"
        if not certificate.converged and (is_last or not has_warned):
            warn(missed(solution.beta, certificate, tol, f"max_iterations (now {max_iterations})"))
            has_warned = True
        yield solution
