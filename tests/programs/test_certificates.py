"""The referee against CVXPY, the paper's formulas, and weights that were spoilt."""

import math
import warnings
from dataclasses import replace
from fractions import Fraction
from functools import cache

import cvxpy as cp
import instances
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexbn import enumerate_arrangements, solve, whiten
from convexbn.programs.certificates import certify

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def tensors(*arrays):
    return tuple(torch.as_tensor(array) for array in arrays)


@pytest.mark.parametrize("P", [3, 8])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_referee_certifies_what_another_solver_found(P, share):
    problem = instances.make(1, P=P, share=share)
    value, W = instances.interior_point(*problem.data)
    certificate = certify(*problem.data, W, tol=1e-6)
    assert certificate.converged, certificate.reason
    # The interior point method stops at gaps of 1e-8, relative.
    assert certificate.objective == pytest.approx(value, rel=1e-7)
    assert certificate.dual_objective <= value * (1 + 1e-7)
    assert certificate.violation == 0


def test_certificate_says_what_the_paper_writes():
    problem, W = instances.make(2), normal(5, 6, 2)
    certificate = certify(*problem.data, W)
    assert certificate.objective == pytest.approx(
        instances.objective(*problem.data, W), rel=ROUNDING
    )
    assert certificate.gap == certificate.objective - certificate.dual_objective
    assert certificate.relative_gap == certificate.gap / certificate.objective
    assert not certificate.converged
    assert "above tolerance" in certificate.reason
    assert certificate.as_dict()["gap"] == certificate.gap
    assert certificate.as_dict()["stopped"] == ""  # no solver ran


@pytest.mark.parametrize("size", [1e-2, 1e-1, 10])
def test_a_spoilt_solution_loses_its_certificate(size):
    problem = instances.make(3)
    value, W = instances.interior_point(*problem.data)
    spoilt = W + size * normal(*W.shape)
    certificate = certify(*problem.data, spoilt, tol=1e-6)
    assert not certificate.converged
    # The gap is at least the true distance from the optimum.
    missing = instances.objective(*problem.data, spoilt) - value
    assert certificate.gap >= missing * (1 - 1e-6)


@pytest.mark.parametrize("size", [1e160, 1e300, 1.7e308])
def test_weights_beyond_the_range_of_numbers_are_not_certified(size):
    """Infinity, or infinity minus infinity, is never an optimal objective."""
    problem = instances.make(3)
    certificate = certify(*problem.data, size * np.sign(normal(*problem.shape)))
    assert not math.isfinite(certificate.objective)
    assert not certificate.converged


@pytest.mark.parametrize(
    ("model", "penalty"), [("gated", "group"), ("gated", "nuclear"), ("relu", "group")]
)
def test_weights_whose_squares_underflow_have_their_price(model, penalty):
    """1e170 times the length of (1e-165, 1e-165), and the loss of no prediction."""
    weights = np.zeros((2, 2, 1))
    weights[0] = 1e-165
    weights = weights[0][:, :, None] if model == "gated" else weights
    certificate = certify(
        *(np.eye(2), np.ones((2, 1), bool), [1.0, 1.0], 1e170, weights),
        model=model,
        penalty=penalty,
    )
    assert certificate.objective == pytest.approx(1 + 1e5 * math.sqrt(2), rel=ROUNDING)
    assert not certificate.converged


@pytest.mark.parametrize("size", [1e-100, 1e-150, 1e-155, 1e-165])
def test_a_dual_variable_is_not_feasible_because_squares_underflow(size):
    """One gate is open on one sample alone, and the optimum is that of this entry of the design."""
    U, D = [[size, size], [1.0, 0.0], [0.0, 1.0]], [[True], [False], [False]]
    y, share = [1.0, 0.0, 0.0], 1e-2 / math.sqrt(2)
    # The optimal residual is beta over the length of the row.
    optimum = share - share**2 / 2
    certificate = certify(U, D, y, size * 1e-2, np.zeros((2, 1, 1)))
    assert certificate.dual_objective <= optimum * (1 + ROUNDING)
    assert certificate.objective == 0.5
    assert not certificate.converged
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the smallest ones are beyond what the solver can do
        solution = solve(U, D, y, size * 1e-2)
    assert solution.certificate.dual_objective <= optimum * (1 + ROUNDING)
    assert solution.certificate.objective >= optimum * (1 - ROUNDING)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_no_bound_is_above_an_objective_in_exact_arithmetic(penalty):
    """Where the sums of a dual constraint cancel, nearly all of it may be rounding."""
    zero = np.zeros((2, 1, 1))
    for angle in np.linspace(0.1, 3, 12):
        left, right = rotation(angle), rotation(2.3 * angle)
        U, y, beta = left @ np.diag([1.0, 1e-12]) @ right.T, left[:, 1], 1e-14
        data = U, np.ones((2, 1), bool), y, beta
        bound = certify(*data, zero, dual=y[:, None], penalty=penalty).dual_objective
        (a, b), (c, d) = [[Fraction(x) for x in row] for row in U]
        target = [Fraction(x) for x in y]
        # Weights that leave a hundredth of the targets, nearly the optimal ones.
        first, second = (target[i] * Fraction(99, 100) for i in range(2))
        determinant = a * d - b * c
        W = (d * first - b * second) / determinant, (a * second - c * first) / determinant
        loss = sum((t / 100) ** 2 for t in target) / 2
        squares = sum(w**2 for w in W)
        length = Fraction(math.isqrt(int(squares * 10**40) + 1) + 1, 10**20)  # or a little more
        assert Fraction(bound) <= loss + Fraction(beta) * length


def test_referee_works_in_float64_whatever_it_is_given():
    problem = instances.make(4)
    _, W = instances.interior_point(*problem.data)
    reference = certify(*problem.data, W)
    U, D, Y, beta = problem.data
    assert certify(*tensors(U, D, Y), beta, torch.as_tensor(W)) == reference
    rough = certify(U, D, Y, beta, W.astype(np.float32))
    # Weights are rounded by 6e-8, relative. The objective is flat at the optimum, the bound is not.
    assert rough.objective == pytest.approx(reference.objective, rel=1e-7)
    assert rough.relative_gap < 1e-6


def test_a_single_target_may_be_a_vector():
    problem, W = instances.make(5, C=1), normal(5, 6, 1)
    U, D, Y, beta = problem.data
    assert certify(U, D, Y[:, 0], beta, W) == certify(U, D, Y, beta, W)


def test_zero_targets_are_met_by_zero_weights():
    problem = instances.make(6)
    zero = replace(problem, Y=np.zeros_like(problem.Y), beta=0.1)
    certificate = certify(*zero.data, np.zeros(zero.shape))
    assert certificate.converged
    assert certificate.objective == certificate.gap == certificate.relative_gap == 0


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_weights_are_of_one_program_only(seed):
    """The objective changes if gates are reordered without their weights."""
    problem = instances.make(seed)
    U, D, Y, beta = problem.data
    W = normal(*problem.shape, seed=seed)
    order = np.roll(np.arange(6), 1)
    same = certify(U, D[:, order], Y, beta, W[:, order])
    assert same.objective == pytest.approx(certify(U, D, Y, beta, W).objective, rel=ROUNDING)
    assert certify(U, D[:, order], Y, beta, W).objective != pytest.approx(same.objective, rel=1e-6)


# --- no certificate is false, whatever weights and multipliers are handed in ----------------------

CLARABEL = 1e-7  # what Clarabel leaves, relative, of optima of order 1


@cache
def exact(model: str, loss: str) -> tuple[instances.ConeProblem, float]:
    """Return a problem over all its arrangements, and its optimum from Clarabel."""
    if model == "relu_bn":
        U = normal(5, 2, seed=1)
    elif model == "cnn":
        U = whiten(normal(6, 1, seed=2)).U.reshape(2, 3, 2)
    else:
        U = whiten(normal(6, 1, seed=3)).U
    D = enumerate_arrangements(U.reshape(-1, U.shape[-1])).reshape(*U.shape[:-1], -1)
    y = normal(U.shape[-2], seed=4)
    y = y if loss == "squared" else np.sign(y)
    name = "relu" if model == "cnn" else model
    problem = instances.ConeProblem(name, U, D, y, 0.05, np.empty(0), loss)
    return problem, instances.cone_optimum(problem)


MODELS, LOSSES = ("relu", "cnn", "relu_bn"), tuple(instances.LOSS_VALUES)


@cache
def solved(model: str, loss: str):
    """Return this library's solution of that problem."""
    problem, _ = exact(model, loss)
    return solve(*problem.data, model=problem.model, loss=loss)


def crafted_weights(problem, solution, rng, kind):
    """Return weights near the optimum or far from it, in their cones or not."""
    W = np.array(solution.weights)
    if kind == "drawn":
        return 10.0 ** rng.uniform(-6, 3) * rng.standard_normal(W.shape)
    if kind == "scaled":
        return W * 10.0 ** rng.uniform(-3, 1)
    if kind == "moved":
        return W + 10.0 ** rng.uniform(-9, 0) * rng.standard_normal(W.shape)
    # "cancelling": both sets have the same in each cone, so that the blocks' predictions stay.
    return W + 10.0 ** rng.uniform(-6, 3) * rng.standard_normal(W.shape[1:])


def crafted_multipliers(solution, rng, kind):
    """Return multipliers >= 0 that are good, or useless, or huge."""
    lam = np.array(solution.multipliers)
    if kind == "drawn":
        return 10.0 ** rng.uniform(-6, 16) * rng.exponential(size=lam.shape)
    if kind == "moved":
        return lam * np.exp(10.0 ** rng.uniform(-9, 1) * rng.standard_normal(lam.shape))
    if kind == "thinned":
        return lam * (rng.random(lam.shape) < 0.5)
    return lam + 10.0 ** rng.uniform(-6, 16)  # "raised": they cancel, up to rounding


@settings(max_examples=150)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(LOSSES),
    st.sampled_from(["drawn", "scaled", "moved", "cancelling"]),
    st.sampled_from(["drawn", "moved", "thinned", "raised"]),
    st.integers(0, 10**6),
)
def test_no_certificate_is_false(model, loss, weights, multipliers, seed):
    problem, optimum = exact(model, loss)
    rng = np.random.default_rng(seed)
    U, D, y, beta = problem.data
    terms = {"model": problem.model, "loss": loss}
    if model == "relu_bn":  # its features have no unit
        U = U * 10.0 ** rng.uniform(-12, 12, U.shape[1])
        solution = solve(U, D, y, beta, **terms)
    else:
        solution = solved(model, loss)
    W = crafted_weights(problem, solution, rng, weights)
    witness = {"multipliers": crafted_multipliers(solution, rng, multipliers)}
    if rng.random() < 0.5 and solution.dual is not None:
        witness["dual"] = solution.dual * 10.0 ** rng.uniform(-3, 3)
    tol = 10.0 ** rng.uniform(-6, -1)
    judged = certify(U, D, y, beta, W, tol=tol, **witness, **terms)
    network = replace(problem, U=U).network_objective(W)
    assert judged.objective == pytest.approx(network, rel=1e-9)
    assert judged.dual_objective <= optimum * (1 + CLARABEL)
    assert judged.objective >= optimum * (1 - CLARABEL)
    if judged.converged:
        assert network <= optimum * (1 + CLARABEL) / (1 - tol)


@pytest.mark.parametrize("tol", [1e-4, 1e-2])
def test_leaving_the_cones_a_little_in_every_block_is_no_way_to_a_certificate(tol):
    """No block is outside by more than `tol`, but together they make a better objective."""
    U = whiten(normal(8, 2, seed=5)).U
    D, y, beta = enumerate_arrangements(U), normal(8, seed=6), 0.02
    s, t = (cp.Variable((3, D.shape[1])) for _ in range(2))
    scores = cp.sum(cp.multiply(D, U @ (s - t)), axis=1)
    norms = cp.sum(cp.norm(s, axis=0)) + cp.sum(cp.norm(t, axis=0))
    room = [cp.multiply(2 * D - 1, U @ a) >= -0.99 * tol * np.abs(y).max() for a in (s, t)]
    objective = cp.sum_squares(scores - y) / 2 + beta * norms
    cp.Problem(cp.Minimize(objective), room).solve(cp.CLARABEL)
    solution = solve(U, D, y, beta, model="relu", tol=1e-8)
    W = np.stack([s.value, t.value])
    judged = certify(U, D, y, beta, W, model="relu", multipliers=solution.multipliers, tol=tol)
    assert objective.value < (1 - tol) * solution.certificate.objective  # it looks better
    assert judged.objective >= solution.certificate.dual_objective  # and is not
    assert not judged.converged


def test_a_gap_below_minus_the_tolerance_is_no_certificate():
    """Outside of the one cone that the program has, neurons can be better than its optimum."""
    problem = instances.make_cones("relu", 9, n=8, d=1, P=1)
    U, D, y, beta = problem.data
    best = solve(U, enumerate_arrangements(U), y, beta, model="relu").weights
    restricted = solve(U, D, y, beta, model="relu")
    longest = np.linalg.norm(best, axis=1).argmax(axis=1)
    W = np.stack([best[sign][:, [longest[sign]]] for sign in (0, 1)])
    witness = {"model": "relu", "multipliers": restricted.multipliers, "tol": 1e-2}
    judged = certify(U, D, y, beta, W, **witness)
    assert judged.relative_gap < -1e-2
    assert "below minus tolerance" in judged.reason
    assert not judged.converged
