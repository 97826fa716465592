"""Column generation against sampled gates: the exact ReLU network on real images.

The exact program over P sampled arrangements bounds the network's optimum from above, and comes
down slowly as P grows: a neuron can only be where a gate was drawn. Column generation
(:func:`convexbn.solvers.columns.column_generation.train_exact`) makes the neurons that it needs.
Both are asked for the same network on the same data; the lower objective is the better network, and
a relative excess is taken over the lowest objective that any of them has found.
"""

import logging

import numpy as np
import pandas as pd

from convexbn.arrangements.gates import activation
from convexbn.experiments.benchmark.problems import RaceProblem, build
from convexbn.experiments.benchmark.tables import GENERATED, SAMPLED
from convexbn.programs.certificates import certify
from convexbn.programs.solutions import Solution
from convexbn.solvers import solve
from convexbn.solvers.columns.column_generation import train_exact

logger = logging.getLogger(__name__)

COLUMNS = [
    *("n", "rank", "share", "beta", "method", "gates", "seconds", "neurons", "objective"),
    *("relative_gap", "converged", "last", "relative_excess"),
]


def compare(
    settings: dict,
    features: dict[str, np.ndarray],
    whitening: dict[str, np.ndarray],
    seed: int,
) -> pd.DataFrame:
    """Solve the exact problem both ways, for several weight decays.

    Parameters
    ----------
    settings : dict
        `n`, `rank`, `betas` (shares of the smallest beta with zero weights), `gates`
        (values of P), `tolerance`, and `starts` of the search for neurons. Only the first column of
        the targets is used.
    features, whitening : dict of ndarray
        Artifacts of the data set.
    seed : int
        The seed of gates and starts.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: a row per round of column generation, and one per P. `last` marks the
        rows of finished solves. The `relative_gap` of column generation is there the gap on the
        cones of its neurons, and the conditional gap in the rows before.
    """
    entry = {"model": "relu", "gates": max(settings["gates"]), "outputs": 1}
    entry |= {name: settings[name] for name in ("n", "rank")}
    tables = []
    for share in settings["betas"]:
        problem = build(entry | {"beta": share}, features, whitening, seed)
        rows = [*_generated(problem, settings, seed), *_sampled(problem, settings)]
        table = pd.DataFrame(rows).assign(share=share, beta=problem.beta)
        table["relative_excess"] = table["objective"] / table["objective"].min() - 1
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    return table.assign(n=settings["n"], rank=settings["rank"])[COLUMNS]


def _generated(problem: RaceProblem, settings: dict, seed: int) -> list[dict]:
    """Return a row per round, judged by the referee outside the clock."""
    rows = []

    def judge(snapshot):
        D = activation(problem.U, snapshot.weights.sum(0).numpy())
        data = (problem.U, D, problem.Y, problem.beta, snapshot.weights)
        objective = certify(*data, model="relu").objective
        neurons = int((snapshot.weights.norm(dim=1) > 0).sum())
        rows.append(
            _row(GENERATED, neurons, snapshot.seconds, neurons, objective, snapshot.relative_gap)
        )

    options = {"tol": settings["tolerance"], "starts": settings["starts"], "seed": seed}
    solution = train_exact(problem.U, problem.Y, problem.beta, callback=judge, **options)
    return [*rows, _finished(GENERATED, solution.neurons, solution)]


def _sampled(problem: RaceProblem, settings: dict) -> list[dict]:
    """Return a row per number of gates; these are nested."""
    rows = []
    for P in settings["gates"]:
        D, tol = problem.D[:, :P], settings["tolerance"]
        solution = solve(problem.U, D, problem.Y, problem.beta, model="relu", tol=tol)
        rows.append(_finished(SAMPLED, P, solution))
    return rows


def _finished(method: str, gates: int, solution: Solution) -> dict:
    certificate = solution.certificate
    logger.info("%s, %d gates: %s", method, gates, certificate)
    found = (certificate.seconds, solution.neurons, certificate.objective)
    row = _row(method, gates, *found, certificate.relative_gap)
    return row | {"converged": certificate.converged, "last": True}


def _row(method: str, gates: int, *found: float) -> dict:
    names = ("seconds", "neurons", "objective", "relative_gap")
    row = {"method": method, "gates": gates, **dict(zip(names, found, strict=True))}
    return row | {"converged": False, "last": False}
