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
import math
from dataclasses import replace

import torch

from convexbn.arrangements.gates import active
from convexbn.inputs import ArrayLike, as_beta, as_tensor, check_between, check_tolerance
from convexbn.programs.certificates import judged
from convexbn.programs.gated import scaled_dual
from convexbn.programs.instances import make_program
from convexbn.programs.relu import ReLUProgram
from convexbn.programs.solutions import Solution
from convexbn.programs.terms import NewtonLoss, require
from convexbn.programs.units import Units
from convexbn.solvers.columns.found import Found, joint
from convexbn.solvers.columns.polishing import polished
from convexbn.solvers.columns.sliding import NeuronProblem, shrink, slide
from convexbn.solvers.columns.sphere import search
from convexbn.solvers.relu.projections import Projections
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch, following

logger = logging.getLogger(__name__)

_SOFTEST, _HARDEST = 1e-1, 1e-9  # rounding of the ReLU, relative to a typical pre-activation
_SHARPER = 0.1  # from one rounding to the next
_JOIN = 32  # neurons that join in a round
_QUICK, _ALL = 64, 10**9  # candidates that a quick search, and a thorough one, refines
_POOL = 256  # candidates that are starts of later searches
_CONFIRMATIONS = 2  # further searches that have to find nothing before the solve ends
_MORE = 4  # times as many starts in the confirmations
_ROUNDS = 200
_POLISHINGS = 30  # rounds on the neurons' own cones
_PROGRESS = 1e-2  # fall of the objective that is worth another round, relative to the rounding
_ROOM = 1e-3  # rise of the objective for fewer neurons, likewise
_ZERO = 1e-9  # length of a neuron, relative to the longest
_SHARES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)  # lengths up to which they may be dropped
_ANGLES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # up to which neurons may be merged


def train_exact(
    U: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    loss: str = "squared",
    tol: float = 1e-6,
    seed: int = 0,
    starts: int = 256,
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
        if both gaps are within the tolerance.

    Raises
    ------
    ValueError
        For NaN, lengths that do not match, beta <= 0 or an unknown name; the message says what was
        expected.
    TypeError
        If the loss lacks a method that the solver needs.
    """
    check_tolerance(tol)
    check_between("starts", starts, 1, 10**6)
    check_between("seed", seed, -(2**63), 2**63 - 1)
    rows, y, beta = as_tensor("U", U, device=device), as_tensor("y", y), as_beta(beta)
    _check_shapes(rows, y)
    stated = _any_pattern(rows, y, beta, loss)
    require(stated.loss, NewtonLoss, "column generation")
    units = Units.of(stated)
    program, watch = units.taken_off(stated), Stopwatch()
    problem = NeuronProblem(program.U, program.Y, program.beta, program.loss)
    follow = following(callback, units, beta)
    found = _Generation(problem, tol, starts, seed, watch, follow).run()
    W, V = found.weights, problem.residual(found.S, found.signs)
    program = replace(program, D=active(program.U, W.sum(0)))
    multipliers = units.put_on_dual(_best_multipliers(program, V))
    W = units.put_on_weights(W)
    judgement = judged(program, units, W, tol, multipliers=multipliers)
    certificate = replace(found.judged(judgement), seconds=watch.seconds)
    logger.info("beta %.3g: %s", beta, certificate.reason)
    given = (W, multipliers) if torch.is_tensor(U) else (W.cpu().numpy(), multipliers.cpu().numpy())
    return Solution(given[0], certificate, beta, "relu", loss, multipliers=given[1])


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


class _Generation:
    """The loop: search, join, shrink, slide, merge."""

    def __init__(
        self,
        problem: NeuronProblem,
        tol: float,
        starts: int,
        seed: int,
        watch: Stopwatch,
        callback: Callback,
    ):
        self.problem, self.tol, self.starts = problem, tol, starts
        self.watch, self.callback = watch, callback
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.pool = problem.rows[:0]

    def run(self) -> Found:
        """Return the neurons with the lowest objective."""
        problem, softness, last = self.problem, _SOFTEST, math.inf
        seen: list[Found] = []
        S, signs, ended = problem.rows[:0], problem.rows[:0, 0], "iterations"
        for rounds in range(_ROUNDS):
            found, candidates = self._searched(S, signs, rounds, softness, self.tol / 2)
            seen.append(found)
            if found.stopped:
                return found
            W, sides, heights = candidates
            # Violations below the softness are the rounding's own: neurons that join for them
            # gain nothing and are dropped again.
            joining = heights > problem.beta * (1 + max(self.tol, softness) * _SHARPER)
            stale = found.objective > (1 - _PROGRESS * softness) * last
            last = found.objective
            if stale or not joining.any():
                softness, last = _SHARPER * softness, math.inf
            # A sharper rounding is a kink in float64, and sliding gains nothing more.
            if softness < _HARDEST:
                ended = "precision"
                break
            S, signs = self._joined(S, signs, W[joining], sides[joining])
            if len(S):
                S = slide(problem, S, signs, softness)
                S, signs = self._merged(S, signs, _ROOM * softness)
        # The last neurons need not be the best: merging may raise the objective a little.
        best = min(seen, key=lambda found: found.objective)
        final, candidates = self._searched(best.S, best.signs, best.rounds, 0.0, self.tol)
        for _ in range(_POLISHINGS):
            if final.stopped:
                return final
            final, candidates = self._polished(final, candidates)
        return final if final.stopped else replace(final, stopped=ended)

    def _polished(self, found: Found, candidates: tuple) -> tuple[Found, tuple]:
        """Return the optimum on the cones of neurons and violators, and the search's next word."""
        W, _, heights = candidates
        joining = heights > self.problem.beta * (1 + self.tol * _SHARPER)
        tol = self.tol * _SHARPER
        S, signs = polished(self.problem, found.S, found.signs, W[joining], tol)
        return self._searched(S, signs, found.rounds + 1, 0.0, self.tol)

    def _searched(self, S, signs, rounds, softness, enough) -> tuple[Found, tuple]:
        """Return the neurons with the search's bound, and the violators.

        Where a search finds none, or the gap is `enough`, larger searches have to agree.
        """
        problem, highest, searched = self.problem, 0.0, 0
        V = problem.residual(S, signs)
        # The bound is only as good as the search: a lucky miss of the highest neuron would end the
        # solve with a bound that is too high. Searches with other and more starts make it unlikely,
        # and a quick one comes first because most rounds only need some violators.
        for starts, refined in self.searches:
            candidates = self._search(V, S, starts, refined)
            searched += starts
            highest = max([highest, *candidates[2].tolist()])
            found = self._found(S, signs, V, highest, rounds, searched)
            joins = highest > problem.beta * (1 + max(self.tol, softness) * _SHARPER)
            if found.gap > enough and (joins or refined == _ALL):
                break
        else:
            found = replace(found, stopped="tolerance")
        F = problem.predictions(S, signs)
        seen = (self.watch.seconds, found.objective, found.bound, lambda: found.weights, F)
        with self.watch.paused():
            self.callback(Snapshot(problem.beta, rounds, *seen))
        return found, candidates

    @property
    def searches(self) -> list[tuple[int, int]]:
        """Starts and refined candidates of the searches, made in turn until one finds violators."""
        thorough = [(self.starts, _ALL), *[(_MORE * self.starts, _ALL)] * _CONFIRMATIONS]
        return [(self.starts, _QUICK), *thorough]

    def _search(self, V, S, starts, refined):
        """Search from new starts, the neurons, and the results of the last thorough search."""
        rows, V = self.problem.rows, V.repeat(self.problem.patches, 1)
        known = torch.cat([S, self.pool])
        W, *rest = search(rows, V, self.problem.beta, starts, self.generator, known, refined)
        if refined == _ALL:
            self.pool = W[:_POOL]
        return W[:_JOIN], *(part[:_JOIN] for part in rest)

    def _found(self, S, signs, V, highest, rounds, searched) -> Found:
        problem = self.problem
        norm = V.new_tensor([max(highest, problem.beta)])
        objective, bound = problem.objective(S, signs), scaled_dual(problem, V, norm)
        return Found(S, signs, objective, bound, highest / problem.beta - 1, rounds, searched)

    def _joined(self, S, signs, W, sides):
        """Return the neurons and those that join, all at their best lengths."""
        lengths = torch.linalg.vector_norm(S, dim=1)
        units, signs = torch.cat([S / lengths[:, None], W]), torch.cat([signs, sides])
        if len(W) == 0:
            return S, signs
        lengths = shrink(
            self.problem, units, signs, torch.cat([lengths, lengths.new_zeros(len(W))])
        )
        kept = lengths > _ZERO * lengths.max()
        return (lengths[:, None] * units)[kept], signs[kept]

    def _merged(self, S, signs, room):
        """Return fewer neurons, if the objective rises by no more than a share `room`."""
        # Each round adds near copies of known neurons. Unmerged, they could share their length in
        # any way, and the Newton system of the next slide would be nearly singular.
        limit = (1 + room) * self.problem.objective(S, signs)
        for angle in _ANGLES:
            fewer = joint(S, signs, angle)
            if self.problem.objective(*fewer) <= limit:
                S, signs = fewer
                break
        lengths = torch.linalg.vector_norm(S, dim=1)
        for share in _SHARES:
            kept = lengths > share * lengths.max()
            if self.problem.objective(S[kept], signs[kept]) <= limit:
                return S[kept], signs[kept]
        return S, signs
