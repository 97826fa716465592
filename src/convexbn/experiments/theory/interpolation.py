"""Functions of one feature that networks learn: the global optimum and the ends of descents.

The exact convex program gives a globally optimal network; networks trained from random starts show
the functions, and their objectives, that descent finds instead.
"""

import numpy as np
import pandas as pd
import torch

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.experiments.theory import data
from convexbn.inputs import ArrayLike
from convexbn.networks.two_layer import BNNetwork
from convexbn.solvers import solve
from convexbn.training.descent import Descent, descend
from convexbn.whitening import whiten

COLUMNS = ["kind", "trial", "x", "y", "objective"]


def interpolate(settings: dict, seed: int) -> pd.DataFrame:
    """Learn a wave from a few noisy samples, by the convex program and by descents.

    Parameters
    ----------
    settings : dict
        `n`, `noise`, `beta`, `width`, `points` (at which functions are evaluated), `descent`,
        `learning_rates` (by optimizer; they replace the descent's), `tolerance`.
    seed : int
        The seed of the data; trial i starts from seed `seed + i`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; kind is "data", "convex" or an optimizer. The objective belongs to the
        whole function.
    """
    X, y = data.curve(settings["n"], settings["noise"], seed)
    reach = 0.2  # beyond the samples, as a share of their range
    low, high = X.min() - reach * np.ptp(X), X.max() + reach * np.ptp(X)
    grid = np.linspace(low, high, settings["points"])[:, None]
    tables = [_table("data", X, y), _convex(X, y, grid, settings)]
    for optimizer, rate in settings["learning_rates"].items():
        own = {"optimizer": optimizer, "learning_rate": rate}
        tables.append(_trained(X, y, grid, Descent(**settings["descent"] | own), settings, seed))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _table(
    kind: str,
    X: np.ndarray,
    values: ArrayLike,
    trial: int | None = None,
    objective: float | None = None,
) -> pd.DataFrame:
    columns = {"kind": kind, "trial": trial, "x": X.ravel(), "y": np.ravel(values)}
    return pd.DataFrame({**columns, "objective": objective})


def _convex(X: np.ndarray, y: np.ndarray, grid: np.ndarray, settings: dict) -> pd.DataFrame:
    whitening = whiten(X)
    D = enumerate_arrangements(whitening.U)
    tol = settings["tolerance"]
    solution = solve(whitening.U, D, y, settings["beta"], model="relu", tol=tol).certified()
    values = solution.predict(whitening.transform(grid))
    return _table("convex", grid, values, objective=solution.certificate.objective)


def _trained(
    X: np.ndarray, y: np.ndarray, grid: np.ndarray, descent: Descent, settings: dict, seed: int
) -> pd.DataFrame:
    n, width = settings["n"], settings["width"]
    seeds = range(seed, seed + descent.trials)
    starts = [BNNetwork(1, width, 1, n, torch.Generator().manual_seed(s)) for s in seeds]
    done = descend(starts, X, y, settings["beta"], descent)
    tables = [
        _table(descent.optimizer, grid, net.predict(grid), trial, objective)
        for trial, (net, objective) in enumerate(zip(done.networks, done.objectives, strict=True))
    ]
    return pd.concat(tables)
