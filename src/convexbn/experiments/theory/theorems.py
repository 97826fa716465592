"""Theorems as rows of numbers: convex optimum, recovered network, trained networks.

A row solves the convex program of one problem to a certified optimum, recovers the network from the
solution, takes that network back to blocks of the program, and trains networks of the same kind
from many random starts. The theorem says that the recovered network's objective is the optimum,
that the way back keeps it, and that no trained network comes below it.

A closed form needs no solver. Its certificate is the exact program over all arrangements: the
closed form is compared with that program's dual bound, on the whitened data for two layers and on
the whitened activations of the last hidden layer for a deep network.
"""

import copy

import numpy as np
import pandas as pd
import torch

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.experiments.theory import data
from convexbn.experiments.theory.depth import draw_all
from convexbn.experiments.theory.problems import LIMIT, TrainingProblem, make
from convexbn.networks.architectures import DeepBNNetwork
from convexbn.networks.closed_form import closed_form
from convexbn.networks.interface import Network
from convexbn.networks.objectives import network_objective
from convexbn.networks.recovery import network_blocks
from convexbn.networks.two_layer import BNNetwork
from convexbn.programs.certificates import certify
from convexbn.solvers import solve
from convexbn.training.descent import Descent, descend
from convexbn.whitening import whiten

COLUMNS = [
    *("id", "statement", "program", "loss", "penalty", "n", "d", "C", "K", "depth", "P", "beta"),
    *("convex_optimum", "recovered_objective", "relative_difference", "round_trip_difference"),
    *("best_trained", "relative_excess", "relative_gap", "violation", "certified", "seconds"),
]

_STATEMENTS = {
    "relu": "exact ReLU program = BN-ReLU network",
    "gated": "gated program = gated BN network",
    "cnn": "program of the patches = CNN with BN",
    "bn_after_relu": "program of the data = BN after ReLU",
    "closed_form": "closed form = BN-ReLU network",
    "deep": "closed form = deep BN network",
}


def theorems(entries: dict, common: dict, seed: int) -> pd.DataFrame:
    """Return one row per theorem.

    Parameters
    ----------
    entries : dict
        The config's entries by id: problems of :mod:`convexbn.experiments.theory.problems` with a
        `width` of the trained networks, or closed forms (`program: closed_form`) with `n`, `d`,
        `beta`, `width`, and `C` for one-hot targets or `depth` for a deep network.
    common : dict
        `tolerance` of the solver and `descent`.
    seed : int
        The seed of the data; trial i starts from seed `seed + i`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`.
    """
    rows = []
    for name, entry in entries.items():
        is_closed = entry["program"] == "closed_form"
        measure = _closed_form if is_closed else _convex
        row = {**_sizes(name, entry), **measure(entry, common, seed)}
        rows.append(_compared(row))
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _sizes(name: str, entry: dict) -> dict:
    is_deep = entry.get("depth", 2) > 2
    return {
        "id": name,
        "statement": _STATEMENTS["deep" if is_deep else entry["program"]],
        "program": entry["program"],
        "loss": entry.get("loss", "squared"),
        "penalty": entry.get("penalty", "group"),
        "n": entry["n"],
        "d": entry.get("d"),
        "C": entry.get("C", 1),
        "K": 1,
        "depth": entry.get("depth", 2),
        "beta": entry["beta"],
    }


def _compared(row: dict) -> dict:
    """Add the objectives' distances from the convex optimum, relative to it."""
    optimum = row["convex_optimum"]
    differences = {
        "relative_difference": abs(row["recovered_objective"] - optimum) / optimum,
        "relative_excess": (row["best_trained"] - optimum) / optimum,
        "round_trip_difference": abs(row["blocks_objective"] - optimum) / optimum,
    }
    return row | differences


def _convex(entry: dict, common: dict, seed: int) -> dict:
    problem = make(entry, seed)
    solution = problem.solve(common["tolerance"])
    network, certificate = problem.recover(solution), solution.certificate
    trials = problem.train(entry["width"], Descent(**common["descent"]), seed)
    data, loss = (problem.X, problem.Y, problem.beta), problem.terms["loss"]
    recovered = network_objective(network, *data, loss=loss)
    is_cnn = problem.X.ndim == 3
    return {
        "K": len(problem.X) if is_cnn else 1,
        "d": problem.X.shape[-1],
        "P": problem.arrangements,
        "convex_optimum": certificate.objective,
        "recovered_objective": recovered,
        "blocks_objective": _way_back(network, problem),
        "best_trained": trials.objectives.min(),
        "relative_gap": certificate.relative_gap,
        "violation": certificate.violation,
        "certified": certificate.converged,
        "seconds": certificate.seconds,
    }


def _way_back(network: Network, problem: TrainingProblem) -> float:
    """Return the program's objective at the blocks of a network."""
    D, weights = network_blocks(network, problem.X, problem.whitening)
    return certify(problem.U, D, problem.Y, problem.beta, weights, **problem.terms).objective


def _way_back_of_top(top: BNNetwork, A: np.ndarray, Y: np.ndarray, beta: float) -> float:
    """Return the program's objective at the blocks of a two-layer network on A (n, m).

    It is the sum over the outputs: in a closed form each output has neurons of its own, so that it
    is a network by itself.
    """
    whitening = whiten(A)
    total = 0.0
    for c, y in enumerate(Y.reshape(len(A), -1).T):
        alone = copy.deepcopy(top)
        alone.output = torch.nn.Parameter(top.output[:, [c]].detach())
        D, weights = network_blocks(alone, A, whitening)
        total += certify(whitening.U, D, y, beta, weights, model="relu").objective
    return total


def _closed_form(entry: dict, common: dict, seed: int) -> dict:
    n, d, beta, depth = entry["n"], entry["d"], entry["beta"], entry.get("depth", 2)
    descent, C = Descent(**common["descent"]), entry.get("C", 1)
    X, Y = data.one_hot(n, d, C, seed) if "C" in entry else data.regression(n, d, seed)
    starts = draw_all([d, *[entry["width"]] * (depth - 1)], C, n, descent.trials, seed)
    frozen = copy.deepcopy(starts[0]).double()  # any hidden layers would do
    A = frozen.activations(torch.as_tensor(X)).detach().numpy()
    closed = closed_form(A, Y, beta)
    network = DeepBNNetwork(frozen.layers, closed.network)
    return {
        "convex_optimum": closed.objective,
        "recovered_objective": network_objective(network, X, Y, beta),
        "blocks_objective": _way_back_of_top(closed.network, A, Y, beta),
        "best_trained": descend(starts, X, Y, beta, descent).objectives.min(),
        **_bound(A, Y, beta, closed.objective, common["tolerance"]),
    }


def _bound(A: np.ndarray, Y: np.ndarray, beta: float, optimum: float, tol: float) -> dict:
    """Compare a closed form with the dual bounds of the exact programs of its outputs."""
    U = whiten(A).U
    D = enumerate_arrangements(U, limit=LIMIT)
    columns = Y.reshape(len(U), -1).T
    found = [solve(U, D, y, beta, model="relu", tol=tol).certificate for y in columns]
    gap = abs(optimum - sum(certificate.dual_objective for certificate in found)) / optimum
    return {
        "P": D.shape[1],
        "relative_gap": gap,
        "violation": max(certificate.violation for certificate in found),
        "certified": gap <= tol,
        "seconds": sum(certificate.seconds for certificate in found),
    }
