"""The function that a network learns of one feature: the global optimum's, and those of descents.

The exact convex program gives a globally optimal network; networks trained from random starts show
which functions a descent finds instead, at which objective.
"""

import numpy as np
import pandas as pd
import torch

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.experiments.theory import data
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
        `n`, `noise`, `beta`, `width`, `points` (of the functions), `descent`, `learning_rates`
        (per optimizer, instead of the descent's), `tolerance`.
    seed : int
        Of the data; trial i starts from seed `seed + i`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; kind is "data", "convex" or an optimizer. The objective is that of the
        whole function.
    """
    X, y = data.curve(settings["n"], settings["noise"], seed)
    reach = 0.2  # beyond the samples, as a share of what they span
    low, high = X.min() - reach * np.ptp(X), X.max() + reach * np.ptp(X)
    grid = np.linspace(low, high, settings["points"])[:, None]
    tables = [_table("data", X, y), _convex(X, y, grid, settings)]
    for optimizer, rate in settings["learning_rates"].items():
        own = {"optimizer": optimizer, "learning_rate": rate}
        tables.append(_trained(X, y, grid, Descent(**settings["descent"] | own), settings, seed))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _table(kind: str, X, values, trial=None, objective=None) -> pd.DataFrame:
    columns = {"kind": kind, "trial": trial, "x": X.ravel(), "y": np.ravel(values)}
    return pd.DataFrame({**columns, "objective": objective})


def _convex(X, y, grid, settings: dict) -> pd.DataFrame:
    whitening = whiten(X)
    D = enumerate_arrangements(whitening.U)
    tol = settings["tolerance"]
    solution = solve(whitening.U, D, y, settings["beta"], model="relu", tol=tol).certified()
    values = solution.predict(whitening.transform(grid))
    return _table("convex", grid, values, objective=solution.certificate.objective)


def _trained(X, y, grid, descent: Descent, settings: dict, seed: int) -> pd.DataFrame:
    n, width = settings["n"], settings["width"]
    seeds = range(seed, seed + descent.trials)
    starts = [BNNetwork(1, width, 1, n, torch.Generator().manual_seed(s)) for s in seeds]
    done = descend(starts, X, y, settings["beta"], descent)
    new, train = torch.as_tensor(grid), torch.as_tensor(X)
    tables = [
        _table(descent.optimizer, grid, net.predict(new, net.statistics(train)), trial, objective)
        for trial, (net, objective) in enumerate(zip(done.networks, done.objectives, strict=True))
    ]
    return pd.concat(tables)
