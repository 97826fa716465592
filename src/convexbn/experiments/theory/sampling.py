"""Convergence of the optimum over sampled arrangements to the optimum over all of them.

The exact program needs every arrangement; over P sampled ones its optimum is an upper bound that
falls as P grows. The gated program, without the cone constraints, is the exact program of another
network, and is solved on the same arrangements.
"""

import numpy as np
import pandas as pd

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.experiments.theory.data import gates_of, regression
from convexbn.solvers import solve
from convexbn.whitening import whiten

MODELS = ("relu", "gated")
COLUMNS = [
    *("model", "n", "d", "beta", "arrangements", "optimum", "gates", "draw", "seed"),
    *("objective", "relative_excess", "relative_gap"),
]


def sample(settings: dict, seed: int) -> pd.DataFrame:
    """Solve the programs of sampled arrangements, several draws of each number of them.

    Parameters
    ----------
    settings : dict
        `n`, `d`, `beta`, `gates` (values of P; all arrangements are added), `draws`, `tolerance`.
    seed : int
        The seed of the data; draw i has the gates of seed `seed + i`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per model, number of gates and draw.

    Notes
    -----
    The gates of one draw are nested, so that its optimum cannot rise with P.
    """
    X, y = regression(settings["n"], settings["d"], seed)
    U = whiten(X).U
    D = enumerate_arrangements(U)
    tables = [_of_model(model, U, D, y, settings, seed) for model in MODELS]
    table = pd.concat(tables, ignore_index=True)
    sizes = {name: settings[name] for name in ("n", "d", "beta")}
    return table.assign(**sizes, arrangements=D.shape[1])[COLUMNS]


def _of_model(
    model: str, U: np.ndarray, D: np.ndarray, y: np.ndarray, settings: dict, seed: int
) -> pd.DataFrame:
    rows = [_solved(model, U, D, y, settings) | {"draw": 0, "seed": seed}]
    for draw in range(settings["draws"]):
        G = sample_gates(U, max(settings["gates"]), gates_of(seed + draw))
        for P in settings["gates"]:
            solved = _solved(model, U, activation(U, G[:, :P]), y, settings)
            rows.append(solved | {"draw": draw, "seed": seed + draw})
    table = pd.DataFrame(rows).assign(model=model, optimum=rows[0]["objective"])
    table["relative_excess"] = table["objective"] / table["optimum"] - 1
    return table


def _solved(model: str, U: np.ndarray, D: np.ndarray, y: np.ndarray, settings: dict) -> dict:
    solved = solve(U, D, y, settings["beta"], model=model, tol=settings["tolerance"])
    certificate = solved.certified().certificate
    return {
        "gates": np.shape(D)[1],
        "objective": certificate.objective,
        "relative_gap": certificate.relative_gap,
    }
