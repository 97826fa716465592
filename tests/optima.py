"""Nearly optimal weights of small instances of the gated program, for each loss and penalty."""

import instances
import numpy as np
import torch

from convexbn import solve
from convexbn.programs.instances import make_program

TERMS = [
    (loss, penalty)
    for loss in ("squared", "logistic", "cross_entropy")
    for penalty in ("group", "nuclear")
]


def optimum(seed, loss, penalty, C=3, **settings):
    """Return a program in float64 and its nearly optimal weights."""
    problem = instances.make(seed, C=C, **settings)
    Y = {
        "squared": problem.Y,
        "logistic": np.sign(problem.Y),
        "cross_entropy": np.eye(C)[problem.Y.argmax(axis=1)],
    }[loss]
    data = problem.U, problem.D, Y, problem.beta
    solution = solve(*data, loss=loss, penalty=penalty, tol=1e-10)
    program = make_program(*data, model="gated", loss=loss, penalty=penalty)
    return program, torch.as_tensor(solution.weights).double()


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
