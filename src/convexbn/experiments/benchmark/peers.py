"""This library and its peers behind one interface.

`SOLVERS[name].prepare(problem, tolerance)` brings a problem into the form that the solver works on
and returns a function that solves it and shows points to a
:class:`convexbn.experiments.benchmark.clocks.Recorder`. Peers are imported only there: none of them
comes with the package. A solver with callbacks shows its iterates; one without them solves again
for each of its tolerances (:mod:`convexbn.experiments.benchmark.repeats`).
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from convexbn.experiments.benchmark import group_lasso
from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.experiments.benchmark.proximal_gradient import fista
from convexbn.experiments.benchmark.repeats import Run, each_output, each_tolerance
from convexbn.inputs import check_choice
from convexbn.solvers import solve

# Tolerances of the solvers without callbacks, from rough to the limit of their precision; each in
# the units of its own stopping rule.
_CLARABEL = (1e-2, 1e-4, 1e-6, 1e-8)
_SCS = (1e-3, 1e-5, 1e-7)
_LAGRANGIAN = (1e-6, 1e-8, 1e-10)  # the first is its default, the next is lost in float32
_FOREVER = 10**9  # iterations: the time limit ends a solve


@dataclass(frozen=True)
class Solver:
    """A contestant.

    Attributes
    ----------
    prepare : callable
        Takes (problem, tolerance) to the function that solves it; only this library uses the
        tolerance.
    module : str
        The module that has to be importable.
    package : str
        The name of the package to install.
    """

    prepare: Callable[[RaceProblem, float], Run]
    module: str
    package: str


def check_installed(names: Iterable[str]) -> None:
    """Refuse solvers that are unknown or not installed.

    Raises
    ------
    ValueError
        If a solver is unknown.
    ModuleNotFoundError
        If a peer is not installed; the message says how to install it.
    """
    for name in names:
        check_choice("solver", name, SOLVERS)
        if find_spec(SOLVERS[name].module) is None:
            raise ModuleNotFoundError(
                f"solver {name!r} is {SOLVERS[name].package}, which is not installed: "
                "pip install --no-deps -r requirements-benchmark.lock, or take the solver out of "
                "the config"
            )


def _ours(problem: RaceProblem, tolerance: float) -> Run:
    data, model = (problem.U, problem.D, problem.Y, problem.beta), problem.model

    def run(recorder):
        def show(snapshot):
            recorder.show(lambda: snapshot.weights.cpu().numpy())

        solution = solve(*data, model=model, tol=tolerance, callback=show)
        witness = {"dual": solution.dual, "multipliers": solution.multipliers}
        witness = {name: value for name, value in witness.items() if value is not None}
        recorder.show(lambda: solution.weights, final=True, **witness)

    return run


def _pyscnn(problem: RaceProblem, tolerance: float) -> Run:
    """Return R-FISTA for the gated program, the augmented Lagrangian for the exact one.

    The steps of pyscnn's `optimize_model`, without its conversion of the data to lists and its
    sorting of patterns. Its objective is ours over n C; U has unit columns, its default.
    """
    import lab
    from scnn.private import interface, models

    interface.set_device("cpu", "float32", 0)
    tensors = (problem.U, problem.Y, problem.D, problem.G)
    U, Y, D, G = (lab.tensor(a.astype(np.float32), dtype=lab.get_dtype()) for a in tensors)
    build = models.ConvexMLP if problem.model == "gated" else partial(models.AL_MLP, delta=1000)
    p, C = U.shape[1], Y.shape[1]

    def solve_to(tolerance, recorder):
        procedure, regularizer = _pyscnn_procedure(problem, tolerance)
        model = build(p, D, G, "einsum", regularizer=regularizer, c=C)

        def show(model, X, y):
            recorder.show(lambda: _pyscnn_weights(model))
            return model

        start, nothing = (lambda model: model), ([], [], [])
        logger = logging.getLogger("scnn")
        done = procedure(logger, model, start, (U, Y), (U, Y), nothing, callback=show)
        recorder.show(lambda: _pyscnn_weights(done[1]), final=True)

    return each_tolerance(solve_to, (0.0,) if problem.model == "gated" else _LAGRANGIAN)


def _pyscnn_procedure(problem: RaceProblem, tolerance: float) -> tuple:
    """Return pyscnn's default solver and regularizer for a problem."""
    from scnn import models, solvers
    from scnn.metrics import Metrics
    from scnn.private import interface
    from scnn.regularizers import NeuronGL1

    n, _, _, C = problem.shape
    regularizer = NeuronGL1(problem.beta / (n * C))
    solver: Any
    if problem.model == "gated":
        gated = models.ConvexGatedReLU(problem.G, C)
        solver = solvers.RFISTA(gated, max_iters=_FOREVER, tol=tolerance)
    else:
        relu = models.ConvexReLU(problem.G, C)
        solver = solvers.AL(relu, _FOREVER, _FOREVER, tol=tolerance, constraint_tol=tolerance)
    procedure = interface.build_optimizer(solver, regularizer, Metrics())
    return procedure, interface.build_internal_regularizer(regularizer)


def _pyscnn_weights(model) -> np.ndarray:
    """Return weights (C, P, p) or (2, 1, P, p) in our order."""
    weights = np.array(model.weights)
    return weights.transpose(2, 1, 0) if weights.ndim == 3 else weights[:, 0].transpose(0, 2, 1)


def _cvxpy(
    problem: RaceProblem,
    _: float,
    solver: str,
    options: Sequence[str],
    tolerances: Sequence[float],
) -> Run:
    """Return an interior-point (Clarabel) or a first-order cone solver (SCS) behind CVXPY.

    The clock runs while its users wait: during compilation and solve.
    """
    fit = _cvxpy_gated(problem) if problem.model == "gated" else _cvxpy_relu(problem)

    def fit_to(y, tolerance):
        settings = dict.fromkeys(options, tolerance)
        return fit(y, lambda program: program.solve(solver=solver, **settings))

    return each_output(problem, fit_to, tolerances)


def _cvxpy_gated(problem: RaceProblem) -> Callable:
    import cvxpy as cp

    A, (_, p, P, _) = problem.design(), problem.shape

    def fit(y, solve):
        W = cp.Variable((p, P))
        loss = 0.5 * cp.sum_squares(A @ cp.vec(W, order="F") - y)
        solve(cp.Problem(cp.Minimize(loss + problem.beta * cp.sum(cp.norm(W, 2, axis=0)))))
        return W.value[..., None], {}

    return fit


def _cvxpy_relu(problem: RaceProblem) -> Callable:
    import cvxpy as cp

    A, U, (_, p, P, _) = problem.design(), problem.U, problem.shape
    signs = np.where(problem.D, 1.0, -1.0)  # (n, P)

    def fit(y, solve):
        s, t = cp.Variable((p, P)), cp.Variable((p, P))
        loss = 0.5 * cp.sum_squares(A @ cp.vec(s - t, order="F") - y)
        norms = cp.sum(cp.norm(s, 2, axis=0)) + cp.sum(cp.norm(t, 2, axis=0))
        inside = [cp.multiply(signs, U @ block) >= 0 for block in (s, t)]
        solve(cp.Problem(cp.Minimize(loss + problem.beta * norms), inside))
        multipliers = np.stack([cone.dual_value.T for cone in inside]).clip(0)
        return np.stack([s.value, t.value]), {"multipliers": multipliers}

    return fit


_CLARABEL_OPTIONS = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
_clarabel = partial(_cvxpy, solver="CLARABEL", options=_CLARABEL_OPTIONS, tolerances=_CLARABEL)
_scs = partial(_cvxpy, solver="SCS", options=("eps_abs", "eps_rel"), tolerances=_SCS)

SOLVERS = {
    "convexbn": Solver(_ours, "convexbn", "convexbn"),
    "fista": Solver(fista, "convexbn", "convexbn"),
    "pyscnn": Solver(_pyscnn, "scnn", "pyscnn"),
    "skglm": Solver(group_lasso.skglm, "skglm", "skglm"),
    "celer": Solver(group_lasso.celer, "celer", "celer"),
    "adelie": Solver(group_lasso.adelie, "adelie", "adelie"),
    "clarabel": Solver(_clarabel, "clarabel", "cvxpy with Clarabel"),
    "scs": Solver(_scs, "scs", "cvxpy with SCS"),
}
