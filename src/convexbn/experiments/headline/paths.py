"""The path of one seed of a run: its betas in turn, each solution kept in a file once it is found.

A solution rests on the data, the terms of the program, its beta, the gates of its seed and the
solution that it starts from: one more seed, or a smaller beta, leaves all others as they are. The
solve under way keeps its state, from which it goes on to the same numbers, if one process has all
samples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from convexbn.evaluation import accuracy, mean_loss
from convexbn.experiments.headline.run import Run
from convexbn.programs.certificates import Certificate
from convexbn.programs.processes import ALONE
from convexbn.programs.solutions import NotFiniteError, Solution
from convexbn.progress import progress
from convexbn.solvers.path import solutions
from convexbn.solvers.snapshots import Snapshot
from convexbn.training.checkpoints import Checkpoint, Parts, fingerprint


@dataclass(frozen=True)
class Solved:
    """A solution of a path, on the CPU, and how it was come to.

    Attributes
    ----------
    solution : Solution
    history : list of dict
        The rows of :func:`convexbn.experiments.headline.stages.solve_run`, their `seconds` counted
        from the beginning of this solve.
    """

    solution: Solution
    history: list[dict]

    @classmethod
    def of(cls, part: dict[str, Any], terms: dict[str, Any]) -> "Solved":
        """Return what :meth:`part` was made of."""
        certificate, names = Certificate(**part["certificate"]), ("weights", "dual", "beta")
        kept = {name: part[name] for name in names}
        return cls(Solution(certificate=certificate, **kept, **terms), part["history"])

    def part(self) -> dict[str, Any]:
        """Return it as numbers, texts, tensors, and lists and dicts of these."""
        found = {name: getattr(self.solution, name) for name in ("weights", "dual", "beta")}
        certificate = self.solution.certificate.as_dict()
        return found | {"certificate": certificate, "history": self.history}


class Running:
    """The solve under way, its state in a file.

    Parameters
    ----------
    path : Path or None
        Without a file nothing is kept.

    Attributes
    ----------
    history : list of dict
        The rows of its snapshots so far.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.begin("")

    def begin(self, work: str) -> None:
        """Begin a solve of this work, or go on with it."""
        self.history: list[dict] = []
        self._checkpoint = Checkpoint(self.path, work)

    def load(self) -> dict | None:
        """Return the solver's state, None if there is none of this work."""
        saved = self._checkpoint.load()
        if saved is None:
            return None
        self.history = saved["history"]
        return saved["solve"]

    def save(self, state: Callable[[], dict]) -> None:
        """Keep the solver's state, if the last one was kept some time ago."""
        self._checkpoint.save(lambda: {"history": self.history, "solve": state()})

    def end(self) -> None:
        """Let go of it: the solution is kept."""
        self._checkpoint.remove()


class Paths:
    """The paths of a run.

    Parameters
    ----------
    run : Run
    parts : Parts
        Where solutions are kept, and found if they were kept before.
    bar : progress
        Has a step per snapshot.
    """

    def __init__(self, run: Run, parts: Parts, bar: progress) -> None:
        self.run, self.parts, self.bar = run, parts, bar
        self._running = Running(parts.running if run.share.processes == ALONE else None)
        if parts.folder is not None:
            terms = {**run.settings.terms, "device": str(run.device)}
            data = run.features | run.whitening.tensors()
            # Of several processes each has samples of its own.
            self._work = "".join(run.share.of_each(fingerprint(f"{terms}", data, __file__)))

    def solve(self, s: int, betas: Sequence[float]) -> Iterator[Solved]:
        """Yield the solutions of the s-th seed, from the first of some descending betas on.

        Raises
        ------
        NotFiniteError
            If a solution has NaN or infinities. It is not kept.
        """
        before, path = None, None
        for place, beta in enumerate(betas):
            work = self._rests_on(s, beta, before)
            solved = self._kept(work)
            if solved is None:
                path = path or self._path(s, betas[place:], before)
                self._running.begin(f"{work} {self.run.settings.max_iterations}")
                solved = self._next(path, s)
                if self.run.share.is_first:
                    self.parts.save(work, solved.part())
                self._running.end()
            else:
                path = None  # what follows starts here
            before = solved.solution
            yield solved

    def _rests_on(self, s: int, beta: float, before: Solution | None) -> str:
        """Return what a solution rests on, in words."""
        if self.parts.folder is None:
            return ""
        arrays = {"gates": self.run.gates[s]} | ({"start": before.weights} if before else {})
        return fingerprint(f"{self._work} {self.run.seeds[s]} {beta!r}", arrays, __file__)

    def _kept(self, work: str) -> Solved | None:
        """Return a solution that was kept, unless the limit of iterations would change it."""
        share = self.run.share
        part = share.from_first(self.parts.load(work) if share.is_first else None)
        if part is None:
            return None
        terms = {name: self.run.settings.terms[name] for name in ("loss", "penalty")}
        solved, limit = Solved.of(part, terms), self.run.settings.max_iterations
        certificate = solved.solution.certificate
        ended = certificate.stopped == "iterations"
        same = certificate.iterations == limit if ended else certificate.iterations <= limit
        return solved if same else None

    def _path(self, s: int, betas: Sequence[float], before: Solution | None) -> Iterator[Solution]:
        """Return the solver's path from the solution before it; its snapshots make the history."""
        train, test = (self.run.samples(split, s) for split in ("train", "test"))
        test = replace(test, U=test.U.float())  # precise enough for the curves
        loss, labels = self.run.settings.loss, {"seed": self.run.seeds[s]}
        share = self.run.share

        def callback(snapshot: Snapshot) -> None:
            fitted = share.gathered(snapshot.predictions, len(train.labels)).cpu()
            if not share.is_first:
                return
            self.bar.step(f"beta {snapshot.beta:.3g}, relative gap {snapshot.relative_gap:.1e}")
            scores = test.scores(snapshot.weights.float())
            row = {
                "beta": snapshot.beta,
                "rank": self.run.whitening.rank,
                "iteration": snapshot.iteration,
                "seconds": snapshot.seconds,
                "objective": snapshot.objective,
                "dual_objective": snapshot.dual_objective,
                "gap": snapshot.gap,
                "relative_gap": snapshot.relative_gap,
                "train_accuracy": accuracy(fitted, train.labels),
                "test_accuracy": accuracy(scores, test.labels),
                "train_loss": mean_loss(fitted, train.targets, loss),
                "test_loss": mean_loss(scores, test.targets, loss),
            }
            self._running.history.append(labels | row)

        return solutions(
            *(train.U, train.D, self.run.targets, betas),
            model="gated",
            initial=before,
            max_iterations=self.run.settings.max_iterations,
            callback=callback,
            distributed=share.processes != ALONE,
            keeper=self._running,
            **self.run.settings.terms,
        )

    def _next(self, path: Iterator[Solution], s: int) -> Solved:
        solution = next(path)
        if solution.certificate.stopped == "interrupt":
            raise KeyboardInterrupt  # the job ends: what there is of the solution is not kept
        assert solution.dual is not None  # as the program is gated
        weights, dual = torch.as_tensor(solution.weights), torch.as_tensor(solution.dual)
        dual = self.run.share.gathered(dual, len(self.run.features["labels_train"])).cpu()
        weights = weights.cpu()
        if not all(bool(values.isfinite().all()) for values in (weights, dual)):
            raise NotFiniteError(
                f"seed {self.run.seeds[s]}, beta {solution.beta:g}: expected finite numbers of the "
                f"solver, got NaN or infinities ({solution.certificate.reason}); they are not "
                "kept. Take a larger beta, or a lower rank; if that does not help, it is a fault "
                "of the solver: report it with the config"
            )
        return Solved(replace(solution, weights=weights, dual=dual), self._running.history)
