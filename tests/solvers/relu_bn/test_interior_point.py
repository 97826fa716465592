"""The solvers of the exact programs against CVXPY, Clarabel and theorems.

`solve` takes the interior-point method for model "relu_bn" alone; its parts are tested on the
matrices of all models.
"""

import numpy as np
import pytest
import torch
from formed import formed
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from instances import LOSS_VALUES, ConeProblem, cone_optimum, make_cones

from convexbn import activation, certify, enumerate_arrangements, solve, solve_path, whiten
from convexbn.programs.instances import make_program
from convexbn.programs.relu import ReLUProgram
from convexbn.solvers.relu_bn import interior_point
from convexbn.solvers.relu_bn.central_path import Conditions, Point
from convexbn.solvers.relu_bn.newton import NewtonSystem
from convexbn.solvers.relu_bn.second_order_cone import Scaling, divided, product
from convexbn.solvers.snapshots import Stopwatch, ignore
from convexbn.solvers.sparsity import fewest
from convexbn.solvers.stopping import Result

MODELS = ("relu", "cnn", "relu_bn")
LOSSES = tuple(LOSS_VALUES)


def solved(problem, **options):
    return solve(*problem.data, model=problem.model, loss=problem.loss, **options)


def with_matrices(problem):
    """Return the program of a problem as the interior-point method takes it."""
    terms = {"model": problem.model, "loss": problem.loss, "penalty": "group"}
    program = make_program(*problem.data, **terms)
    return formed(program) if isinstance(program, ReLUProgram) else program


def from_inside(program, tol=1e-6):
    """Solve by the interior-point method; return iterations, objective, and gap or violation."""
    start, limits = Result(program.Y.new_zeros(0), {}), {"tol": tol, "max_iterations": 1000}
    result = interior_point.minimize(program, start, **limits, watch=Stopwatch(), callback=ignore)
    objective, dual, violation = program.judge(result.weights, **result.witness)
    return result.iterations, objective, max(1 - dual / objective, violation)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_two_solvers_agree(model, loss):
    problem = make_cones(model, 6, n=30, d=3, P=20, loss=loss)
    _, objective, error = from_inside(with_matrices(problem), tol=1e-8)
    assert error <= 1e-8
    certificate = solved(problem, tol=1e-8).certificate
    assert certificate.converged
    # Both are within a relative 1e-8 of the optimum.
    assert certificate.objective == pytest.approx(objective, rel=2e-8)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", [0, 1])
def test_optimum_is_that_of_another_interior_point_method(model, loss, seed):
    problem = make_cones(model, seed, loss=loss)
    certificate = solved(problem, tol=1e-8).certificate
    assert certificate.converged
    # Both are accurate to about 1e-8.
    assert certificate.objective == pytest.approx(cone_optimum(problem), rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_optimum_is_that_of_a_first_order_method(model):
    problem = make_cones(model, 2)
    value = cone_optimum(problem, solver="SCS", eps=1e-7, max_iters=50_000)
    # SCS's own tolerance is for residuals; the objective is off by some multiples of it.
    assert solved(problem).certificate.objective == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 25),
    d=st.integers(1, 5),
    P=st.integers(1, 30),
    loss=st.sampled_from(LOSSES),
    share=st.floats(0.01, 2),
)
def test_every_program_is_certified(model, seed, n, d, P, loss, share):
    """Feasible to 1e-6, within 1e-6 of the dual bound: whatever the sizes, repeated gates too."""
    assume(model != "relu_bn" or d <= n)
    problem = make_cones(model, seed, n=n, d=d, P=P, loss=loss, share=share)
    solution = solved(problem)
    assert solution.certificate.converged, solution.certificate
    assert solution.certificate.violation <= 1e-6
    # A network with these neurons has this objective: nothing hides in the patterns.
    value = problem.network_objective(solution.weights)
    assert value == pytest.approx(solution.certificate.objective, rel=1e-5)


@pytest.mark.parametrize(("loss", "seed"), [("logistic", 3), ("squared_hinge", 0)])
def test_curved_losses_are_certified_at_small_beta(loss, seed):
    problem = make_cones("relu", seed, n=20, d=3, P=20, loss=loss, share=0.002)
    _, _, error = from_inside(with_matrices(problem))
    assert error <= 1e-6
    assert solved(problem).certificate.converged


def all_patterns(seed, loss, n=9, d=2):
    """Return normal data, all their arrangements and targets, and a beta that is too large."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    y = y if loss == "squared" else np.sign(y)
    D = enumerate_arrangements(X)
    gated = D.T[:, :, None] * X
    pulls = np.einsum("n,pnd->pd", y, gated - gated.mean(1, keepdims=True))
    return X, D, y, float(np.linalg.norm(pulls, axis=1).max())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-6])
def test_small_betas_are_certified_after_relu(loss, share):
    """Multipliers are large there, shares of labels small, and the loss flat."""
    for seed, n, d in [(0, 9, 2), (1, 7, 2), (2, 8, 3), (3, 6, 1)]:
        X, D, y, top = all_patterns(seed, loss, n, d)
        certificate = solve(X, D, y, share * top, model="relu_bn", loss=loss).certificate
        assert certificate.converged, certificate
        assert certificate.iterations <= 60


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_optimum_over_some_patterns_is_that_of_another_method(loss):
    X, D, y, top = all_patterns(4, loss)
    problem = ConeProblem("relu_bn", X, D[:, ::2], y, 0.01 * top, None, loss)
    certificate = solved(problem, tol=1e-8).certificate
    assert certificate.converged
    # Clarabel stops at gaps of 1e-8, of a loss of order 1.
    assert certificate.objective == pytest.approx(cone_optimum(problem), rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_few_iterations_do(model):
    """14 to 22 with predictor and corrector; 25 to 51 without the second-order terms."""
    problems = [make_cones(model, seed, n=20, d=3, P=30) for seed in range(4)]
    assert np.mean([from_inside(with_matrices(problem))[0] for problem in problems]) < 24


@pytest.mark.parametrize("rows", ["repeated", "lattice"])
def test_degenerate_data_are_certified(rows):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((6, 2)) if rows == "repeated" else rng.integers(-1, 2, (18, 2)) * 1.0
    U = whiten(np.tile(X, (3, 1)) if rows == "repeated" else X).U
    D = activation(U, rng.standard_normal((3, 20)))
    problem = ConeProblem("relu", U, D, rng.standard_normal(18), 0.1, None)
    certificate = solved(problem, tol=1e-8).certificate
    assert certificate.converged
    assert certificate.objective == pytest.approx(cone_optimum(problem), rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_beyond_the_largest_sensible_beta_the_solution_is_zero(model):
    problem = make_cones(model, 3, share=10)
    solution = solved(problem)
    assert solution.certificate.converged
    assert solution.neurons == 0
    value = 0.5 * np.sum(problem.y**2)
    assert solution.certificate.objective == pytest.approx(value, rel=1e-14)


def test_one_open_cone_is_soft_thresholding():
    """All samples active, targets inside the cone: the block is (1 - beta / ||y||) U^T y."""
    U = whiten(np.random.default_rng(4).standard_normal((10, 3))).U
    s = np.array([0.1, -0.1, 0.05, 3.0])
    D = activation(U, s[:, None])
    assert D.all()
    solution = solve(U, D, U @ s, 0.5, model="relu", tol=1e-10)
    expected = (1 - 0.5 / np.linalg.norm(s)) * s
    # A gap of 1e-10 leaves predictions within sqrt(2 gap) of the optimal ones.
    np.testing.assert_allclose(solution.weights[0, :, 0], expected, atol=5e-5)
    assert not solution.weights[1].any()
    value = 0.5 * np.linalg.norm(s) - 0.5**2 / 2
    assert solution.certificate.objective == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("share", [0.01, 0.2])
def test_no_more_than_n_plus_one_neurons(model, share):
    """Caratheodory: predictions and cost of a network are n + 1 numbers."""
    problem = make_cones(model, 5, n=8, P=60, share=share)
    solution = solved(problem)
    assert solution.certificate.converged
    assert 0 < solution.neurons <= 9


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 12), P=st.integers(1, 60))
def test_fewer_neurons_make_the_same_predictions(model, seed, n, P):
    problem = make_cones(model, seed, n=n, P=P)
    program = make_program(*problem.data, model=problem.model, loss="squared", penalty="group")
    x = program.blocks(torch.as_tensor(problem.feasible_weights()))
    few = fewest(program, x)
    assert int((few != 0).any(-1).sum()) <= n + 1
    F = program.forward(x)
    # The sums of up to 120 terms, and as many eliminations.
    size = 1e-9 * float(program.normed(x).abs().sum())
    torch.testing.assert_close(program.forward(few), F, rtol=0, atol=size)
    assert program.objective(few, F) == pytest.approx(program.objective(x, F), rel=1e-9)
    assert program.violation(few) <= 1e-12


def test_a_neuron_on_the_boundary_of_cones_is_one_block():
    """Its mirror images in neighbouring cones are the same neuron: three directions, not ten."""
    rng = np.random.default_rng(1)
    U, y = whiten(rng.standard_normal((20, 2))).U, rng.standard_normal(20)
    D = enumerate_arrangements(U)
    W = np.hstack(solve(U, D, y, 0.5, model="relu").weights)
    W = W[:, np.linalg.norm(W, axis=0) > 0]
    units = W / np.linalg.norm(W, axis=0)
    alike = units.T @ units - np.eye(W.shape[1])
    assert alike.max() < 1 - 1e-6
    assert W.shape[1] == 3


def test_cones_cost_something_and_more_patterns_help():
    problem = make_cones("relu", 6, n=15, P=40)
    optimum = solved(problem, tol=1e-8).certificate
    U, D, y, beta = problem.data
    free = solve(U, np.hstack([D, D]), y, beta, tol=1e-8).certificate
    assert free.objective <= optimum.objective + optimum.gap
    fewer = solve(U, D[:, :10], y, beta, model="relu", tol=1e-8).certificate
    assert fewer.objective >= optimum.dual_objective


@pytest.mark.parametrize("power", [-4, 4])
def test_unit_of_the_targets_does_not_matter(power):
    problem = make_cones("relu", 7)
    U, D, y, beta = problem.data
    unit = 10.0**power
    other = solve(U, D, unit * y, unit * beta, model="relu", tol=1e-8).certificate
    expected = unit**2 * solved(problem, tol=1e-8).certificate.objective
    assert other.objective == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("model", MODELS)
def test_a_path_is_its_single_solves(model):
    U, D, y, _ = make_cones(model, 8).data
    name = "relu" if model == "cnn" else model
    path = list(solve_path(U, D, y, [0.1, 0.3], model=name))
    for beta, solution in zip([0.3, 0.1], path, strict=True):
        assert solution.certificate.converged
        alone = solve(U, D, y, beta, model=name).certificate
        assert solution.certificate.objective == pytest.approx(alone.objective, rel=2e-6)


def test_predictions_need_no_patterns():
    problem = make_cones("cnn", 9, share=0.02)
    solution = solved(problem)
    assert all(part.any() for part in solution.weights)
    new = np.random.default_rng(1).standard_normal((len(problem.U), 5, problem.U.shape[2]))
    s, t = solution.weights
    expected = np.maximum(new @ s, 0).sum((0, 2)) - np.maximum(new @ t, 0).sum((0, 2))
    np.testing.assert_allclose(solution.predict(new)[:, 0], expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"recover_network\(solution, X\)"):
        solved(make_cones("relu_bn", 9)).predict(new)
    gated = solve(*problem.data)
    with pytest.raises(ValueError, match="give D = activation"):
        gated.predict(new)


def test_torch_in_torch_out_and_the_same_numbers_twice():
    problem = make_cones("relu", 10)
    U, D, y, beta = problem.data
    first = solved(problem)
    tensors = solve(*(torch.as_tensor(a) for a in (U, D, y)), beta, model="relu")
    assert torch.is_tensor(tensors.weights)
    assert torch.is_tensor(tensors.multipliers)
    np.testing.assert_array_equal(tensors.weights, first.weights)
    judged = certify(U, D, y, beta, first.weights, model="relu", multipliers=first.multipliers)
    assert judged.gap == first.certificate.gap


def test_limits_are_kept_and_named():
    problem = make_cones("relu", 12)
    short = solved(problem, max_iterations=3).certificate
    assert not short.converged
    assert short.iterations == 3
    assert short.stopped == "iterations"
    assert "stopped by iterations after 3" in short.reason
    # No float64 gap is 1e-18.
    exhausted = solved(problem, tol=1e-18).certificate
    assert not exhausted.converged
    assert exhausted.stopped == "precision"
    assert exhausted.relative_gap < 1e-8
    with pytest.raises(ValueError, match="initial weights are for models 'gated' and 'relu'"):
        solved(make_cones("relu_bn", 12), initial=np.zeros((2, 3, 6)))
    with pytest.raises(ValueError, match=r"initial weights must have shape \(2, 3, 6\)"):
        solved(problem, initial=np.zeros((3, 6)))


@pytest.mark.parametrize("model", MODELS)
def test_snapshots_are_those_of_the_iterates(model):
    problem, snapshots = make_cones(model, 13), []
    solution = solved(problem, callback=snapshots.append)
    seen = [snapshot.iteration for snapshot in snapshots]
    assert seen[0] == 0
    assert seen == sorted(set(seen))
    assert seen[-1] == solution.certificate.iterations
    for snapshot in snapshots:
        judged = certify(*problem.data, snapshot.weights, model=problem.model)
        assert judged.objective == pytest.approx(snapshot.objective, rel=1e-12)
        assert snapshot.dual_objective <= solution.certificate.objective
    assert snapshots[-1].relative_gap <= 1e-6


def test_an_impossible_pattern_is_no_trap():
    """A pattern that no gate makes has a cone without interior; other blocks do the work."""
    U, D, y, beta = make_cones("relu", 14, n=20, d=1).data
    D[:, 0] = np.arange(20) % 2 == 0
    certificate = solve(U, D, y, beta, model="relu", tol=1e-5).certificate
    without = solve(U, D[:, 1:], y, beta, model="relu", tol=1e-8).certificate
    assert certificate.objective == pytest.approx(without.objective, rel=1e-4)


def inside(*shape, seed):
    """Points inside second-order cones, some near the boundary."""
    z = torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))
    margin = 10.0 ** torch.linspace(-6, 1, shape[1])[None, :]
    z[..., 0] = torch.linalg.vector_norm(z[..., 1:], dim=-1) + margin
    return z


def test_scaling_is_that_of_nesterov_and_todd():
    sigma, omega = inside(2, 9, 4, seed=0), inside(2, 9, 4, seed=1)
    scaling = Scaling(sigma, omega)
    # Condition numbers of up to 1e6 near the boundary.
    close = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(scaling.shrink(sigma), scaling.stretch(omega), **close)
    torch.testing.assert_close(scaling.shrink(scaling.stretch(sigma)), sigma, **close)
    torch.testing.assert_close(product(sigma, divided(omega, sigma)), omega, **close)


def test_steps_end_where_a_cone_does():
    sigma, omega = inside(2, 9, 4, seed=2), inside(2, 9, 4, seed=3)
    scaling = Scaling(sigma, omega)
    step = torch.as_tensor(np.random.default_rng(4).standard_normal(sigma.shape))
    length = 1 / float(scaling.rate(scaling.shrink(step)))
    end = sigma + length * step
    room = end[..., 0] - torch.linalg.vector_norm(end[..., 1:], dim=-1)
    assert float(room.min()) == pytest.approx(0, abs=1e-8 * length)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_newton_step_solves_the_linearized_conditions(model, loss):
    """After a tiny part of the step, each residual has shrunk by that part."""
    problem = make_cones(model, 15, loss=loss)
    program = with_matrices(problem)
    point = Point.start(program)
    before = Conditions(program, point)
    step = NewtonSystem(before).step(0.5 * before.mu, None)
    part = 1e-6
    after = Conditions(program, point.moved(step, part, program))
    # The difference is of second order in the part.
    for name in ("residual_x", "residual_tau", "missing"):
        expected = (1 - part) * getattr(before, name)
        torch.testing.assert_close(getattr(after, name), expected, rtol=0, atol=1e-9)
    products = after.point.c * after.point.lam
    target = before.point.c * before.point.lam * (1 - part) + part * 0.5 * before.mu
    torch.testing.assert_close(products, target, rtol=0, atol=1e-9 * before.mu)
