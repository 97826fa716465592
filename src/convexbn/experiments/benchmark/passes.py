"""Passes over the design against the limit that the machine's matrix multiply sets, in float32.

A pass costs `2 n (r + 1) P C` operations, like the product of U (n, r + 1) with all blocks
(r + 1, P C). A matrix multiply of exactly this shape, without masks and sums, is the limit.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.programs.design import adjoint, forward

COLUMNS = [
    *("problem", "n", "p", "P", "C", "pass", "passes_per_second", "least", "most"),
    *("gigaflops", "share_of_multiply"),
]
_MULTIPLY = "multiply"


def passes(problems: dict[str, RaceProblem], repeats: int, seconds: float = 1.0) -> pd.DataFrame:
    """Return passes per second over the designs of some problems.

    Parameters
    ----------
    problems : dict
        Problems by name.
    repeats : int
        Number of measurements that median, least and most are taken over.
    seconds : float
        Least duration of each measurement.

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


def _works(problem: RaceProblem) -> dict[str, Callable[[], torch.Tensor]]:
    """Return the timed functions by name."""
    U, D = torch.as_tensor(problem.U).float(), torch.as_tensor(problem.D)
    _, p, P, C = problem.shape
    W, V = torch.randn(p, P, C), torch.as_tensor(problem.Y).float()
    blocks = W.reshape(p, P * C)
    return {
        _MULTIPLY: lambda: U @ blocks,
        "forward": lambda: forward(U, D, W),
        "adjoint": lambda: adjoint(U, D, V),
    }


def _rate(work: Callable[[], object], seconds: float) -> float:
    work()  # warm-up
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        work()
        count += 1
    return count / elapsed


def _spread(rates: list[float]) -> dict:
    return {"passes_per_second": np.median(rates), "least": min(rates), "most": max(rates)}
