"""Filters learned on the validation loss, against a grid of truncations and ridge filters.

All solves have the same solver, tolerance and gates. Validation images choose; test images are
measured beside them and choose nothing.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from convexbn.experiments.learned_filters.choice import chosen
from convexbn.experiments.learned_filters.descent import learn
from convexbn.experiments.learned_filters.grid import grid
from convexbn.experiments.learned_filters.problem import Problem
from convexbn.experiments.learned_filters.settings import GRID, LEARNED, Settings
from convexbn.progress import progress
from convexbn.training.checkpoints import Parts, fingerprint
from convexbn.training.series import run_each
from convexbn.whitening import Whitening

SOLVES = [
    *("method", "seed", "step", "beta", "value", "power", "effective_rank"),
    *("validation_loss", "validation_accuracy", "test_accuracy", "train_accuracy"),
    *("relative_gap", "certified", "at_kink", "seconds", "backward_seconds"),
]
GAINS = ["method", "seed", "direction", "singular_value", "gain"]


def measure(
    features: dict[str, np.ndarray],
    whitening: Whitening,
    settings: Settings,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Solve the grid and learn the filters under the gates of one seed.

    Parameters
    ----------
    features : dict of ndarray
        The features artifact.
    whitening : Whitening
        The whitening of the training images at full rank.
    settings : Settings
    seed : int
        The seed of the gates.
    device : str or torch.device
    parts : Parts, optional
        Where the grid is kept once it is solved.

    Returns
    -------
    solves : DataFrame
        Columns `SOLVES`, one row per solve in the order of its method: `value` is the rank of a
        truncation, the value of a ridge filter or the cutoff of a soft step, `power` that of a
        soft step, `effective_rank` the sum of the gains; `seconds` of the solve with its
        certificate, `backward_seconds` of the gradient.
    gains : DataFrame
        Columns `GAINS`: those of each method's chosen solve
        (:func:`convexbn.experiments.learned_filters.choice.chosen`); singular values are over the
        largest.

    Raises
    ------
    ValueError
        If there are no validation images, or a rank exceeds that of the data.
    """
    if len(features["labels_validation"]) == 0:
        raise ValueError(
            "filters are chosen on validation images, and the data set has none; give it some"
        )
    problem = Problem.of(features, whitening.truncate(settings.rank), settings.gates, seed, device)
    data = features | whitening.tensors()
    work = fingerprint(f"{settings} {seed} {device}", data, __file__) if parts else ""
    rows, gains = _solved(problem, settings, work, parts)
    solves = pd.DataFrame(rows).assign(seed=seed, effective_rank=[f.sum().item() for f in gains])
    solves["step"] = solves.groupby("method").cumcount() + 1
    return solves.reindex(columns=SOLVES), _chosen_gains(problem, solves, gains)


def _solved(
    problem: Problem, settings: Settings, work: str, parts: Parts | None
) -> tuple[list[dict], list[Tensor]]:
    def solves(part: Callable, _: Path | None) -> list[tuple[dict, Tensor]]:
        found = []
        with progress(total=None, desc="solves") as bar:
            for row, gains in part(problem, settings):
                found.append((row, gains))
                bar.step(f"{row['method']}, beta {row['beta']:.3g}")
        return found

    each = {"grid": partial(solves, grid), "learned": partial(solves, learn)}
    found = [pair for part in run_each(each, work, parts).values() for pair in part]
    return [row for row, _ in found], [gains.to(problem.ratios) for _, gains in found]


def _chosen_gains(problem: Problem, solves: pd.DataFrame, gains: list[Tensor]) -> pd.DataFrame:
    tables = [_of_method(problem, part, gains) for part in _by_method(solves)]
    return pd.concat(tables, ignore_index=True)[GAINS]


def _by_method(solves: pd.DataFrame) -> Iterable[pd.DataFrame]:
    return (solves[solves["method"] == method] for method in (*GRID, *LEARNED))


def _of_method(problem: Problem, rows: pd.DataFrame, gains: list[Tensor]) -> pd.DataFrame:
    best = chosen(rows.reset_index(names="place")).reset_index().iloc[0]
    columns = {
        "method": best["method"],
        "seed": best["seed"],
        "direction": np.arange(1, len(problem.ratios) + 1),
        "singular_value": problem.ratios.cpu(),
        "gain": gains[best["place"]].cpu(),
    }
    return pd.DataFrame(columns)
