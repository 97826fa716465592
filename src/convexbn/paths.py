"""Regularization paths: one run of the convex program, over seeds of gates and over weight decays.

A path is solved from the largest beta to the smallest, each from the solution before it. The
solutions of a run are kept as tensors `weights.{s}.{b}` (r + 1, P, C) and `dual.{s}.{b}` (n, C), s
the index of the seed and b that of beta in descending order.
"""

from dataclasses import replace

import numpy as np
import torch

from convexbn.certificates import certify
from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.logs import progress
from convexbn.penalties import PENALTIES
from convexbn.program import adjoint
from convexbn.runs import Run
from convexbn.solvers import solve_path

SPLITS = "train", "validation", "test"


def solve_run(run: Run) -> tuple[dict, list[dict]]:
    """Solve the paths of all seeds.

    Returns
    -------
    solutions : dict of tensors and arrays
        `weights.{s}.{b}`, `dual.{s}.{b}`; per seed and beta `iterations` and `seconds` (S, B), the
        latter on the path's clock when that beta was solved.
    history : list of dict
        One row per seed, beta and look at the gap: seed, beta, rank, iteration, seconds on the
        path's clock, objective, dual_objective, gap, relative_gap, train_accuracy, test_accuracy,
        train_loss, test_loss (the run's loss per sample).

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
    Y = torch.as_tensor(run.features["Y_train"], device=run.device)
    train.scores(adjoint(train.U[0].float(), train.D[0], Y))


def _solve_seed(run: Run, s: int, history: list, bar):
    """Yield the solutions of one path; append to the history what was seen on the way."""
    train, test = run.samples("train", s), run.samples("test", s)
    test = replace(test, U=test.U.float())  # the curves need no more
    elapsed, loss = float(run.setup_seconds[s]), run.settings.loss

    def on_look(look):
        bar.step(f"beta {look.beta:.3g}, relative gap {look.relative_gap:.1e}")
        fitted, scores = look.predictions.cpu(), test.scores(look.weights.float())
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
            "train_accuracy": accuracy(fitted, train.labels),
            "test_accuracy": accuracy(scores, test.labels),
            "train_loss": mean_loss(fitted, train.targets, loss),
            "test_loss": mean_loss(scores, test.targets, loss),
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
        One row per seed and beta: seed, beta, rank, energy, filter, gates, neurons,
        train_accuracy, validation_accuracy, test_accuracy, train_loss, test_loss (the run's loss
        per sample), and test_nll, test_ece, temperature of :func:`convexbn.evaluation.calibration`.
    """
    rows = []
    for s, seed in enumerate(run.seeds):
        parts = {split: run.samples(split, s) for split in SPLITS}
        for b, beta in enumerate(run.settings.descending):
            W = torch.as_tensor(solutions[f"weights.{s}.{b}"], device=run.device)
            row = {
                "seed": seed,
                "beta": beta,
                "rank": run.whitening.rank,
                "energy": run.whitening.energy,
                "filter": run.filter,
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
