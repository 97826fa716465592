"""The gated program against the theorems of duality."""

import instances
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexbn.programs.certificates import certify
from convexbn.programs.design import adjoint
from convexbn.programs.instances import make_program

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one
NAMES = {"model": "gated", "loss": "squared", "penalty": "group"}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def tensors(*arrays):
    return tuple(torch.as_tensor(array) for array in arrays)


def program_of(problem):
    return make_program(*problem.data, **NAMES)


@pytest.mark.parametrize("seed", range(4))
def test_beta_max_is_where_zero_stops_being_optimal(seed):
    problem = instances.make(seed)
    U, D, Y, _ = problem.data
    top = program_of(problem).beta_max()
    assert top == pytest.approx(instances.beta_max(U, D, Y), rel=ROUNDING)
    zero = np.zeros(problem.shape)
    above = certify(U, D, Y, top * (1 + 1e-9), zero, tol=ROUNDING)
    assert above.converged
    assert above.objective == pytest.approx(0.5 * (Y**2).sum(), rel=ROUNDING)
    below = certify(U, D, Y, top * (1 - 1e-3), zero, tol=ROUNDING)
    assert not below.converged
    # And indeed there is something better, along the block that first violates its constraint.
    T = adjoint(*tensors(U, D, Y))
    i, c = np.unravel_index(int(T.norm(dim=0).argmax()), T.shape[1:])
    W = zero.copy()
    W[:, i, c] = 1e-4 * T[:, i, c]
    assert instances.objective(U, D, Y, top * (1 - 1e-3), W) < below.objective


@given(st.integers(0, 10**6), st.floats(1e-3, 2), st.integers(1, 9), st.integers(1, 3))
def test_every_dual_value_is_below_every_objective(seed, share, P, C):
    problem = instances.make(seed, n=12, P=P, C=C, share=share)
    U, D, Y, beta = problem.data
    program = program_of(problem)
    bounds = []
    for scale in (0.01, 1, 100):
        V = torch.as_tensor(scale * normal(12, C, seed=seed) + Y)
        bounds.append(program.dual_objective(V))
    values = [
        instances.objective(U, D, Y, beta, scale * normal(*problem.shape, seed=seed))
        for scale in (0, 0.01, 0.1, 1)
    ]
    assert max(bounds) <= min(values) * (1 + ROUNDING)


@given(st.integers(0, 10**6))
def test_dual_point_is_feasible(seed):
    """The dual value is that of a V that obeys every constraint: checked by its definition."""
    problem = instances.make(seed, n=12)
    U, D, Y, beta = problem.data
    program, V = program_of(problem), normal(12, 2, seed=seed)
    value = program.dual_objective(torch.as_tensor(V))
    best = 0.0
    for c in range(2):
        v = V[:, c]
        limit = beta / max(np.linalg.norm(U.T @ (D[:, i] * v)) for i in range(D.shape[1]))
        scale = np.clip(v @ Y[:, c] / (v @ v), 0, limit)
        best += scale * v @ Y[:, c] - (scale * v) @ (scale * v) / 2
    assert value == pytest.approx(best, rel=ROUNDING, abs=ROUNDING)
