"""Passes over the design against what the machine's matrix multiply allows, in float32.

A pass costs `2 n (r + 1) P C` operations: those of the product of U (n, r + 1) with all blocks
(r + 1, P C). A matrix multiply of exactly this shape, which neither masks nor sums, is the limit.
"""

import time

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.programs.gated import adjoint, forward

COLUMNS = [
    *("problem", "n", "p", "P", "C", "pass", "passes_per_second", "least", "most"),
    *("gigaflops", "share_of_multiply"),
]
_MULTIPLY = "multiply"


def passes(problems: dict, repeats: int, seconds=1.0) -> pd.DataFrame:
    """Return passes per second over the designs of some problems.

    Parameters
    ----------
    problems : dict
        Name to :class:`convexbn.experiments.benchmark.problems.RaceProblem`.
    repeats : int
        Median, least and most are over so many measurements.
    seconds : float
        How long each measurement takes at least.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; `pass` is "forward", "adjoint", or "multiply" for the limit.
    """
    rows = []
    for name, problem in problems.items():
        sizes = dict(zip("npPC", problem.shape, strict=True))
        for kind, work in _works(problem).items():
            rates = [_rate(work, seconds) for _ in range(repeats)]
            rows.append({"problem": name, **sizes, "pass": kind, **_spread(rates)})
    table = pd.DataFrame(rows)
    flops = 2 * table[["n", "p", "P", "C"]].prod(axis=1)
    table["gigaflops"] = table["passes_per_second"] * flops / 1e9
    limit = table["passes_per_second"].where(table["pass"] == _MULTIPLY)
    limit = limit.groupby(table["problem"]).transform("max")
    return table.assign(share_of_multiply=table["passes_per_second"] / limit)[COLUMNS]


def _works(problem: RaceProblem) -> dict:
    """Return what is timed, by name."""
    U, D = torch.as_tensor(problem.U).float(), torch.as_tensor(problem.D)
    _, p, P, C = problem.shape
    W, V = torch.randn(p, P, C), torch.as_tensor(problem.Y).float()
    blocks = W.reshape(p, P * C)
    return {
        _MULTIPLY: lambda: U @ blocks,
        "forward": lambda: forward(U, D, W),
        "adjoint": lambda: adjoint(U, D, V),
    }


def _rate(work, seconds) -> float:
    work()  # warm-up
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        work()
        count += 1
    return count / elapsed


def _spread(rates) -> dict:
    return {"passes_per_second": np.median(rates), "least": min(rates), "most": max(rates)}
