"""The proximal Newton method, and its projections, against SciPy, finite differences and itself."""

import numpy as np
import pytest
import torch
from formed import formed
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import LOSS_VALUES, ConeProblem, cone_optimum, make_cones
from scipy.optimize import nnls

from convexbn import activation, certify, enumerate_arrangements, solve, solve_path, whiten
from convexbn.programs.instances import make_program
from convexbn.solvers.relu import proximal_newton
from convexbn.solvers.relu.projections import Projections
from convexbn.solvers.relu.proximal_step import Predictions, ProximalStep

LOSSES = tuple(LOSS_VALUES)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def program_of(problem):
    return make_program(*problem.data, model="relu", loss=problem.loss, penalty="group")


def projected(K, z) -> np.ndarray:
    """Return the projection of z on `K s >= 0` by SciPy's non-negative least squares."""
    lam, _ = nnls(K.T, -z)
    return z + K.T @ lam


@pytest.mark.parametrize("rows", ["general", "repeated", "lattice", "impossible"])
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), p=st.integers(1, 6))
def test_projections_are_those_of_scipy(rows, seed, n, p):
    """From nothing, and from the supports of other points; with degenerate cones too."""
    rng = np.random.default_rng(seed)
    U = rng.integers(-1, 2, (n, p)) * 1.0 if rows == "lattice" else rng.standard_normal((n, p))
    U[0] = 1.0  # at least one row that is not zero
    U = np.tile(U, (2, 1)) if rows == "repeated" else U
    D = activation(U, rng.standard_normal((p, 5)))
    D = rng.random(D.shape) < 0.5 if rows == "impossible" else D
    program = make_program(
        U, D, np.ones(len(U)), 1.0, model="relu", loss="squared", penalty="group"
    )
    K, cones, which = formed(program).K.numpy(), Projections(program), torch.arange(10)
    for _ in range(3):
        z = torch.as_tensor(rng.standard_normal((10, p)))
        s = cones(z, which, 0.0)
        # The ridge of the Gram matrices, 1e-13, times their condition.
        close = {"rtol": 0, "atol": 1e-7}
        for b in range(10):
            np.testing.assert_allclose(s[b], projected(K[b % 5], z[b].numpy()), **close)
        multipliers = cones.multipliers()
        assert (multipliers >= 0).all()
        forces = program.forces(multipliers).flatten(0, 1)
        torch.testing.assert_close(z + forces, s, **close)
        torch.testing.assert_close(cones.forces, forces, **close)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), limit=st.floats(0, 3))
def test_projections_within_the_limit_are_bounded_by_it(seed, limit):
    program = program_of(make_cones("relu", seed, n=30, d=4, P=8))
    z = torch.as_tensor(normal(16, 5, seed=seed))
    exact = torch.linalg.vector_norm(Projections(program)(z, torch.arange(16), 0.0), dim=1)
    early = torch.linalg.vector_norm(Projections(program)(z, torch.arange(16), limit), dim=1)
    assert (early >= exact - 1e-9).all()
    torch.testing.assert_close(early > limit, exact > limit)
    torch.testing.assert_close(early[early > limit], exact[exact > limit])


def test_projections_of_some_blocks_leave_the_others():
    program = program_of(make_cones("relu", 3, n=30, d=4, P=8))
    z, cones = torch.as_tensor(normal(16, 5)), Projections(program)
    every = cones(z, torch.arange(16), 0.0)
    before = cones.multipliers()
    some = torch.tensor([9, 2])
    torch.testing.assert_close(
        cones(-z[some], some, 0.0), Projections(program)(-z[some], some, 0.0)
    )
    after = cones.multipliers()
    others = [i for i in range(16) if i not in some]
    torch.testing.assert_close(after.flatten(0, 1)[others], before.flatten(0, 1)[others])
    torch.testing.assert_close(cones(z, torch.arange(16), 0.0), every)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", ["relu", "cnn"])
@pytest.mark.parametrize("P", [6, 40])  # fewer dimensions of faces than samples, and more
def test_newton_step_takes_the_residual_down_as_it_says(model, loss, P):
    """After a tiny part of the step, the residual has shrunk by that part; so has the value."""
    program = program_of(make_cones(model, 4, n=20, d=4, P=P, loss=loss, share=0.01))
    state = proximal_newton.State.at(program, torch.zeros(program.shape, dtype=torch.float64))
    F, sigma, part = torch.as_tensor(0.3 * normal(20, 1, seed=5)), 30.0, 1e-6
    step = ProximalStep(program, state.cones, state.x, sigma, 1.0)
    trial = step.trial(Predictions.of(F))
    assert 0 < len(trial.active) < 2 * P
    move, _ = step.newton(trial)
    after = step.trial(trial.F.moved(part * move))
    # The difference is of second order in the part.
    torch.testing.assert_close(
        after.residual, (1 - part) * trial.residual, rtol=0, atol=1e-9 * float(move.abs().max())
    )
    slope = float((trial.residual * program.loss.hessian(F, program.Y) * move).sum())
    assert slope < 0
    assert after.value - trial.value == pytest.approx(part * slope, rel=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_few_newton_steps_do(loss):
    """13 to 31 at these sizes; a gradient method takes hundreds."""
    problems = [make_cones("relu", seed, n=60, d=8, P=40, loss=loss) for seed in range(3)]
    found = [solve(*p.data, model="relu", loss=loss).certificate for p in problems]
    assert all(certificate.converged for certificate in found)
    assert np.mean([certificate.iterations for certificate in found]) < 40


def test_a_path_is_warm():
    U, D, y, beta = make_cones("relu", 8, n=60, d=6, P=40, share=1.0).data
    betas = beta * 0.5 * 0.8 ** np.arange(8)
    path = [s.certificate for s in solve_path(U, D, y, betas, model="relu")]
    alone = [solve(U, D, y, b, model="relu").certificate for b in betas]
    assert all(certificate.converged for certificate in path)
    assert sum(c.iterations for c in path) < sum(c.iterations for c in alone)


@pytest.mark.parametrize("model", ["relu", "cnn"])
def test_the_optimum_is_a_good_start(model):
    problem = make_cones(model, 9, n=30, d=4, P=20)
    first = solve(*problem.data, model="relu")
    again = solve(*problem.data, model="relu", initial=first.weights).certificate
    assert again.converged
    assert again.iterations <= first.certificate.iterations / 2


def test_where_newtons_method_is_lost_a_shorter_proximal_step_is_not():
    """Squared hinges at a small beta: curvatures at the margin come and go, and steps with them."""
    problem = make_cones(
        "relu", 502575, n=18, d=3, P=26, loss="squared_hinge", share=0.00010682902236560767
    )
    assert solve(*problem.data, model="relu", loss="squared_hinge").certificate.converged


def test_a_hundred_samples_are_certified():
    """9,902 arrangements, each cell the neighbour of others."""
    whitening = whiten(normal(100, 2))
    D = enumerate_arrangements(whitening.U)
    solution = solve(whitening.U, D, normal(100, seed=1), 1.0, model="relu")
    assert solution.certificate.converged
    assert solution.neurons <= 101


def test_multipliers_of_every_block_are_returned():
    """The referee needs the multipliers of zero blocks as much as the others."""
    problem = make_cones("relu", 10, n=40, d=5, P=30, share=0.3)
    solution = solve(*problem.data, model="relu", tol=1e-8)
    assert solution.neurons < 30
    options = {"model": "relu", "tol": 1e-8, "multipliers": solution.multipliers}
    assert certify(*problem.data, solution.weights, **options).converged
    present = np.linalg.norm(solution.weights, axis=1) > 0
    options["multipliers"] = solution.multipliers * present[..., None]
    assert not certify(*problem.data, solution.weights, **options).converged


def small(n, r, seed, share, loss="squared"):
    """Return whitened data, every arrangement, targets, and a share of beta_max."""
    rng = np.random.default_rng([n, r, seed])
    U = whiten(rng.standard_normal((n, r))).U
    D, y = enumerate_arrangements(U), rng.standard_normal(n)
    y = y if loss == "squared" else np.where(y > 0, 1.0, -1.0)
    return U, D, y, share * max(np.linalg.norm(U.T @ (d * y)) for d in D.T)


# Each of them stalled above the tolerance when -L'(F) was rounded as F is.
STALLED = [
    (8, 1, 2, 1e-3),
    (12, 1, 0, 1e-4),
    (12, 1, 2, 1e-5),  # two rows at an angle of 3e-5: the neurons have norms of thousands
    (8, 2, 4, 1e-5),
    (4, 2, 0, 1e-6),
    (6, 2, 0, 1e-6),
    (12, 2, 0, 1e-6),
]


@pytest.mark.parametrize("case", STALLED, ids=str)
def test_small_beta_is_certified(case):
    assert solve(*small(*case), model="relu").certificate.converged


def test_small_beta_has_the_optimum_of_clarabel():
    U, D, y, beta = small(4, 2, 0, 1e-4)
    found = solve(U, D, y, beta, model="relu").certificate
    problem = ConeProblem("relu", U, D, y, beta, U.T)
    optimum = cone_optimum(problem, tol_gap_abs=1e-14, tol_gap_rel=1e-9, tol_feas=1e-10)
    assert found.converged
    assert found.objective == pytest.approx(optimum, rel=2e-6)  # two tolerances


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_small_beta_is_certified_for_labels(loss):
    for share in (1e-3, 1e-5):
        data = small(6, 2, 1, share, loss)
        assert solve(*data, model="relu", loss=loss).certificate.converged


def test_duplicated_and_parallel_rows_at_small_beta():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((5, 3))
    U = np.vstack([X, 2 * X, -X[:2], X * (1 + 1e-9)])
    D = np.unique(activation(U, rng.standard_normal((3, 60))), axis=1)
    found = solve(U, D, rng.standard_normal(len(U)), 1e-4, model="relu").certificate
    assert found.converged


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 3e3, 1e4, 1e12])
def test_units_of_the_design_change_nothing(unit):
    U, D, y, beta = make_cones("relu", 11, n=20, d=3, P=12).data
    expected = solve(U, D, y, beta, model="relu").certificate
    found = solve(unit * U, D, y, unit * beta, model="relu").certificate
    assert found.converged
    assert found.objective == pytest.approx(expected.objective, rel=2e-6)
    assert found.iterations <= expected.iterations + 2  # rounding differs


def test_projections_keep_their_digits_on_near_parallel_normals():
    """Two normals at an angle of 1e-6 leave normal equations few digits, and multipliers of 1e6."""
    U = np.array([[1.0, 0, 0], [1.0, 1e-6, 0], [0, 0, 1.0]])
    program = make_program(
        *(U, np.array([[True], [False], [True]]), np.ones(3), 1.0),
        **{"model": "relu", "loss": "squared", "penalty": "group"},
    )
    cones, z = Projections(program), torch.tensor([[-1.0, 2.0, 3.0], [0.5, 1.0, 2.0]])
    s = cones(z.double(), torch.arange(2), 0.0)
    c = program.activations(s, torch.zeros(2, dtype=torch.long))
    assert float(c.min()) >= -1e-9


def test_a_design_of_zeros_has_zero_weights():
    U, D = np.zeros((4, 2)), np.ones((4, 3), bool)
    solution = solve(U, D, np.array([1.0, -1, 2, 3]), 0.1, model="relu")
    assert solution.certificate.converged
    assert not solution.weights.any()
