"""The loop of column generation: search, join, shrink, slide, merge, polish.

See :mod:`convexbn.solvers.columns.column_generation` for what each of these does.
"""

import math
from dataclasses import replace

import torch

from convexbn.programs.gated import scaled_dual
from convexbn.solvers.columns.found import Found, joint
from convexbn.solvers.columns.polishing import polished
from convexbn.solvers.columns.sliding import NeuronProblem, shrink, slide
from convexbn.solvers.columns.sphere import search
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch

_SOFTEST, _HARDEST = 1e-1, 1e-9  # rounding of the ReLU, relative to a typical pre-activation
_SHARPER = 0.1  # from one rounding to the next
_JOIN = 32  # neurons that join in a round
_QUICK, _ALL = 64, 10**9  # candidates that a quick search, and a thorough one, refines
_POOL = 256  # candidates that are starts of later searches
_CONFIRMATIONS = 2  # further searches that have to find nothing before the solve ends
_MORE = 4  # times as many starts in the confirmations
ROUNDS = 200
_POLISHINGS = 30  # rounds on the neurons' own cones
_PROGRESS = 1e-2  # fall of the objective that is worth another round, relative to the rounding
_ROOM = 1e-3  # rise of the objective for fewer neurons, likewise
_ZERO = 1e-9  # length of a neuron, relative to the longest
_SHARES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)  # lengths up to which they may be dropped
_ANGLES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # up to which neurons may be merged


class Generation:
    """The loop: search, join, shrink, slide, merge."""

    def __init__(
        self,
        problem: NeuronProblem,
        tol: float,
        starts: int,
        seed: int,
        rounds: int,
        watch: Stopwatch,
        callback: Callback,
    ):
        self.problem, self.tol, self.starts, self.rounds = problem, tol, starts, rounds
        self.watch, self.callback = watch, callback
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.pool = problem.rows[:0]
        self.seen: list[Found] = []

    def run(self) -> Found:
        """Return the neurons with the lowest objective.

        Raises
        ------
        KeyboardInterrupt
            If an interrupt comes before any are known.
        """
        try:
            return self._run()
        except KeyboardInterrupt:
            if not self.seen:
                raise
            return replace(self.best, stopped="interrupt")

    @property
    def best(self) -> Found:
        """Those with the lowest objective so far."""
        return min(self.seen, key=lambda found: found.objective)

    def _run(self) -> Found:
        problem, softness, last = self.problem, _SOFTEST, math.inf
        S, signs, ended = problem.rows[:0], problem.rows[:0, 0], "iterations"
        for rounds in range(self.rounds):
            found, candidates = self._searched(S, signs, rounds, softness, self.tol / 2)
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
        best = self.best
        final, candidates = self._searched(best.S, best.signs, best.rounds, 0.0, self.tol)
        for _ in range(min(_POLISHINGS, self.rounds)):
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
        self.seen.append(found)
        seen = self.watch.seconds, found.objective, found.bound
        with self.watch.paused():
            self.callback(
                Snapshot(
                    *(problem.beta, rounds, *seen),
                    form=lambda: found.weights,
                    predict=lambda: problem.predictions(S, signs),
                )
            )
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
