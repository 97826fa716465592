"""The facets of arrangements' cones against linear programs."""

import numpy as np
import pytest
import torch
from formed import formed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from convexbn import enumerate_arrangements, solve, whiten
from convexbn.arrangements.facets import facets
from convexbn.programs.instances import make_program
from convexbn.solvers.relu_bn import interior_point
from convexbn.solvers.snapshots import Stopwatch, ignore
from convexbn.solvers.stopping import Result


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def needed(K) -> set:
    """Return the rows of `K s >= 0` that the others do not imply, one linear program each."""
    rows = set()
    for i, row in enumerate(K):
        others = np.delete(K, i, axis=0)
        # Least value of row i, in a box, under the other constraints.
        found = linprog(row, A_ub=-others, b_ub=np.zeros(len(others)), bounds=(-1, 1))
        if found.fun < -1e-7:  # HiGHS's tolerance of constraints
            rows.add(i)
    return rows


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), p=st.integers(1, 4))
def test_facets_are_the_constraints_that_are_needed(seed, n, p):
    U = normal(n, p, seed=seed)
    D = enumerate_arrangements(U)
    found = facets(torch.as_tensor(D), min(n, p))
    if p == 1 and n > 1:  # one plane many times: each constraint follows from any other
        assert found is None
        return
    signs = 2 * D - 1
    for i in range(0, D.shape[1], 5):
        assert set(found[i].tolist()) == needed(signs[:, [i]] * U)


def test_there_are_few_of_them():
    """Fewer than 2 (p - 1) on average, whatever n."""
    U = normal(40, 3, seed=1)
    found = facets(torch.as_tensor(enumerate_arrangements(U)), 3)
    different = [len(set(rows)) for rows in found.tolist()]
    assert 3 <= np.mean(different) < 4
    assert found.shape[1] == max(different)


@pytest.mark.parametrize("change", ["one missing", "one twice", "repeated rows"])
def test_facets_are_not_guessed(change):
    U = normal(8, 3, seed=2)
    D = enumerate_arrangements(U)
    if change == "one missing":
        D = D[:, 1:]
    elif change == "one twice":
        D[:, 0] = D[:, 1]
    else:
        D = np.vstack([D, D[:1]])
    assert facets(torch.as_tensor(D), 3) is None


@pytest.mark.parametrize("model", ["relu", "relu_bn", "cnn"])
def test_the_reduced_program_is_the_program(model):
    """It has the same cones, and its multipliers certify the solution with all constraints."""
    X = normal(12, 2, seed=3)
    U = X if model == "relu_bn" else whiten(X).U
    D = enumerate_arrangements(U)
    if model == "cnn":
        U, D = U.reshape(3, 4, -1), D.reshape(3, 4, -1)
    y, name = normal(U.shape[-2], seed=4), model if model == "relu_bn" else "relu"
    program = make_program(U, D, y, 0.1, model=name, loss="squared", penalty="group")
    program = program if model == "relu_bn" else formed(program)
    reduced = program.reduced()
    assert reduced.K.shape[1] < program.K.shape[1] == 12
    x = torch.as_tensor(normal(2, *program.A.shape[::2], seed=5))
    inside = (program.all_activations(x) >= 0).all(-1)
    torch.testing.assert_close((reduced.all_activations(x) >= 0).all(-1), inside)
    lam = torch.as_tensor(np.random.default_rng(6).exponential(size=(2, *reduced.K.shape[:2])))
    forces = program.forces(program.all_multipliers(lam))
    torch.testing.assert_close(forces, reduced.forces(lam))
    solution = solve(U, D, y, 0.1, model=name, tol=1e-8)
    assert solution.certificate.converged
    assert solution.multipliers.shape == (2, *program.K.shape[:2])


def test_many_arrangements_are_certified_by_the_interior_point_method():
    """1,262 arrangements of 36 samples: with all their constraints it takes many times as long."""
    whitening = whiten(normal(36, 2))
    D = enumerate_arrangements(whitening.U)
    assert D.shape == (36, 1262)
    y = normal(36, seed=1)
    terms = {"model": "relu", "loss": "squared", "penalty": "group"}
    program = formed(make_program(whitening.U, D, y, 1.0, **terms))
    start, limits = Result(program.Y.new_zeros(0), {}), {"tol": 1e-6, "max_iterations": 100}
    result = interior_point.minimize(program, start, **limits, watch=Stopwatch(), callback=ignore)
    assert result.stopped == "tolerance"
    objective, dual, violation = program.judge(result.weights, **result.witness)
    assert max(objective - dual, violation * objective) <= 1e-6 * objective
