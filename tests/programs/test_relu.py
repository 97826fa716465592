"""The exact programs: the paper's formulas, weak duality, and a referee that is not fooled."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from formed import formed
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import make_cones

from convexbn import activation, certify, enumerate_arrangements, solve, whiten
from convexbn.programs.instances import make_program
from convexbn.programs.relu import ReLUProgram

SCALAR_LOSSES = ("squared", "logistic", "squared_hinge")
# Sums of a few hundred products in another order.
ROUNDING = 1e-12


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("model", ["relu", "cnn", "relu_bn"])
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_inside_its_cone_a_block_is_a_relu_neuron(model, seed):
    """The objective of feasible weights is that of the network, written without any pattern."""
    problem = make_cones(model, seed)
    W = problem.feasible_weights()
    certificate = certify(*problem.data, W, model=problem.model)
    assert certificate.violation <= ROUNDING
    assert certificate.objective == pytest.approx(problem.network_objective(W), rel=1e-10)


@pytest.mark.parametrize("loss", SCALAR_LOSSES)
@pytest.mark.parametrize("model", ["relu", "cnn", "relu_bn"])
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 3))
def test_every_dual_value_is_below_every_feasible_objective(model, loss, seed, share):
    """Weak duality, at weights and multipliers that have nothing to do with each other."""
    problem = make_cones(model, seed, loss=loss, share=share)
    program = make_program(*problem.data, model=problem.model, loss=loss, penalty="group")
    rng = np.random.default_rng(seed)
    multipliers = torch.as_tensor(rng.exponential(size=(2, program.shape[2], program.constraints)))
    V = torch.as_tensor(np.abs(rng.standard_normal(problem.y.shape)))[:, None]
    V = V if loss == "squared" else torch.as_tensor(problem.y)[:, None] * V.clamp_max(1)
    norms = program.dual_norms(V, multipliers).max()
    scale = min(1.0, problem.beta / float(norms)) * (1 - 1e-12)
    dual = float(program.loss.dual_value(scale * V, program.Y))
    W = rng.choice([0.01, 1]) * problem.feasible_weights()
    # Rounding of a sum of n terms of order 1.
    assert dual <= problem.network_objective(W) + 1e-10


def matrices(program):
    """Return the program with its designs and constraints formed."""
    return formed(program) if isinstance(program, ReLUProgram) else program


@pytest.mark.parametrize("model", ["relu", "cnn"])
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), origin=st.booleans())
def test_the_program_is_that_of_its_matrices(model, seed, origin):
    """Every product, with designs and constraints of the paper that the program never forms."""
    problem = make_cones(model, seed, P=7)
    U, D, y, beta = problem.data
    if origin:  # a sample there bounds no cone
        U = U.copy()
        U[..., 3, :] = 0
    terms = {"model": "relu", "loss": "squared", "penalty": "group"}
    program = make_program(U, D, y, beta, **terms)
    dense = formed(program)
    assert program.shape == dense.shape
    left = (np.linalg.norm(U, axis=-1) > 0).sum()
    assert program.constraints == dense.constraints == left
    rng = np.random.default_rng(seed)
    x = torch.as_tensor(rng.standard_normal((2, 7, U.shape[-1])))
    x[:, 2] = 0
    V, lam = torch.as_tensor(normal(12, 1)), torch.as_tensor(normal(2, 7, program.constraints))
    close = {"rtol": 0, "atol": 100 * ROUNDING}  # sums of a few hundred products
    torch.testing.assert_close(program.forward(x), dense.forward(x), **close)
    torch.testing.assert_close(program.adjoint(V), dense.adjoint(V), **close)
    torch.testing.assert_close(program.forces(lam), dense.forces(lam), **close)
    block = torch.tensor([3, 0, 3])
    torch.testing.assert_close(
        program.scores(x[1, block], block), dense.scores(x[1, block], block), **close
    )
    activations = dense.all_activations(x)[1, block]
    torch.testing.assert_close(program.activations(x[1, block], block), activations, **close)
    torch.testing.assert_close(dense.activations(x[1, block], block), activations, **close)
    assert program.violation(x) == pytest.approx(dense.violation(x), rel=100 * ROUNDING)


def largest_inner_product(T, K, free) -> float:
    """Return `max <T, s>` over blocks in the cone `K s >= 0`, of norm 1 but for the free part."""
    s = cp.Variable(len(T))
    inside = [cp.norm(s[np.flatnonzero(~free)]) <= 1, K @ s >= 0]
    program = cp.Problem(cp.Maximize(T @ s), inside)
    program.solve(solver=cp.CLARABEL)
    return program.value


def least_multipliers(T, K, free, balanced=True) -> np.ndarray:
    """Return the lam >= 0 with the least norm of `T + K^T lam`, whose free part is zero or not."""
    lam = cp.Variable(len(K), nonneg=True)
    total = T + K.T @ lam
    conditions = [total[np.flatnonzero(free)] == 0] if balanced and free.any() else []
    cp.Problem(cp.Minimize(cp.norm(total[np.flatnonzero(~free)])), conditions).solve(cp.CLARABEL)
    return np.maximum(lam.value, 0)


def dual_norm_of(program, V, i, lam) -> float:
    """Return the referee's dual norm of block i of the first set at multipliers lam (h,)."""
    multipliers = torch.zeros(2, program.shape[2], program.constraints, dtype=torch.float64)
    multipliers[0, i] = torch.as_tensor(lam)
    return float(program.dual_norms(V, multipliers)[0, i])


@pytest.mark.parametrize("model", ["relu", "cnn", "relu_bn"])
def test_dual_norm_is_the_largest_inner_product_in_the_cone(model):
    """`min_lam ||A^T v + K^T lam|| = max <A^T v, s>` over blocks of norm 1 in the cone."""
    problem = make_cones(model, 3, n=8, P=4)
    program = make_program(*problem.data, model=problem.model, loss="squared", penalty="group")
    V = torch.as_tensor(normal(8))[:, None]
    for i in range(4):
        T, K = program.adjoint(V)[0, i].numpy(), matrices(program).K[i].numpy()
        free = np.zeros(len(T), bool)
        ours = dual_norm_of(program, V, i, least_multipliers(T, K, free))
        # Clarabel's own tolerance, 1e-8, of numbers of order 1.
        assert ours == pytest.approx(largest_inner_product(T, K, free), abs=1e-6)


def test_multipliers_must_leave_nothing_in_the_free_coordinates():
    """With few active samples a neuron with BN after ReLU can move and change no prediction."""
    X = normal(7, 3, seed=3)
    D = enumerate_arrangements(X)
    D = D[:, D.sum(0) <= 2]
    program = make_program(X, D, normal(7), 0.1, model="relu_bn", loss="squared", penalty="group")
    V = torch.as_tensor(normal(7, seed=4))[:, None]
    for i in range(D.shape[1]):
        T, K = program.adjoint(V)[0, i].numpy(), program.K[i].numpy()
        free = program.basis.normed[i].numpy() == 0
        assert free.any()
        value = largest_inner_product(T, K, free)
        # Clarabel leaves 1e-8 in the free part; multipliers above zero can be balanced.
        exact = dual_norm_of(program, V, i, least_multipliers(T, K, free) + 1e-6)
        assert exact == pytest.approx(value, abs=1e-4)
        greedy = dual_norm_of(program, V, i, least_multipliers(T, K, free, balanced=False))
        assert greedy >= value - 1e-6


def test_the_two_ways_to_write_a_convolution_agree():
    """Average pooling is sum pooling of the design over K."""
    problem = make_cones("cnn", 5)
    U, D, y, beta = problem.data
    W = problem.feasible_weights()
    one = certify(U / len(U), D, y, beta, W, model="relu")
    hidden = np.maximum(U @ W[0], 0).mean(0).sum(1) - np.maximum(U @ W[1], 0).mean(0).sum(1)
    value = 0.5 * np.sum((hidden - y) ** 2) + beta * np.linalg.norm(W, axis=1).sum()
    assert one.objective == pytest.approx(value, rel=ROUNDING)


@pytest.fixture(scope="module", params=["relu", "cnn", "relu_bn"])
def solved(request):
    problem = make_cones(request.param, 11, n=14, P=12)
    solution = solve(*problem.data, model=problem.model, tol=1e-8)
    assert solution.certificate.converged
    return problem, solution


def test_the_referee_confirms_what_the_solver_says(solved):
    problem, solution = solved
    witness = {"multipliers": solution.multipliers, "dual": solution.dual}
    judged = certify(*problem.data, solution.weights, model=problem.model, **witness)
    for name in ("objective", "dual_objective", "gap", "relative_gap", "violation"):
        assert getattr(judged, name) == getattr(solution.certificate, name)


@pytest.mark.parametrize("size", [1e-2, 1e-1, 10])
def test_a_perturbed_solution_loses_its_certificate(solved, size):
    problem, solution = solved
    spoilt = solution.weights + size * normal(*solution.weights.shape)
    judged = certify(*problem.data, spoilt, model=problem.model, multipliers=solution.multipliers)
    assert not judged.converged


def test_a_scaled_solution_stays_feasible_and_loses_its_certificate(solved):
    problem, solution = solved
    judged = certify(
        *problem.data, 1.1 * solution.weights, model=problem.model, multipliers=solution.multipliers
    )
    assert judged.violation <= 1e-8
    assert not judged.converged
    assert "above tolerance" in judged.reason


def test_an_infeasible_solution_shows_its_violation(solved):
    problem, solution = solved
    W = np.array(solution.weights)
    # A block turned around is outside its cone.
    i = int(np.argmax(np.linalg.norm(W[0], axis=0)))
    W[0, :, i] *= -1
    judged = certify(*problem.data, W, model=problem.model, multipliers=solution.multipliers)
    assert not judged.converged
    program = make_program(*problem.data, model=problem.model, loss="squared", penalty="group")
    x = program.blocks(torch.as_tensor(W))
    outside = -matrices(program).all_activations(x).clamp_max(0).numpy()  # (2, P, K n)
    # What the blocks get wrong of a sample adds up, over blocks and patches.
    samples = outside.sum((0, 1)).reshape(-1, len(problem.y)).sum(0)
    worst = samples.max() / np.abs(problem.y).max()
    assert judged.violation == pytest.approx(worst, rel=ROUNDING)
    assert judged.violation > 1e-3
    assert "violation" in judged.reason


def test_an_optimum_without_the_cones_is_not_certified():
    problem = make_cones("relu", 6, n=15, P=20)
    U, D, y, beta = problem.data
    free = solve(U, D, y, beta, tol=1e-8)
    W = np.stack([free.weights[..., 0], np.zeros_like(free.weights[..., 0])])
    judged = certify(U, D, y, beta, W, model="relu")
    # Without the cones it would be the optimum; as a network it is far from it.
    assert judged.dual_objective <= free.certificate.objective
    assert judged.objective > 2 * free.certificate.objective
    assert judged.violation > 1e-3
    assert not judged.converged


def test_multipliers_make_the_bound_tight_and_none_leave_it_valid(solved):
    problem, solution = solved
    without = certify(*problem.data, solution.weights, model=problem.model)
    assert without.dual_objective <= solution.certificate.dual_objective
    assert without.gap >= solution.certificate.gap
    doubled = 2 * solution.multipliers
    other = certify(*problem.data, solution.weights, model=problem.model, multipliers=doubled)
    assert other.dual_objective <= solution.certificate.objective


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_violation_has_no_unit(unit):
    problem = make_cones("relu", 4)
    U, D, y, beta = problem.data
    W = normal(2, U.shape[1], D.shape[1])
    one = certify(U, D, y, beta, W, model="relu")
    other = certify(U, D, unit * y, unit * beta, unit * W, model="relu")
    assert one.violation > 0
    assert other.violation == pytest.approx(one.violation, rel=ROUNDING)
    assert other.relative_gap == pytest.approx(one.relative_gap, rel=1e-9)


def test_a_sample_at_the_origin_is_in_every_cone():
    X = np.vstack([normal(9, 2), np.zeros((1, 2))])
    D = activation(X, normal(2, 5, seed=1))
    solution = solve(X, D, normal(10, seed=2), 0.1, model="relu_bn")
    assert solution.certificate.converged
    assert solution.multipliers.shape == (2, 5, 9)


GOOD = make_cones("relu", 0)
SHAPE = (2, GOOD.U.shape[1], GOOD.D.shape[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Y": np.ones((12, 2))}, "one output.*got .12, 2.*one program per class"),
        ({"loss": "cross_entropy", "Y": np.eye(12)}, "model 'relu' is for one output"),
        ({"penalty": "nuclear"}, "penalty of model 'relu' must be 'group'"),
        ({"loss": "logistic"}, "labels -1 and"),
        ({"weights": np.zeros((3, 6))}, r"weights must have shape \(2, "),
        ({"multipliers": np.zeros((2, 6, 3))}, r"multipliers must have shape \(2, 6, 12\)"),
        ({"multipliers": -np.ones((2, 6, 12))}, "multipliers must be >= 0, the least is -1.0e"),
        ({"multipliers": np.full((2, 6, 12), np.nan)}, "multipliers must be finite"),
        ({"model": "gated", "weights": np.zeros((3, 6, 1)), "multipliers": 1}, "gated.*has none"),
        ({"U": GOOD.U[None], "D": GOOD.D}, "K patches"),
        (
            {"U": np.stack([GOOD.U] * 2), "D": np.stack([GOOD.D] * 3)},
            r"got U \(2, 12, 3\), D \(3, 12, 6\)",
        ),
        ({"model": "relu_bn", "U": GOOD.U[None], "D": GOOD.D[None]}, "takes the data X"),
        ({"model": "relu_bn", "U": np.ones((12, 3))}, "independent columns.*below d = 3"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    good = {"U": GOOD.U, "D": GOOD.D, "Y": GOOD.y, "beta": 0.1, "weights": np.zeros(SHAPE)}
    with pytest.raises(ValueError, match=message):
        certify(**{"model": "relu", **good, **change})


def test_whitened_blocks_of_bn_networks_span_every_neuron():
    """A BN neuron of any scale and shift is a block in the cone of its own pattern (Section 2)."""
    X = normal(15, 4)
    whitening = whiten(X)
    rng = np.random.default_rng(1)
    w, gamma, alpha = rng.standard_normal(4), *rng.standard_normal(2)
    z = X @ w
    z = z - z.mean()
    neuron = np.maximum(gamma * z / np.linalg.norm(z) + alpha / np.sqrt(15), 0)
    q = whitening.singular_values * (whitening.V.T @ w)
    s = np.append(gamma * q / np.linalg.norm(q), alpha)
    np.testing.assert_allclose(np.maximum(whitening.U @ s, 0), neuron, atol=1e-14)
    assert np.linalg.norm(s) == pytest.approx(np.hypot(gamma, alpha), rel=1e-14)
