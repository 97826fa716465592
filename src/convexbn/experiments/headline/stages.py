"""Regularization paths: one run of the convex program, over seeds of gates and over weight decays.

A path is solved from the largest beta to the smallest, each from the solution before it. The
solutions of a run are kept as tensors `weights.{s}.{b}` (r + 1, P, C) and `dual.{s}.{b}` (n, C), s
the index of the seed and b that of beta in descending order. In a tuned run (see `tuning_seeds` of
:class:`convexbn.experiments.headline.run.Settings`) the other seeds have the chosen beta alone,
solved from zero, and every solve has a clock of its own.
"""

import logging
from dataclasses import replace

import numpy as np
import torch

from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.experiments.headline.run import Run
from convexbn.programs.certificates import certify
from convexbn.programs.gated import adjoint
from convexbn.programs.penalties import PENALTIES
from convexbn.progress import progress
from convexbn.solvers import solve_path
from convexbn.training.tuning import best_setting, check_tuning

SPLITS = "train", "validation", "test"

logger = logging.getLogger(__name__)


def solve_run(run: Run) -> tuple[dict, list[dict]]:
    """Solve the paths of all seeds.

    Returns
    -------
    solutions : dict of tensors and arrays
        `weights.{s}.{b}`, `dual.{s}.{b}`; per seed and beta `iterations` and `seconds` (S, B), the
        latter on the path's clock when that beta was solved (NaN where it was not).
    history : list of dict
        One row per seed, beta and snapshot of the solver: seed, beta, rank, iteration, seconds on
        the path's clock, objective, dual_objective, gap, relative_gap, train_accuracy,
        test_accuracy, train_loss, test_loss (the run's loss per sample).

    Raises
    ------
    UncertifiedError
        If a solution misses the tolerance and the run does not allow that.
    ValueError
        If there are tuning seeds, and no validation samples or not so many seeds.
    """
    tuning_seeds, betas = run.settings.tuning_seeds, run.settings.descending
    check_tuning(tuning_seeds, len(run.seeds), len(run.features["labels_validation"]))
    solutions, history = {}, []
    seconds = np.full((len(run.seeds), len(betas)), np.nan)
    iterations = np.zeros(seconds.shape, dtype=np.int64)
    _warm_up(run)
    with progress(total=None, desc="convex solves, snapshots") as bar:
        for s, seed in enumerate(run.seeds):
            if s == tuning_seeds:
                betas = [_best_beta(run, solutions)]
                logger.info("the seeds that do not tune take beta %g", *betas)
            for solution, clock in _solve_seed(run, s, betas, history, bar):
                run.settings.require(solution.certificate, f"seed {seed}, beta {solution.beta:g}")
                b = run.settings.descending.index(solution.beta)
                solutions[f"weights.{s}.{b}"] = solution.weights
                solutions[f"dual.{s}.{b}"] = solution.dual
                seconds[s, b] = clock
                iterations[s, b] = solution.certificate.iterations
    return solutions | {"seconds": seconds, "iterations": iterations}, history


def _best_beta(run: Run, solutions: dict) -> float:
    """Return the beta at which the seeds solved so far do best on the validation samples."""
    rows = []
    for s in range(run.settings.tuning_seeds):
        validation = run.samples("validation", s)
        for b, beta in _solved(run, solutions, s):
            scores = validation.scores(solutions[f"weights.{s}.{b}"].to(run.device))
            known = accuracy(scores, validation.labels)
            rows.append({"beta": beta, "validation_accuracy": known})
    (beta,) = best_setting(rows, ("beta",))
    return beta


def _solved(run: Run, solutions: dict, s: int) -> list[tuple[int, float]]:
    """Return index and value of the betas that the s-th seed was solved for."""
    betas = enumerate(run.settings.descending)
    return [(b, beta) for b, beta in betas if f"weights.{s}.{b}" in solutions]


def _warm_up(run: Run) -> None:
    """Have the libraries start their threads and the device its kernels, outside every clock."""
    train = run.samples("train", 0)
    Y = torch.as_tensor(run.features["Y_train"], device=run.device)
    train.scores(adjoint(train.U[0].float(), train.D[0], Y))


def _solve_seed(run: Run, s: int, betas: list, history: list, bar):
    """Yield the solutions of one path, and its clock; append to the history what was seen."""
    train, test = run.samples("train", s), run.samples("test", s)
    test = replace(test, U=test.U.float())  # the curves need no more
    start, loss = float(run.setup_seconds[s]), run.settings.loss
    elapsed = start

    def callback(snapshot):
        bar.step(f"beta {snapshot.beta:.3g}, relative gap {snapshot.relative_gap:.1e}")
        fitted, scores = snapshot.predictions.cpu(), test.scores(snapshot.weights.float())
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
        history.append(row)

    limits = {"max_iterations": run.settings.max_iterations, "callback": callback}
    Y = run.features["Y_train"]
    for solution in solve_path(train.U, train.D, Y, betas, **limits, **run.settings.terms):
        elapsed += solution.certificate.seconds
        yield replace(solution, weights=solution.weights.cpu(), dual=solution.dual.cpu()), elapsed
        elapsed = start if run.is_tuned else elapsed


def certify_run(run: Run, solutions: dict) -> list[dict]:
    """Have the referee judge every solution of a run, from its weights and its dual variable.

    Returns
    -------
    list of dict
        One certificate per solution, with seed and beta; `seconds` on the path's clock.

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


def _measures(parts, W, loss) -> dict:
    """Return the measures of weights on the samples of all splits."""
    scores = {split: part.scores(W) for split, part in parts.items()}
    labels = {split: part.labels for split, part in parts.items()}
    measures = {f"{split}_accuracy": accuracy(scores[split], labels[split]) for split in SPLITS}
    for split in ("train", "test"):
        measures[f"{split}_loss"] = mean_loss(scores[split], parts[split].targets, loss)
    chosen_by = scores["validation"], labels["validation"]
    return measures | calibration(scores["test"], labels["test"], *chosen_by)
