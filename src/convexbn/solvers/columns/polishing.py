"""Neurons at the optimum of the exact program over the cones of their own patterns."""

import torch
from torch import Tensor

from convexbn.arrangements.gates import active
from convexbn.products import sums_of_groups
from convexbn.programs.relu import ReLUProgram
from convexbn.solvers.columns.sliding import NeuronProblem
from convexbn.solvers.relu import proximal_newton
from convexbn.solvers.snapshots import Stopwatch, ignore
from convexbn.solvers.stopping import Result

_STEPS = 2000  # of Newton's method


def polished(
    problem: NeuronProblem, S: Tensor, signs: Tensor, W: Tensor, tol: float
) -> tuple[Tensor, Tensor]:
    """Return the neurons (m, p) and signs (m,) that are optimal in the cones of some others.

    Parameters
    ----------
    problem : NeuronProblem
    S, signs : Tensor, shapes (k, p) and (k,)
        Neurons to start from.
    W : Tensor, shape (j, p)
        Neurons of any length whose cones are opened besides.
    tol : float
        Relative gap to reach.
    """
    patterns = active(problem.rows, torch.cat([S, W]).T)
    D, cone = patterns.unique(dim=1, return_inverse=True)
    program = ReLUProgram(problem.Y, problem.beta, problem.loss, problem.rows, D)
    start = problem.rows.new_zeros(program.shape)
    for weights, side in zip(start, (1, -1), strict=True):
        mine = (signs == side).nonzero()[:, 0]
        weights.copy_(sums_of_groups(cone[mine], S[mine], weights.shape[1]).T)
    result = proximal_newton.minimize(
        program,
        Result(start, {}),
        tol=tol,
        max_iterations=_STEPS,
        watch=Stopwatch(),
        callback=ignore,
    ).uninterrupted()
    sign, block = result.weights.any(dim=1).nonzero(as_tuple=True)
    return result.weights[sign, :, block], torch.where(sign == 0, 1.0, -1.0).to(start)
