"""Strong duality: networks trained from many random starts against the convex optimum.

The convex program's optimum is the network's as soon as the network has as many neurons as the
program's solution has non-zero blocks (Ergen et al. 2022, Section 2). So no network of any width
may come below it, and from that width on some network attains it. Descent may still miss it: wider
networks have fewer local minima that are not global.
"""

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.theory.problems import make
from convexbn.solvers.sparsity import merged
from convexbn.training.descent import Descent

# Relative norm below which a block is a zero as interior-point methods leave it, and distance of
# directions (here of cosine 1 - 1e-6) up to which two blocks are one neuron; both are far above the
# precision of a solution.
_NOTHING, _ALIKE = 1e-3, 2e-6**0.5

COLUMNS = [
    *("problem", "program", "n", "arrangements", "beta", "optimum", "neurons", "relative_gap"),
    *("width", "trial", "seed", "objective", "relative_excess"),
]


def duality(settings: dict, seed: int, name: str = "") -> pd.DataFrame:
    """Solve one problem and train networks of several widths on it.

    Parameters
    ----------
    settings : dict
        A problem of :mod:`convexbn.experiments.theory.problems`, with `widths`, `descent`,
        `tolerance`.
    seed : int
        The seed of the data; trial i starts from seed `seed + i`.
    name : str
        The name of the problem.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per width and trial.
    """
    problem = make(settings, seed)
    solution = problem.solve(settings["tolerance"]).certified()
    certificate, descent = solution.certificate, Descent(**settings["descent"])
    common = {
        "problem": name,
        "program": settings["program"],
        "n": problem.Y.shape[0],
        "arrangements": problem.arrangements,
        "beta": problem.beta,
        "optimum": certificate.objective,
        "neurons": different_neurons(solution.weights),
        "relative_gap": certificate.relative_gap,
    }
    rows = []
    for width in settings["widths"]:
        reached = problem.train(width, descent, seed).objectives
        trials = {"width": width, "trial": range(len(reached)), "objective": reached}
        rows.append(pd.DataFrame({**common, **trials}))
    table = pd.concat(rows, ignore_index=True)
    table["seed"] = seed + table["trial"]
    table["relative_excess"] = table["objective"] / table["optimum"] - 1
    return table[COLUMNS]


def different_neurons(weights: np.ndarray | torch.Tensor) -> int:
    """Return the number of different neurons in the blocks (2, p, P) of a solution.

    A neuron that is exactly zero on a sample lies on the boundary of two cones, and a solution may
    split it between them: such blocks point the same way and count once.
    """
    blocks = torch.as_tensor(weights).mT  # (2, P, p)
    norms = blocks.norm(dim=-1, keepdim=True)
    blocks = torch.where(norms > _NOTHING * norms.max(), blocks, 0)
    return sum(int(merged(side, _ALIKE).any(dim=1).sum()) for side in blocks)
