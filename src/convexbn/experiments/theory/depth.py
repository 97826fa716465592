"""The closed form against trained networks of several depths.

With as many features as samples, or more, the training problem has a closed form, and it is the
same for every depth: the two topmost layers reach it on top of any hidden layers whose centred
activations have rank n - 1 (Ergen et al. 2022, closed-form and deep-network theorems). Weight decay
acts on the last BN layer and the output layer; all layers are trained.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.theory.data import regression
from convexbn.networks.architectures import DeepBNNetwork
from convexbn.networks.closed_form import closed_form
from convexbn.training.descent import Descent, descend

COLUMNS = ["depth", "n", "d", "width", "beta", "optimum", "trial", "seed", "iteration"]
COLUMNS += ["objective", "relative_excess"]


def depths(settings: dict, seed: int) -> pd.DataFrame:
    """Train networks of several depths, all on the same data.

    Parameters
    ----------
    settings : dict
        `n`, `d` (at least n - 1), `width` of every layer, `depths` (2: one hidden layer), `beta`,
        `descent`, `evaluations`.
    seed : int
        The seed of the data; trial i starts from seed `seed + i`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per depth, trial and recorded iteration.
    """
    n, d, width, beta = (settings[name] for name in ("n", "d", "width", "beta"))
    X, y = regression(n, d, seed)
    optimum = closed_form(X, y, beta).objective
    tables = []
    for depth in settings["depths"]:
        widths = [d, *[width] * (depth - 1)]
        networks = draw_all(widths, 1, n, settings["descent"]["trials"], seed)
        tables.append(_history(networks, X, y, settings).assign(depth=depth))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(n=n, d=d, width=width, beta=beta, optimum=optimum)
    table["seed"] = seed + table["trial"]
    table["relative_excess"] = table["objective"] / optimum - 1
    return table[COLUMNS]


def draw_all(widths: Sequence[int], C: int, n: int, trials: int, seed: int) -> list[DeepBNNetwork]:
    """Return random networks with layers of `widths` (d, m_1, ..., m), one seed per trial."""
    seeds = range(seed, seed + trials)
    return [DeepBNNetwork.draw(widths, C, n, torch.Generator().manual_seed(s)) for s in seeds]


def _history(
    networks: list[DeepBNNetwork], X: np.ndarray, y: np.ndarray, settings: dict
) -> pd.DataFrame:
    """Return columns trial, iteration and objective of a descent."""
    descent = Descent(**settings["descent"], evaluations=settings["evaluations"])
    done = descend(networks, X, y, settings["beta"], descent)
    evaluations, trials = done.history.shape
    return pd.DataFrame(
        {
            "trial": np.tile(np.arange(trials), evaluations),
            "iteration": np.repeat(done.iterations, trials),
            "objective": done.history.ravel(),
        }
    )
