"""Column generation against the exact program over all arrangements, and its parts against others.

Random and real problems of rank up to 3, where all arrangements can be listed.
"""

import re

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.datasets import load_digits

from convexbn import activation, certify, enumerate_arrangements, sample_gates, solve, whiten
from convexbn.programs.instances import make_program
from convexbn.programs.losses import LOSSES
from convexbn.solvers.columns import column_generation, generation, sliding, sphere
from convexbn.solvers.columns.column_generation import train_exact

RELU_LOSSES = ("squared", "logistic", "squared_hinge")
SOME = {"starts": 32}  # enough for these sizes


def random_data(seed, n=20, d=2):
    rng = np.random.default_rng(seed)
    return whiten(rng.standard_normal((n, d))).U, rng.standard_normal(n)


def digits_data(seed, n=24, rank=2):
    """Threes against eights on their leading principal directions."""
    images, labels = load_digits(return_X_y=True)
    images, labels = images[np.isin(labels, (3, 8))], labels[np.isin(labels, (3, 8))]
    some = np.random.default_rng(seed).permutation(len(images))[:n]
    return whiten(images[some], rank=rank).U, np.where(labels[some] == 3, 1.0, -1.0)


def targets(y, loss):
    return y if loss == "squared" else np.where(y >= 0, 1.0, -1.0)


def weight_decay(U, y, share):
    """A share of the largest sensible weight decay of the linear network."""
    return float(share * np.linalg.norm(U.T @ y))


def optimum(U, y, beta, loss="squared"):
    D = enumerate_arrangements(U)
    return solve(U, D, y, beta, model="relu", loss=loss).certified().certificate


def assert_optimal(U, y, beta, loss):
    """Both objectives are within 1e-6 of the optimum, relatively."""
    solution = train_exact(U, y, beta, loss=loss, **SOME)
    assert solution.certificate.converged, solution.certificate
    expected = optimum(U, y, beta, loss).objective
    assert solution.certificate.objective == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", RELU_LOSSES)
@pytest.mark.parametrize(("seed", "share"), [(0, 0.05), (1, 0.2), (2, 0.6)])
def test_optimum_is_that_over_all_arrangements(loss, seed, share):
    U, y = random_data(seed)
    y = targets(y, loss)
    assert_optimal(U, y, weight_decay(U, y, share), loss)


@pytest.mark.parametrize("loss", RELU_LOSSES)
@pytest.mark.parametrize(("seed", "rank"), [(0, 2), (1, 3)])
def test_optimum_on_digits_is_that_over_all_arrangements(loss, seed, rank):
    U, y = digits_data(seed, n=24 if rank == 2 else 14, rank=rank)
    assert_optimal(U, y, weight_decay(U, y, 0.1), loss)


def test_convolutional_optimum_is_that_over_all_arrangements():
    rng = np.random.default_rng(3)
    K, n = 3, 5
    rows = whiten(rng.standard_normal((K * n, 2))).U
    U, y = rows.reshape(K, n, -1), rng.standard_normal(n)
    D = enumerate_arrangements(rows).reshape(K, n, -1)
    expected = solve(U, D, y, 0.1, model="relu").certified().certificate
    solution = train_exact(U, y, 0.1, **SOME)
    assert solution.certificate.converged
    assert solution.certificate.objective == pytest.approx(expected.objective, rel=1e-6)
    F = np.maximum(U @ solution.weights[0], 0) - np.maximum(U @ solution.weights[1], 0)
    np.testing.assert_allclose(solution.predict(U)[:, 0], F.sum((0, 2)), atol=1e-12)


@pytest.mark.parametrize("loss", RELU_LOSSES)
def test_certificate_is_that_of_the_referee_and_of_the_network(loss):
    U, y = digits_data(5, n=40, rank=6)
    beta = weight_decay(U, y, 0.1)
    solution = train_exact(U, y, beta, loss=loss, **SOME)
    D = activation(U, solution.weights.sum(0))
    judged = certify(
        *(U, D, y, beta, solution.weights),
        model="relu",
        loss=loss,
        multipliers=solution.multipliers,
    )
    assert judged.gap == pytest.approx(solution.certificate.gap, rel=1e-6, abs=1e-12)
    assert judged.converged
    F = torch.as_tensor(solution.predict(U))
    decay = beta * np.linalg.norm(solution.weights, axis=1).sum()
    network = float(LOSSES[loss].value(F, torch.as_tensor(y)[:, None])) + decay
    assert judged.objective == pytest.approx(network, rel=1e-12)
    assert "not certified" in solution.certificate.reason


def test_sampled_arrangements_are_no_better():
    """A few hundred of the many arrangements of rank 6 bound the optimum from above."""
    U, y = digits_data(6, n=40, rank=6)
    beta = weight_decay(U, y, 0.1)
    solution = train_exact(U, y, beta, **SOME)
    D = activation(U, sample_gates(U, 200, 0))
    sampled = solve(U, D, y, beta, model="relu").certified().certificate
    assert solution.certificate.objective < sampled.dual_objective
    assert solution.neurons <= len(y) + 1


def test_beyond_the_largest_sensible_beta_the_solution_is_zero():
    U, y = random_data(7)
    solution = train_exact(U, y, 2 * weight_decay(U, y, 1), **SOME)
    assert solution.certificate.converged
    assert solution.neurons == 0
    assert solution.certificate.objective == pytest.approx(0.5 * y @ y, rel=1e-14)


def test_snapshots_bound_the_optimum():
    U, y = random_data(8)
    beta, snapshots = weight_decay(U, y, 0.1), []
    solution = train_exact(U, y, beta, callback=snapshots.append, **SOME)
    best = optimum(U, y, beta)
    for snapshot in snapshots:
        # With few samples on a circle the search misses nothing, and its bounds are true bounds.
        assert snapshot.dual_objective <= best.objective * (1 + 1e-9)
        assert snapshot.objective >= best.dual_objective
        judged = certify(
            *(U, activation(U, snapshot.weights.sum(0).numpy()), y, beta, snapshot.weights),
            model="relu",
        )
        assert judged.objective == pytest.approx(snapshot.objective, rel=1e-10)
    assert snapshots[-1].objective == pytest.approx(solution.certificate.objective, rel=1e-12)


def test_torch_in_torch_out_and_the_same_numbers_twice():
    U, y = random_data(9)
    first = train_exact(U, y, 0.3, **SOME)
    again = train_exact(torch.as_tensor(U), torch.as_tensor(y), 0.3, **SOME)
    assert torch.is_tensor(again.weights)
    assert torch.is_tensor(again.multipliers)
    np.testing.assert_array_equal(first.weights, again.weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta": 0}, "beta must be > 0"),
        ({"tol": -1.0}, "tol must be > 0"),
        ({"starts": 0}, "starts must be from 1"),
        ({"loss": "cross_entropy"}, "take loss 'logistic'"),
        ({"tol": 1.0}, "tol must be below 1"),
        ({"y": np.full(20, np.nan)}, "y must be finite"),
        ({"y": ["a"] * 20}, "y must be an array of real numbers"),
        ({"U": np.ones((20, 3)) * 1j}, "U must be an array of real numbers"),
        ({"y": np.ones((20, 2))}, "one output"),
        ({"y": np.ones(19)}, "one row per sample"),
        ({"U": np.ones(20)}, r"U must have shape \(n, r \+ 1\).*got \(20,\) and \(20,\)"),
    ],
)
def test_errors_say_what_is_wrong(change, words):
    U, y = random_data(0)
    with pytest.raises(ValueError, match=words):
        train_exact(**{"U": U, "y": y, "beta": 0.1, **change})


# The parts.


def circle_problem(seed):
    U, y = random_data(seed, n=12, d=1)
    return torch.as_tensor(U), torch.as_tensor(y)[:, None]


@pytest.mark.parametrize("seed", range(5))
def test_search_finds_the_peak_of_the_circle(seed):
    U, v = circle_problem(seed)
    generator = torch.Generator().manual_seed(seed)
    beta = 0.2 * float(torch.linalg.vector_norm(U.T @ v))
    W, signs, heights = sphere.search(U, v, beta, 16, generator, U[:0], 50)
    angles = torch.linspace(0, 2 * torch.pi, 100_001, dtype=torch.float64)
    around = sphere.values(U, v, torch.stack([angles.cos(), angles.sin()], dim=1))
    # On the grid a peak at a kink is missed by 1e-4 at most; what is found must not be less.
    peak = float(around.abs().max())
    assert peak * (1 - 1e-6) <= float(heights[0]) <= peak * (1 + 1e-3)
    torch.testing.assert_close(heights, signs * sphere.values(U, v, W))
    torch.testing.assert_close(torch.linalg.vector_norm(W, dim=1), torch.ones(len(W)).double())


def test_projections_are_those_of_non_negative_least_squares():
    U, y = random_data(11, n=15, d=3)
    D = activation(U, np.random.default_rng(0).standard_normal((U.shape[1], 8)))
    terms = {"model": "relu", "loss": "squared", "penalty": "group"}
    program = make_program(U, D, y, 0.1, **terms)
    multipliers = column_generation._best_multipliers(program, program.Y)
    assert float(multipliers.min()) >= 0
    norms = program.dual_norms(program.Y, multipliers)
    for sign in range(2):
        for i, signs in enumerate(program.signs):
            z = program.adjoint(program.Y)[sign, i]
            _, distance = nnls((signs[:, None] * program.rows).T.numpy(), -z.numpy())
            # Rounding, of norms of order 1.
            assert float(norms[sign, i]) ** 2 == pytest.approx(distance**2, abs=1e-9)


def test_outer_products_in_chunks_are_weighted_gram_matrices(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(11, 3, generator=generator, dtype=torch.float64)
    weights = torch.randn(11, 4, generator=generator, dtype=torch.float64)
    expected = torch.einsum("hj,ha,hb->jab", weights, rows, rows)
    torch.testing.assert_close(sphere.grams(rows, weights), expected)
    monkeypatch.setattr(sphere, "_OUTER", 8 * 9 * 2)
    torch.testing.assert_close(sphere.grams(rows, weights), expected)


def neurons(seed, loss, n, m=4, patches=1):
    U, y = random_data(seed, n=n * patches)
    Y = torch.as_tensor(targets(y[:n], loss))[:, None]
    problem = sliding.NeuronProblem(torch.as_tensor(U), Y, 0.1, LOSSES[loss])
    S = torch.randn(m, U.shape[1], generator=torch.Generator().manual_seed(seed)).double()
    signs = torch.tensor([1.0, -1.0] * (m // 2), dtype=torch.float64)
    return problem, S, signs


@pytest.mark.parametrize("loss", RELU_LOSSES)
@pytest.mark.parametrize("patches", [1, 2])
def test_newton_step_of_a_smooth_place_is_that_of_autograd(loss, patches):
    """Few samples, all wanting less: no curvature is left out, and rounding is wide."""
    problem, S, signs = neurons(2, loss, n=9, m=2, patches=patches)
    rounded = sliding._Rounded(problem, signs, 0.7)

    def value(S):
        soft = sphere.soft_relu(problem.rows @ S.T, 0.7)[0] @ signs[:, None]
        F = soft.view(patches, -1, 1).sum(0)
        return problem.loss.value(F, problem.Y) + 0.1 * rounded.norms(S).sum()

    assert float(value(S)) == pytest.approx(rounded.value(S), rel=1e-12)
    step, fall = rounded.newton(S)
    gradient = torch.func.grad(value)(S)
    assert fall == pytest.approx(-float((gradient * step).sum()), rel=1e-9)
    # The matrix is the Hessian plus what was left out, which is positive semidefinite.
    hessian = torch.func.hessian(value)(S).reshape(S.numel(), -1)
    bending = float(step.flatten() @ hessian @ step.flatten())
    assert bending <= fall * (1 + 1e-6)
    assert fall > 0


@pytest.mark.parametrize("n", [5, 40])
def test_newton_system_is_solved_by_either_identity(n):
    generator = torch.Generator().manual_seed(0)
    m, p = 4, 3
    root = torch.randn(m, p, p, generator=generator, dtype=torch.float64)
    blocks = root @ root.mT + 0.1 * torch.eye(p, dtype=torch.float64)
    J = torch.randn(n, m * p, generator=generator, dtype=torch.float64)
    right = torch.randn(m, p, generator=generator, dtype=torch.float64)
    matrix = torch.block_diag(*blocks) + J.T @ J
    expected = torch.linalg.solve(matrix, right.flatten()).view(m, p)
    torch.testing.assert_close(sliding._solved(blocks, J, right), expected)


@pytest.mark.parametrize("loss", RELU_LOSSES)
def test_sliding_ends_where_no_neuron_wants_to_move(loss):
    """At a small rounding, `U^T (share of v) = beta s / ||s||` for each neuron that is left."""
    problem, S, signs = neurons(4, loss, n=30)
    before = problem.objective(S, signs)
    for softness in (1e-1, 1e-2, 1e-3, 1e-4):
        S = sliding.slide(problem, S, signs, softness)
    assert problem.objective(S, signs) < before
    rounded = sliding._Rounded(problem, signs, 1e-4 * sliding.typical(problem, S))
    _, fall = rounded.newton(S)
    assert fall <= 1e-6 * before


@pytest.mark.parametrize("loss", RELU_LOSSES)
def test_lengths_are_those_of_the_lasso(loss):
    """Non-negative, the gradient at most beta, and beta where a length is not zero."""
    problem, S, signs = neurons(6, loss, n=30, m=10)
    W = S / torch.linalg.vector_norm(S, dim=1, keepdim=True)
    c = sliding.shrink(problem, W, signs, torch.zeros(len(W)).double())
    assert float(c.min()) >= 0
    assert (c > 0).any()
    slopes = (problem.features(W) * signs).T @ problem.residual(c[:, None] * W, signs)
    # FISTA stops when a step is 1e-7 of the lengths.
    assert float(slopes.max()) <= 0.1 + 1e-4
    torch.testing.assert_close(slopes[c > 0, 0], torch.full_like(c[c > 0], 0.1), atol=1e-4, rtol=0)


def test_soft_relu_is_one_with_its_derivatives():
    z = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    soft, slope, bend = sphere.soft_relu(z, 0.3)
    (first,) = torch.autograd.grad(soft.sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    torch.testing.assert_close(slope, first)
    torch.testing.assert_close(bend, second)
    # sqrt(z^2 + s^2) is |z| and at most s more.
    above = (soft - z.relu()).detach()
    assert 0 < float(above.min()) <= float(above.max()) <= 0.15 + 1e-12


def test_what_is_stopped_early_says_how_far_it_is(monkeypatch):
    """After two rounds: not converged, and the violation is that of a fine grid on the circle."""
    monkeypatch.setattr(generation, "_POLISHINGS", 0)
    U, y = random_data(12, n=12, d=1)
    beta = weight_decay(U, y, 0.1)
    with pytest.warns(UserWarning, match=r"raise max_iterations \(now 2\)"):
        solution = train_exact(U, y, beta, max_iterations=2, **SOME)
    assert not solution.certificate.converged
    assert solution.certificate.stopped == "iterations"
    angles = np.linspace(0, 2 * np.pi, 100_001)
    around = np.maximum(U @ [np.cos(angles), np.sin(angles)], 0)
    residual = y - solution.predict(U)[:, 0]
    violation = np.abs(residual @ around).max() / beta - 1
    said = float(re.search(r"by at most (\S+) of beta", solution.certificate.reason)[1])
    assert violation > 1e-3
    # Two digits are said, and the grid misses a kink by 1e-4 at most.
    assert said == pytest.approx(violation, rel=0.06, abs=1e-3)


def test_on_a_design_of_zeros_no_neuron_does_anything():
    y = np.arange(5.0)
    solution = train_exact(np.zeros((5, 3)), y, 0.1)
    assert solution.certificate.converged
    assert solution.certificate.objective == (y**2).sum() / 2
    assert not solution.weights.any()


@pytest.mark.parametrize(
    "given_as",
    [
        lambda U: U[::-1].copy()[::-1],
        lambda U: U.astype(">f8"),
        lambda U: U.astype(object),
        lambda U: torch.tensor(U, requires_grad=True),
    ],
)
def test_designs_of_any_kind_are_taken(given_as):
    rng = np.random.default_rng(0)
    U, y = whiten(rng.standard_normal((12, 2))).U, rng.standard_normal(12)
    expected = train_exact(U, y, 0.3, starts=16).certificate.objective
    found = train_exact(given_as(U), y, 0.3, starts=16).certificate
    assert found.objective == pytest.approx(expected, rel=1e-12)


def test_a_design_of_zeros_has_no_neurons():
    solution = train_exact(np.zeros((4, 2)), np.array([1.0, -1, 2, 3]), 0.1)
    assert solution.certificate.converged
    assert not solution.weights.any()


@pytest.mark.parametrize(("n", "r", "share"), [(12, 1, 1e-3), (8, 2, 1e-4)])
def test_small_betas_end_on_the_cones_of_the_neurons(n, r, share):
    """The rounded ReLU is too coarse for them: sliding alone ends at gaps of 5e-6 to 5e-4."""
    rng = np.random.default_rng(n)
    U, y = whiten(rng.standard_normal((n, r))).U, rng.standard_normal(n)
    D = enumerate_arrangements(U)
    beta = share * max(np.linalg.norm(U.T @ (d * y)) for d in D.T)
    found = train_exact(U, y, beta, starts=64)
    assert found.certificate.converged, found.certificate
    optimum = solve(U, D, y, beta, model="relu").certificate
    assert found.certificate.objective <= optimum.objective * (1 + 1e-6)
    assert found.certificate.objective >= optimum.dual_objective


@pytest.mark.parametrize(
    ("design", "unit"), [(1, 2.0**-1000), (1, 2.0**1000), (2.0**-532, 1), (2.0**532, 2.0**-200)]
)
def test_units_make_no_difference(design, unit):
    U, y = random_data(3, n=12)
    plain = train_exact(U, y, 0.1, **SOME).certified()
    seen = []
    solution = train_exact(
        U * design, y * unit, 0.1 * design * unit, callback=seen.append, **SOME
    ).certified()
    assert solution.certificate.relative_gap == plain.certificate.relative_gap
    np.testing.assert_array_equal(solution.weights * design / unit, plain.weights)
    np.testing.assert_array_equal(seen[-1].weights, solution.weights)
    assert seen[-1].beta == solution.beta == 0.1 * design * unit


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_labels_have_no_unit_and_designs_have(loss):
    U, y = random_data(3, n=12)
    plain = train_exact(U, np.sign(y), 0.1, loss=loss, **SOME).certified()
    large = train_exact(2.0**100 * U, np.sign(y), 0.1 * 2.0**100, loss=loss, **SOME).certified()
    assert large.certificate.objective == plain.certificate.objective
    np.testing.assert_array_equal(large.weights * 2.0**100, plain.weights)
    assert large.neurons == plain.neurons


@pytest.mark.parametrize("seed", [None, 0.5, "0", 2**70])
def test_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed must be"):
        train_exact(*random_data(0), 0.1, seed=seed)
