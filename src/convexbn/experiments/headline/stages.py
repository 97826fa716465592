"""Regularization paths: a run of the convex program over seeds of gates and over weight decays.

A path is solved from the largest beta to the smallest, each from the solution before it. The
solutions of a run are kept as tensors `weights.{s}.{b}` (r + 1, P, C) and `dual.{s}.{b}` (n, C), s
the index of the seed and b the index of beta in descending order. In a tuned run (see
`tuning_seeds` of :class:`convexbn.experiments.headline.run.Settings`) the other seeds have only the
chosen beta, solved from zero, and every solve has a clock of its own.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.experiments.headline.run import Run, Samples
from convexbn.programs.certificates import certify
from convexbn.programs.gated import adjoint
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.processes import ALONE
from convexbn.programs.solutions import Solution
from convexbn.progress import progress
from convexbn.solvers import solve_path
from convexbn.training.checkpoints import Checkpoint, fingerprint
from convexbn.training.tuning import best_setting, check_tuning

SPLITS = "train", "validation", "test"

logger = logging.getLogger(__name__)


def solve_run(run: Run, checkpoint: str | Path | None = None) -> tuple[dict, list[dict]]:
    """Solve the paths of all seeds.

    Parameters
    ----------
    run : Run
    checkpoint : str or Path, optional
        A file for the solutions so far, written after a solve if the last writing is half a minute
        ago, and removed at the end. If it exists and is of this run, its solves are not repeated.

    Returns
    -------
    solutions : dict of tensors and arrays
        `weights.{s}.{b}`, `dual.{s}.{b}`; `iterations` and `seconds` per seed and beta (S, B), the
        latter on the path's clock at the end of that solve (NaN where there was none).
    history : list of dict
        One row per seed, beta and snapshot of the solver: seed, beta, rank, iteration, seconds on
        the path's clock, objective, dual_objective, gap, relative_gap, train_accuracy,
        test_accuracy, train_loss, test_loss (the run's loss per sample).

    Raises
    ------
    UncertifiedError
        If a solution misses the tolerance and the run does not allow that.
    ValueError
        If there are tuning seeds, and no validation samples or fewer seeds than these; if the
        checkpoint is not one.
    """
    tuning_seeds, betas = run.settings.tuning_seeds, run.settings.descending
    check_tuning(tuning_seeds, len(run.seeds), len(run.features["labels_validation"]))
    checkpoint = checkpoint if run.share.is_first else None
    store = Checkpoint(checkpoint, "" if checkpoint is None else _fingerprint(run))
    empty: dict[str, Any] = {"solutions": {}, "history": [], "seconds": {}, "iterations": {}}
    done: dict[str, Any] = run.share.from_first(store.load()) or empty
    solutions: dict[str, Any] = done["solutions"]
    _warm_up(run)
    with progress(total=None, desc="convex solves, snapshots") as bar:
        for s, seed in enumerate(run.seeds):
            if s == tuning_seeds:
                betas = [_best_beta(run, solutions, s)]
                logger.info("the other seeds take beta %g", *betas)
            for solution, clock in _solve_seed(run, s, betas, done, bar):
                run.settings.require(solution.certificate, f"seed {seed}, beta {solution.beta:g}")
                b = run.settings.descending.index(solution.beta)
                solutions[f"weights.{s}.{b}"] = solution.weights
                solutions[f"dual.{s}.{b}"] = solution.dual
                done["seconds"][s, b] = clock
                done["iterations"][s, b] = solution.certificate.iterations
                store.save(lambda: done)
    store.remove()
    seconds = np.full((len(run.seeds), len(run.settings.betas)), np.nan)
    iterations = np.zeros(seconds.shape, dtype=np.int64)
    for place in done["seconds"]:
        seconds[place], iterations[place] = done["seconds"][place], done["iterations"][place]
    return solutions | {"seconds": seconds, "iterations": iterations}, done["history"]


def _fingerprint(run: Run) -> str:
    arrays = {**run.features, "U": run.whitening.U, "gates": run.gates}
    return fingerprint(f"{run.settings} {run.seeds} {run.device}", arrays, __file__)


def _best_beta(run: Run, solutions: dict, tuning_seeds: int) -> float:
    """Return the beta at which the tuning seeds do best on the validation samples."""
    rows = []
    for s in range(tuning_seeds):
        validation = run.samples("validation", s)
        for b, beta in _solved(run, solutions, s):
            scores = validation.scores(solutions[f"weights.{s}.{b}"].to(run.device))
            known = accuracy(scores, validation.labels)
            rows.append({"beta": beta, "validation_accuracy": known})
    chosen = best_setting(rows, ("beta",))
    assert chosen is not None  # as no accuracy of a solution is NaN
    return chosen[0]


def _solved(run: Run, solutions: dict, s: int) -> list[tuple[int, float]]:
    """Return index and value of the betas for which the s-th seed was solved."""
    betas = enumerate(run.settings.descending)
    return [(b, beta) for b, beta in betas if f"weights.{s}.{b}" in solutions]


def _warm_up(run: Run) -> None:
    """Start the libraries' threads and the device's kernels outside of every clock."""
    train = run.samples("train", 0)
    Y = torch.as_tensor(run.targets, device=run.device)
    train.scores(adjoint(train.U[0].float(), train.D[0], Y))


def _solve_seed(run: Run, s: int, betas: list, done: dict, bar) -> Iterator[tuple[Solution, float]]:
    """Yield each solution of a path that is not done yet, with the clock.

    A row per snapshot is appended to the history of what is done.
    """
    before = [(b, beta) for b, beta in _solved(run, done["solutions"], s) if beta in betas]
    betas = betas[len(before) :]
    if not betas:
        return
    train, test = run.samples("train", s), run.samples("test", s)
    test = replace(test, U=test.U.float())  # precise enough for the curves
    start, loss, share = float(run.setup_seconds[s]), run.settings.loss, run.share
    elapsed, initial = start, None
    if before:
        initial = done["solutions"][f"weights.{s}.{before[-1][0]}"].to(run.device)
        elapsed = start if run.is_tuned else done["seconds"][s, before[-1][0]]

    def callback(snapshot):
        fitted = share.gathered(snapshot.predictions, len(train.labels)).cpu()
        if not share.is_first:
            return
        bar.step(f"beta {snapshot.beta:.3g}, relative gap {snapshot.relative_gap:.1e}")
        scores = test.scores(snapshot.weights.float())
        row = {
            "seed": run.seeds[s],
            "beta": snapshot.beta,
            "rank": run.whitening.rank,
            "iteration": snapshot.iteration,
            "seconds": elapsed + snapshot.seconds,
            "objective": snapshot.objective,
            "dual_objective": snapshot.dual_objective,
            "gap": snapshot.gap,
            "relative_gap": snapshot.relative_gap,
            "train_accuracy": accuracy(fitted, train.labels),
            "test_accuracy": accuracy(scores, test.labels),
            "train_loss": mean_loss(fitted, train.targets, loss),
            "test_loss": mean_loss(scores, test.targets, loss),
        }
        done["history"].append(row)

    data = train.U, train.D, run.targets, betas
    terms = {"max_iterations": run.settings.max_iterations, **run.settings.terms}
    terms |= {"initial": initial, "distributed": share.processes != ALONE}
    for solution in solve_path(*data, callback=callback, **terms):
        elapsed += solution.certificate.seconds
        assert solution.dual is not None  # as the program is gated
        dual = share.gathered(torch.as_tensor(solution.dual), len(train.labels)).cpu()
        weights = torch.as_tensor(solution.weights).cpu()
        yield replace(solution, weights=weights, dual=dual), elapsed
        elapsed = start if run.is_tuned else elapsed


def certify_run(run: Run, solutions: dict) -> list[dict]:
    """Return the referee's certificates of a run's solutions, from weights and dual variables.

    Returns
    -------
    list of dict
        One certificate per solution, with seed and beta; `seconds` is on the path's clock.

    Raises
    ------
    UncertifiedError
        If a solution misses the tolerance and the run does not allow that.
    """
    certificates = []
    for s, seed in enumerate(run.seeds):
        train = run.samples("train", s)
        for b, beta in _solved(run, solutions, s):
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
        One row per solution: seed, beta, rank, energy, filter_kind, filter_value, gates, neurons,
        train_accuracy, validation_accuracy, test_accuracy, train_loss, test_loss (the run's loss
        per sample), and test_nll, test_ece, temperature of :func:`convexbn.evaluation.calibration`.
    """
    rows = []
    for s, seed in enumerate(run.seeds):
        parts = {split: run.samples(split, s) for split in SPLITS}
        for b, beta in _solved(run, solutions, s):
            W = torch.as_tensor(solutions[f"weights.{s}.{b}"], device=run.device)
            row = {
                "seed": seed,
                "beta": beta,
                "rank": run.whitening.rank,
                "energy": run.whitening.energy,
                "filter_kind": run.filter_kind,
                "filter_value": run.filter_value,
                "gates": run.gates.shape[2],
                "neurons": PENALTIES[run.settings.penalty].neurons(W),
            }
            rows.append(row | _measures(parts, W, run.settings.loss))
    return rows


def _measures(parts: dict[str, Samples], W: torch.Tensor, loss: str) -> dict[str, float]:
    """Return the measures of weights on the samples of all splits."""
    scores = {split: part.scores(W) for split, part in parts.items()}
    labels = {split: part.labels for split, part in parts.items()}
    measures = {f"{split}_accuracy": accuracy(scores[split], labels[split]) for split in SPLITS}
    for split in ("train", "test"):
        measures[f"{split}_loss"] = mean_loss(scores[split], parts[split].targets, loss)
    chosen_by = scores["validation"], labels["validation"]
    return measures | calibration(scores["test"], labels["test"], *chosen_by)
