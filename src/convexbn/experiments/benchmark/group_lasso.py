"""Solvers of the group lasso, which the gated program with the group penalty is for each output.

    min_w  1/(2 n) ||A w - y||^2 + beta/n sum_i ||w_i||,      A = [D_1 U, ..., D_P U],

in their units. All of them work in float64 with block coordinate descent, on as few blocks as they
can. Each function takes a problem, and a tolerance that only this library uses, to the function
that solves it.
"""

import numpy as np
import torch

from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.experiments.benchmark.repeats import Run, each_output

# Tolerances from rough to sharp, each in the units of its own stopping rule.
_RELATIVE = (1e-2, 1e-4, 1e-6, 1e-8)
_SQUARED = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)  # adelie's are of squared changes of predictions
_STEPS = 5  # of adelie's path to beta; without one it is slower where many blocks are active
_FOREVER = 10**9  # iterations: the time limit ends a solve


def skglm(problem: RaceProblem, _: float) -> Run:
    """Return working sets with block coordinate descent on the formed design, in float64."""
    from skglm.datafits import QuadraticGroup
    from skglm.penalties import WeightedGroupL2
    from skglm.solvers import GroupBCD
    from skglm.utils.data import grp_converter

    A, (n, p, P, _) = problem.design(), problem.shape
    indices, pointers = grp_converter(p, P * p)
    alpha = problem.beta / n
    datafit = QuadraticGroup(pointers, indices)
    penalty = WeightedGroupL2(alpha, np.ones(P), pointers, indices)

    def fit(y, tolerance):
        solver = GroupBCD(max_iter=_FOREVER, tol=tolerance * alpha)
        weights, *_ = solver.solve(A, y, datafit, penalty, run_checks=False)
        return weights.reshape(P, p).T[..., None], {}

    return each_output(problem, fit, _RELATIVE)


def celer(problem: RaceProblem, _: float) -> Run:
    """Return dual extrapolation with working sets on the formed design, in float64."""
    from celer import GroupLasso

    A, (n, p, P, _) = problem.design(), problem.shape

    def fit(y, tolerance):
        model = GroupLasso(p, problem.beta / n, tol=tolerance, fit_intercept=False)
        weights = model.fit(A, y).coef_
        return weights.reshape(P, p).T[..., None], {}

    return each_output(problem, fit, _RELATIVE)


def adelie(problem: RaceProblem, _: float) -> Run:
    """Return block coordinate descent with screening, in float64, along a path that ends at beta.

    The design is adelie's own matrix of gated ReLU networks, which is not formed.
    """
    import adelie

    (n, p, P, _), beta, threads = problem.shape, problem.beta, torch.get_num_threads()
    U, D = np.asfortranarray(problem.U), np.asfortranarray(problem.D)
    A = adelie.matrix.convex_relu(U, D, gated=True, n_threads=threads)
    program = {"groups": p * np.arange(P), "penalty": np.ones(P), "intercept": False}
    # By default it stops before a beta that explains 90% of the variance.
    settings = {"early_exit": False, "adev_tol": 1.0, "progress_bar": False, "n_threads": threads}

    def fit(y, tolerance):
        largest = np.linalg.norm(U.T @ (D * y[:, None]), axis=0).max()
        path = np.geomspace(max(largest, beta), beta, _STEPS + 1)[1:] / n
        loss = adelie.glm.gaussian(np.ascontiguousarray(y))
        state = adelie.grpnet(A, loss, lmda_path=path, tol=tolerance, **program, **settings)
        return state.betas[-1].toarray().reshape(P, p).T[..., None], {}

    return each_output(problem, fit, _SQUARED)
