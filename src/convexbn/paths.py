"""Regularization paths: one run of the convex program, over seeds of gates and over weight decays.

A path is solved from the largest beta to the smallest, each from the solution before it. The
solutions of a run are kept as tensors `weights.{s}.{b}` (r + 1, P, C) and `dual.{s}.{b}` (n, C), s
the index of the seed and b that of beta in descending order.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch

from convexbn.artifacts import load_tensors
from convexbn.certificates import certify
from convexbn.evaluation import accuracy
from convexbn.gates import activation
from convexbn.logs import progress
from convexbn.penalties import PENALTIES
from convexbn.program import adjoint, forward
from convexbn.solutions import UncertifiedError
from convexbn.solvers import solve_path
from convexbn.whitening import Whitening, truncated

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a run asks for.

    Attributes
    ----------
    betas : sequence of float
        Weight decays, in the paper's units.
    tolerance : float
        Relative duality gap that each solution must reach.
    loss, penalty : str
        As for :func:`convexbn.solve`.
    max_iterations : int
        Of the solver, per beta.
    allow_uncertified : bool
        Go on with a solution that misses the tolerance, instead of failing.
    """

    betas: tuple
    tolerance: float
    loss: str = "squared"
    penalty: str = "group"
    max_iterations: int = 100_000
    allow_uncertified: bool = False

    @property
    def descending(self) -> list[float]:
        """The betas in the order they are solved in."""
        return sorted(self.betas, reverse=True)

    @property
    def terms(self) -> dict:
        """The terms of the program and its tolerance, as the public functions take them."""
        return {"loss": self.loss, "penalty": self.penalty, "tol": self.tolerance}

    def require(self, certificate, where: str) -> None:
        """Raise UncertifiedError for a missed tolerance, unless the run allows it."""
        if certificate.converged:
            return
        message = (
            f"{where}: relative gap {certificate.relative_gap:.2e} instead of at most "
            f"{self.tolerance:.0e} ({certificate.reason}); raise the tolerance, or "
            "max_iterations if these were too few, or set allow_uncertified: true to have it drawn "
            "with a mark"
        )
        if not self.allow_uncertified:
            raise UncertifiedError(message)
        logger.warning(message)


@dataclass(frozen=True)
class Samples:
    """Whitened samples of one split under one seed's gates, with their labels."""

    U: torch.Tensor  # (m, r + 1)
    D: torch.Tensor  # (m, P), bool
    labels: np.ndarray  # (m,)

    def accuracy(self, W) -> float:
        """Return the accuracy of weights (r + 1, P, C), in their precision."""
        return accuracy(forward(self.U.to(W.dtype), self.D, W).cpu(), self.labels)


@dataclass(frozen=True)
class Run:
    """A run and the data it works on.

    Attributes
    ----------
    settings : Settings
    features : dict of ndarray
        The features artifact.
    whitening : Whitening
        Truncated as the run wants it.
    seeds : list of int
        One path each.
    gates : ndarray, shape (S, r + 1, P)
    setup_seconds : ndarray, shape (S,)
        What it took to come here, SVD and gates: the paths' clocks start there.
    device : str
    """

    settings: Settings
    features: dict
    whitening: Whitening
    seeds: list[int]
    gates: np.ndarray
    setup_seconds: np.ndarray
    device: str = "cpu"

    @classmethod
    def read(cls, features, whitening, gates, entry: dict, device="cpu") -> "Run":
        """Gather a run from the paths of its artifacts and its entry in the config."""
        svd, sampled = load_tensors(whitening), load_tensors(gates)
        names = Settings.__dataclass_fields__.keys() & entry.keys()
        return cls(
            settings=Settings(**{name: entry[name] for name in names}),
            features=load_tensors(features),
            whitening=truncated(svd, entry),
            seeds=sampled["seeds"].tolist(),
            gates=sampled["gates"],
            setup_seconds=svd["seconds"] + sampled["seconds"],
            device=device,
        )

    def samples(self, split: str, s: int) -> Samples:
        """Return one split, "train", "validation" or "test", under the gates of the s-th seed."""
        # The training samples' coordinates are at hand, and orthonormal to the last digit.
        is_train = split == "train"
        new = None if is_train else self.features[f"X_{split}"]
        U = torch.as_tensor(
            self.whitening.U if is_train else self.whitening.transform(new), device=self.device
        )
        D = activation(U, torch.as_tensor(self.gates[s], device=self.device))
        return Samples(U, D, self.features[f"labels_{split}"])


def solve_run(run: Run) -> tuple[dict, list[dict]]:
    """Solve the paths of all seeds.

    Returns
    -------
    solutions : dict of tensors and arrays
        `weights.{s}.{b}`, `dual.{s}.{b}`; per seed and beta `iterations` and `seconds` (S, B), the
        latter on the path's clock when that beta was solved.
    history : list of dict
        One row per seed, beta and look at the gap: seed, beta, rank, iteration, seconds on the
        path's clock, objective, dual_objective, gap, relative_gap, train_accuracy, test_accuracy.

    Raises
    ------
    UncertifiedError
        If a solution misses the tolerance and the run does not allow that.
    """
    solutions, history = {}, []
    seconds = np.repeat(run.setup_seconds[:, None], len(run.settings.betas), axis=1)
    iterations = np.zeros(seconds.shape, dtype=np.int64)
    _warm_up(run)
    with progress(total=None, desc=f"{seconds.size} solves, looks at the gap") as bar:
        for s, seed in enumerate(run.seeds):
            for b, solution in enumerate(_solve_seed(run, s, history, bar)):
                run.settings.require(solution.certificate, f"seed {seed}, beta {solution.beta:g}")
                solutions[f"weights.{s}.{b}"] = solution.weights
                solutions[f"dual.{s}.{b}"] = solution.dual
                seconds[s, b:] += solution.certificate.seconds
                iterations[s, b] = solution.certificate.iterations
    return solutions | {"seconds": seconds, "iterations": iterations}, history


def _warm_up(run: Run) -> None:
    """Have the libraries start their threads and the device its kernels, outside every clock."""
    train = run.samples("train", 0)
    U, Y = train.U.float(), torch.as_tensor(run.features["Y_train"], device=run.device)
    forward(U, train.D, adjoint(U, train.D, Y))


def _solve_seed(run: Run, s: int, history: list, bar):
    """Yield the solutions of one path; append to the history what was seen on the way."""
    train, test = run.samples("train", s), run.samples("test", s)
    test = replace(test, U=test.U.float())  # the curves need no more
    elapsed = float(run.setup_seconds[s])

    def on_look(look):
        bar.step(f"beta {look.beta:.3g}, relative gap {look.relative_gap:.1e}")
        row = {
            "seed": run.seeds[s],
            "beta": look.beta,
            "rank": run.whitening.rank,
            "iteration": look.iteration,
            "seconds": elapsed + look.seconds,
            "objective": look.objective,
            "dual_objective": look.dual_objective,
            "gap": look.gap,
            "relative_gap": look.relative_gap,
            "train_accuracy": accuracy(look.predictions.cpu(), train.labels),
            "test_accuracy": test.accuracy(look.weights.float()),
        }
        history.append(row)

    limits = {"max_iterations": run.settings.max_iterations, "on_look": on_look}
    Y, betas = run.features["Y_train"], run.settings.betas
    for solution in solve_path(train.U, train.D, Y, betas, **limits, **run.settings.terms):
        elapsed += solution.certificate.seconds
        yield replace(solution, weights=solution.weights.cpu(), dual=solution.dual.cpu())


def certify_run(run: Run, solutions: dict) -> list[dict]:
    """Have the referee judge every solution of a run, from its weights and its dual variable.

    Returns
    -------
    list of dict
        One certificate per seed and beta, with both; `seconds` on the path's clock.

    Raises
    ------
    UncertifiedError
        If a solution misses the tolerance and the run does not allow that.
    """
    certificates = []
    for s, seed in enumerate(run.seeds):
        train = run.samples("train", s)
        for b, beta in enumerate(run.settings.descending):
            W, dual = (solutions[f"{name}.{s}.{b}"] for name in ("weights", "dual"))
            Y = run.features["Y_train"]
            certificate = replace(
                certify(train.U, train.D, Y, beta, W, dual=dual, **run.settings.terms),
                seconds=float(solutions["seconds"][s, b]),
                iterations=int(solutions["iterations"][s, b]),
            )
            run.settings.require(certificate, f"seed {seed}, beta {beta:g}, judged by the referee")
            certificates.append({"seed": seed, "beta": beta, **certificate.as_dict()})
    return certificates


def evaluate_run(run: Run, solutions: dict) -> list[dict]:
    """Evaluate every solution of a run.

    Returns
    -------
    list of dict
        One row per seed and beta: seed, beta, rank, energy, train_accuracy, validation_accuracy,
        test_accuracy, neurons.
    """
    rows = []
    for s, seed in enumerate(run.seeds):
        parts = {split: run.samples(split, s) for split in ("train", "validation", "test")}
        for b, beta in enumerate(run.settings.descending):
            W = torch.as_tensor(solutions[f"weights.{s}.{b}"], device=run.device)
            row = {
                "seed": seed,
                "beta": beta,
                "rank": run.whitening.rank,
                "energy": run.whitening.energy,
                "neurons": PENALTIES[run.settings.penalty].neurons(W),
            }
            scores = {f"{split}_accuracy": part.accuracy(W) for split, part in parts.items()}
            rows.append(row | scores)
    return rows
