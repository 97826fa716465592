"""Regularization paths: a run of the convex program over seeds of gates and over weight decays.

A path is solved from the largest beta to the smallest, each from the solution before it. The
solutions of a run are kept as tensors `weights.{s}.{b}` (r + 1, P, C) and `dual.{s}.{b}` (n, C), s
the index of the seed and b the index of beta in descending order. In a tuned run (see
`tuning_seeds` of :class:`convexbn.experiments.headline.run.Settings`) the other seeds have only the
chosen beta, solved from zero, and every solve has a clock of its own.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.experiments.headline.paths import Paths
from convexbn.experiments.headline.run import Run, Samples
from convexbn.programs.certificates import certify
from convexbn.programs.design import adjoint
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.solutions import UncertifiedError
from convexbn.progress import progress
from convexbn.training.checkpoints import Parts
from convexbn.training.tuning import best_setting, check_tuning

SPLITS = "train", "validation", "test"

logger = logging.getLogger(__name__)


def solve_run(run: Run, parts: Parts | None = None) -> tuple[dict, list[dict]]:
    """Solve the paths of all seeds.

    Parameters
    ----------
    run : Run
    parts : Parts, optional
        Where each solution is kept once it is found: those that are found in it are not solved
        again.

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
        If solutions miss the tolerance and the run does not allow that; all others are solved
        first.
    NotFiniteError
        If a solution has NaN or infinities.
    ValueError
        If there are tuning seeds, and no validation samples or fewer seeds than these; if a file of
        the parts is truncated.
    """
    tuning_seeds, betas = run.settings.tuning_seeds, run.settings.descending
    check_tuning(tuning_seeds, len(run.seeds), len(run.features["labels_validation"]))
    solutions: dict[str, Any] = {}
    history, missed = [], []
    seconds = np.full((len(run.seeds), len(betas)), np.nan)
    iterations = np.zeros(seconds.shape, dtype=np.int64)
    _warm_up(run)
    with progress(total=None, desc="convex solves, snapshots") as bar:
        paths = Paths(run, parts or Parts(), bar)
        for s, seed in enumerate(run.seeds):
            if s == tuning_seeds:
                betas = [_best_beta(run, solutions, s)]
                logger.info("the other seeds take beta %g", *betas)
            clock = float(run.setup_seconds[s])
            for solved in paths.solve(s, betas):
                solution, certificate = solved.solution, solved.solution.certificate
                b = run.settings.descending.index(solution.beta)
                solutions[f"weights.{s}.{b}"] = solution.weights
                solutions[f"dual.{s}.{b}"] = solution.dual
                history += [row | {"seconds": clock + row["seconds"]} for row in solved.history]
                seconds[s, b] = clock + certificate.seconds
                iterations[s, b] = certificate.iterations
                clock = clock if run.is_tuned else seconds[s, b]
                missed += run.settings.missed(certificate, f"seed {seed}, beta {solution.beta:g}")
    if missed:
        raise UncertifiedError("\n".join(missed))
    return solutions | {"seconds": seconds, "iterations": iterations}, history


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


def certify_run(run: Run, solutions: dict) -> list[dict]:
    """Return the referee's certificates of a run's solutions, from weights and dual variables.

    Returns
    -------
    list of dict
        One certificate per solution, with seed and beta; `seconds` is on the path's clock.

    Raises
    ------
    UncertifiedError
        If solutions miss the tolerance and the run does not allow that.
    """
    certificates, missed = [], []
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
            where = f"seed {seed}, beta {beta:g}, judged by the referee"
            missed += run.settings.missed(certificate, where)
            certificates.append({"seed": seed, "beta": beta, **certificate.as_dict()})
    if missed:
        raise UncertifiedError("\n".join(missed))
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
