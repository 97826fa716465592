"""The exact problem of the ReLU network without a list of arrangements: neurons on demand.

    min over m, s_j and signs   L(sum_j +- relu(U s_j), y) + beta sum_j ||s_j||

is the exact program over all arrangements (Ergen et al. 2022, Section 2), whose number grows with
n^r. Its neurons are few. So they are generated (Rosset et al. 2007, "l1 regularization in infinite
dimensional feature spaces"; Bach 2017, "Breaking the curse of dimensionality with convex neural
networks"), and moved (Denoyelle et al. 2019, the sliding Frank-Wolfe algorithm):

1. with the residual v, neurons with `|v^T relu(U w)| > beta` are searched for on the unit sphere
   (:mod:`convexbn.solvers.columns.sphere`) and join;
2. a lasso gives all neurons their lengths, and drops some;
3. all neurons slide to a joint optimum (:mod:`convexbn.solvers.columns.sliding`) with the kinks of
   the ReLU rounded off, less and less as fewer violators are found;
4. neurons that became parallel are merged, and neurons that became zero dropped;
5. where that ends short of the tolerance, as it does for a small beta, the neurons are moved to the
   optimum of the exact program over the cones of their own patterns, which has no kinks
   (:mod:`convexbn.solvers.columns.polishing`), and the search adds cones.

The objective of the result is an upper bound of the optimum. Scaled by the largest
`|v^T relu(U w)|`, v is a dual point, whose value is a lower bound *if* the search found the
largest. A search from many starts proves nothing: the bound is conditional on it. The referee
certifies, without that condition, optimality on the cones of the neurons' own patterns, by the
multipliers of :mod:`convexbn.solvers.relu.projections`.
"""

import logging
from dataclasses import replace

import torch

from convexbn.arrangements.gates import active
from convexbn.calls import public, warn
from convexbn.inputs import ArrayLike, as_beta, as_tensor, check_between, check_tolerance
from convexbn.programs.certificates import judged
from convexbn.programs.instances import make_program
from convexbn.programs.relu import ReLUProgram
from convexbn.programs.solutions import Solution
from convexbn.programs.terms import NewtonLoss, require
from convexbn.programs.units import Units
from convexbn.solvers.checks import warn_of_design, warn_of_labels
from convexbn.solvers.columns.generation import ROUNDS, Generation
from convexbn.solvers.columns.sliding import NeuronProblem
from convexbn.solvers.columns.sphere import search
from convexbn.solvers.relu.projections import Projections
from convexbn.solvers.snapshots import Callback, Stopwatch, following
from convexbn.solvers.stopping import missed

logger = logging.getLogger(__name__)

_STARTS = 1024  # of the search for where a path begins


@public
def train_exact(
    U: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    loss: str = "squared",
    tol: float = 1e-6,
    seed: int = 0,
    starts: int = 256,
    max_iterations: int = ROUNDS,
    device: str | torch.device | None = None,
    callback: Callback | None = None,
) -> Solution:
    """Train a BN-ReLU network with any number of neurons by column generation.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1), or (K, n, r + 1) for a CNN with sum pooling
        Whitened design, see :func:`convexbn.whiten`.
    y : array or tensor, shape (n,) or (n, 1)
    beta : float
        Weight decay, in the paper's units.
    loss : {"squared", "logistic", "squared_hinge"}
    tol : float
        Relative gap to reach.
    seed : int
        Seed of the search's random starts.
    starts : int
        Random starts of a search. At the end two searches with four times as many have to confirm
        the result. With more starts the bound depends less on luck.
    max_iterations : int
        Limit of rounds, besides those on the neurons' own cones at the end, as many or 30 at most.
    device : str or torch.device, optional
        Device to compute on; that of U by default.
    callback : callable, optional
        Called with a :class:`convexbn.solvers.snapshots.Snapshot` each round, whose
        `dual_objective` is the conditional bound; the time it takes is not counted.

    Returns
    -------
    Solution
        Solution of model "relu" with weights (2, r + 1, m), one block per neuron, whose patterns
        are the neurons' own, `D = activation(U, weights.sum(0))`. The certificate is relative to
        the cones of these patterns. `certificate.reason` names the largest violation of the dual
        constraint that was found on the whole sphere, and the gap to the exact optimum *if* no
        neuron violates it by more, which the search cannot prove. `certificate.converged` is True
        if both gaps are within the tolerance. An interrupt gives back the best so far.

    Raises
    ------
    ValueError
        For NaN, lengths that do not match, beta <= 0 or an unknown name; the message says what was
        expected.
    TypeError
        If the loss lacks a method that the solver needs.

    Warns
    -----
    UserWarning
        As :func:`convexbn.solve`.
    """
    solution = generated(
        *(U, y, beta),
        loss=loss,
        tol=tol,
        seed=seed,
        starts=starts,
        max_iterations=max_iterations,
        device=device,
        callback=callback,
    )
    if not solution.certificate.converged:
        limit = f"max_iterations (now {max_iterations})"
        warn(missed(solution.beta, solution.certificate, tol, limit))
    return solution


def generated(
    U: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    loss: str,
    tol: float,
    seed: int,
    starts: int = 256,
    max_iterations: int = ROUNDS,
    device: str | torch.device | None = None,
    callback: Callback | None = None,
) -> Solution:
    """Return the solution of :func:`train_exact`, without a word about its certificate."""
    check_tolerance(tol)
    check_between("starts", starts, 1, 10**6)
    check_between("max_iterations", max_iterations, 1, 10**9)
    check_between("seed", seed, -(2**63), 2**63 - 1)
    warn_of_labels("y", y, loss)
    rows, y, beta = as_tensor("U", U, device=device), as_tensor("y", y), as_beta(beta)
    _check_shapes(rows, y)
    stated = _any_pattern(rows, y, beta, loss)
    warn_of_design(stated)
    require(stated.loss, NewtonLoss, "column generation")
    units = Units.of(stated)
    program, watch = units.taken_off(stated), Stopwatch()
    problem = NeuronProblem(program.U, program.Y, program.beta, program.loss)
    follow = following(callback, units, beta)
    found = Generation(problem, tol, starts, seed, max_iterations, watch, follow).run()
    W, V = found.weights, problem.residual(found.S, found.signs)
    program = replace(program, D=active(program.U, W.sum(0)))
    multipliers = units.put_on_dual(_best_multipliers(program, V))
    W = units.put_on_weights(W)
    judgement = judged(program, units, W, tol, multipliers=multipliers)
    certificate = replace(found.judged(judgement), seconds=watch.seconds)
    logger.info("beta %.3g: %s", beta, certificate.reason)
    given = (W, multipliers) if torch.is_tensor(U) else (W.cpu().numpy(), multipliers.cpu().numpy())
    return Solution(given[0], certificate, beta, "relu", loss, multipliers=given[1])


def largest_beta(
    U: ArrayLike, y: ArrayLike, *, loss: str, seed: int, device: str | torch.device | None = None
) -> float:
    """Return the smallest beta at which the network is zero, as far as a search can find it.

    It is the largest `|v^T relu(U w)|`, ||w|| = 1, with the residual v of the zero network.
    """
    rows, y = as_tensor("U", U, device=device), as_tensor("y", y)
    _check_shapes(rows, y)
    stated = _any_pattern(rows, y, 1.0, loss)
    units = Units.of(stated)
    program = units.taken_off_data(stated)
    problem = NeuronProblem(program.U, program.Y, program.beta, program.loss)
    generator, none = torch.Generator("cpu").manual_seed(seed), problem.rows[:0]
    v = problem.residual(none, none[:, 0]).repeat(problem.patches, 1)
    *_, heights = search(problem.rows, v, 0.0, _STARTS, generator, none, _STARTS)
    return units.put_on_beta(max(heights.tolist(), default=0.0))


def _check_shapes(U: torch.Tensor, y: torch.Tensor) -> None:
    if U.ndim not in (2, 3) or 0 in U.shape or y.shape not in ((U.shape[-2],), (U.shape[-2], 1)):
        raise ValueError(
            "U must have shape (n, r + 1), or (K, n, r + 1) in patches, and y (n,) or (n, 1): one "
            f"row per sample and one output, got {tuple(U.shape)} and {tuple(y.shape)}; train "
            "several outputs one by one"
        )


def _any_pattern(U, y, beta, loss) -> ReLUProgram:
    """Return the exact program over one pattern, until the neurons and their patterns are known."""
    D = torch.ones(*U.shape[:-1], 1, dtype=torch.bool, device=U.device)
    program = make_program(U, D, y, beta, model="relu", loss=loss, penalty="group")
    assert isinstance(program, ReLUProgram)
    return program


def _best_multipliers(program: ReLUProgram, V: torch.Tensor) -> torch.Tensor:
    """Return the multipliers (2, P, h) with the least dual norms: the best neuron of each cone."""
    cones, Z = Projections(program), program.adjoint(V).flatten(0, 1)
    cones(Z, torch.arange(len(Z), device=Z.device), 0.0)
    return cones.multipliers()
