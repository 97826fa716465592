"""C4: what the cached canonical form of a parametrized (DPP) program saves.

Canonicalization takes a program and values of its parameters to the data of a cone program. For a
DPP program this is an affine map, which CVXPY compiles once and keeps. Three ways are timed on the
same programs and values, one after another in every repetition:

- "cached": the compiled map is applied;
- "without": CVXPY before DPP (`ignore_dpp`), which works through the expressions each time;
- "fresh": a new program is compiled to its map, which is then applied.

So is a step of learning: values in, solution and gradient out, by a layer that was made once
("cached") or is made anew ("fresh").
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.convex_layers.control import CONTROLS, STATES
from convexbn.experiments.convex_layers.engine import BACKWARD, FORWARD
from convexbn.experiments.convex_layers.programs import logistic_regression

Program: TypeAlias = tuple[Any, list, list]  # a problem of CVXPY, its parameters, its variables
Values: TypeAlias = list[np.ndarray]
# From values of the parameters to the call to time; what it prepares is not on the clock.
Way: TypeAlias = Callable[[Values], Callable[[], object]]

# CVXPY's own ways to work through expressions, and the package that one of them needs besides.
BACKENDS = {"CPP": (), "SCIPY": (), "COO": (), "RUST": ("cvxpy_rust",)}
# The solvers that cvxpylayers knows, and their packages.
SOLVERS = {
    "DIFFCP": ("diffcp",),
    "MOREAU": ("moreau",),
    "CUCLARABEL": ("juliacall", "cupy"),
    "MPAX": ("mpax",),
}
POINTS = 30  # of the logistic regression, in the plane
COLUMNS = [
    *("program", "stage", "backend", "solver", "way", "repetition", "ms", "installed", "cvxpy"),
]


def measure(settings: dict, seed: int) -> pd.DataFrame:
    """Time both programs by every backend and solver that is installed.

    Parameters
    ----------
    settings : dict
        Number of `repeats`, after one of each way outside the clock; `tolerance` of the solves.
    seed : int
        The seed of the parameters' values.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; `stage` is "canonicalization" (of a backend) or "derivative" (of a
        solver). What is not installed has one row, without a time. `cvxpy` is CVXPY's version.
    """
    rng, rows = np.random.default_rng(seed), []
    for program, make in PROGRAMS.items():
        for backend, packages in BACKENDS.items():
            common = {"program": program, "stage": "canonicalization", "backend": backend}
            ways = _canonical_ways(make, backend) if _are_installed(packages) else {}
            rows += _timed(ways, make, settings["repeats"], rng, {**common, "solver": ""})
        for solver, packages in SOLVERS.items():
            common = {"program": program, "stage": "derivative", "backend": "", "solver": solver}
            ways = _layer_ways(make, solver, settings) if _are_installed(packages) else {}
            rows += _timed(ways, make, settings["repeats"], rng, common)
    return pd.DataFrame(rows).assign(cvxpy=version("cvxpy"))[COLUMNS]


def _are_installed(packages: Sequence[str]) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


def _logistic() -> Program:
    problem, X, variables = logistic_regression(np.arange(POINTS) % 2)
    return problem, [X], variables


def _policy() -> Program:
    """Return the paper's policy of one state x, with L, K and q as parameters of their own."""
    import cvxpy as cp

    x, L = cp.Parameter(STATES), cp.Parameter((CONTROLS, CONTROLS))
    K, q = cp.Parameter((STATES, CONTROLS)), cp.Parameter(CONTROLS)
    u, y = cp.Variable(CONTROLS), cp.Variable(STATES)
    objective = cp.Minimize(cp.sum_squares(L @ u) / 2 + x @ y + q @ u)
    return cp.Problem(objective, [cp.norm(u) <= 1, y == K @ u]), [x, L, K, q], [u]


PROGRAMS = {"logistic regression": _logistic, "stochastic control": _policy}


def _timed(
    ways: dict[str, Way], make: Callable[[], Program], repeats: int, rng: Any, common: dict
) -> list[dict]:
    """Return a row for each way and repetition, and one without a time where there is no way."""
    if not ways:
        return [{**common, "way": "", "repetition": 0, "ms": np.nan, "installed": False}]
    shapes, rows = [parameter.shape for parameter in make()[1]], []
    for repetition in range(-1, repeats):  # the first compiles, and does not count
        values = [rng.normal(size=shape) for shape in shapes]
        for way, prepare in ways.items():
            ms = _milliseconds(prepare(values))
            row = {"way": way, "repetition": repetition, "ms": ms, "installed": True}
            rows += [{**common, **row}] if repetition >= 0 else []
    return rows


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def _canonical_ways(make: Callable[[], Program], backend: str) -> dict[str, Way]:
    kept, before = make(), make()

    def way(program: Program, values: Values, **options: bool) -> Callable[[], object]:
        problem, parameters, _ = program
        for parameter, value in zip(parameters, values, strict=True):
            parameter.value = value
        return partial(problem.get_problem_data, "DIFFCP", canon_backend=backend, **options)

    return {
        "cached": lambda values: way(kept, values),
        "without": lambda values: way(before, values, ignore_dpp=True),
        "fresh": lambda values: way(make(), values),
    }


def _layer_ways(make: Callable[[], Program], solver: str, settings: dict) -> dict[str, Way]:
    from cvxpylayers.torch import CvxpyLayer

    is_diffcp = solver == "DIFFCP"
    forward = {**FORWARD, "eps": settings["tolerance"]} if is_diffcp else {}
    backward = BACKWARD if is_diffcp else {}

    def build(program: Program) -> CvxpyLayer:
        return CvxpyLayer(*program, solver=solver, solver_args=forward)

    def step(layer: Callable, values: Values) -> None:
        leaves = [torch.as_tensor(value).requires_grad_() for value in values]
        solution = layer(*leaves, solver_args=backward)
        torch.stack([part.sum() for part in solution]).sum().backward()

    def fresh(values: Values) -> Callable[[], object]:
        program = make()
        return lambda: step(build(program), values)

    kept = build(make())
    return {"cached": lambda values: partial(step, kept, values), "fresh": fresh}
