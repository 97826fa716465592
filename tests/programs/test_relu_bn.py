"""BN after the ReLU has no units: neither features nor their origin change a program."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from instances import ConeProblem, cone_optimum

from convexbn import certify, enumerate_arrangements, network_objective, recover_network, solve
from convexbn.programs.instances import make_program

RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((7, 2)), RNG.standard_normal(7)
D = enumerate_arrangements(X)
OPTIMUM = 0.23658417  # of X, Y and beta = 0.1, by an independent program


def solved(X, **options):
    return solve(X, D, Y, 0.1, model="relu_bn", tol=1e-8, **options)


@pytest.mark.parametrize(
    "units", [[1, 1e-9], [1e9, 1e-9], [1e-12, 1e-12], [3e-290, 7e280], [1 / 3, 12345.6]]
)
def test_features_have_any_unit(units):
    solution = solved(X * units)
    assert solution.certificate.converged
    assert solution.certificate.objective == pytest.approx(OPTIMUM, rel=1e-7)
    network = recover_network(solution, X * units)
    found = float(network_objective(network, X * units, Y, 0.1))
    assert found == pytest.approx(OPTIMUM, rel=1e-7)


def test_features_may_be_mixed():
    """The network has the same pre-activations on every basis of the features."""
    mixed = X @ np.array([[1.0, 1e6], [0.0, 1.0]])
    certificate = solved(mixed).certificate
    assert certificate.converged
    # The mixture itself is rounded at 1e-10 of the smaller feature.
    assert certificate.objective == pytest.approx(OPTIMUM, rel=1e-7)


def test_an_intercept_and_a_column_of_times():
    times = np.c_[1.7e9 + 3600.0 * np.arange(7), np.ones(7)]
    hours = np.c_[np.arange(7.0), np.ones(7)]
    patterns = enumerate_arrangements(hours)
    small, large = (
        solve(a, patterns, Y, 0.1, model="relu_bn", tol=1e-8).certificate for a in (hours, times)
    )
    assert small.converged
    assert large.converged
    assert large.objective == pytest.approx(small.objective, rel=1e-7)


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e-12, 1e-200])
def test_bound_is_below_the_optimum_in_every_unit(size):
    """Multipliers that ignore the free coordinates certify nothing in any unit."""
    rng = np.random.default_rng(2)
    P, n = D.shape[1], len(Y)
    for scale in (1e-3, 1.0, 1e6):
        lam = scale * rng.exponential(size=(2, P, n))
        W = np.zeros((2, 3, P))
        judged = certify(size * X, D, Y, 0.1, W, model="relu_bn", multipliers=lam)
        assert judged.dual_objective <= OPTIMUM * (1 + 1e-7)


def test_one_feature():
    """Every constraint of a cone follows from any other, but one of them has to stay."""
    x, y = np.array([[1.0], [2.0], [-1.0], [0.5]]), np.array([1.0, -1, 2, 0.5])
    problem = ConeProblem("relu_bn", x, enumerate_arrangements(x), y, 0.1, None)
    certificate = solve(*problem.data, model="relu_bn").certificate
    assert certificate.converged
    assert certificate.objective == pytest.approx(0.56212476, rel=1e-6)
    assert cone_optimum(problem) == pytest.approx(0.56212476, rel=1e-6)


def test_a_sample_far_from_the_others_does_not_hide_them():
    far = np.vstack([X, [[3e7, -5e7]]])
    patterns, y = enumerate_arrangements(far), np.append(Y, 0.3)
    solution = solve(far, patterns, y, 0.1, model="relu_bn")
    assert solution.certificate.converged
    network = recover_network(solution, far)
    found = float(network_objective(network, far, y, 0.1))
    assert found == pytest.approx(solution.certificate.objective, rel=1e-7)


def test_columns_that_depend_on_each_other_are_refused_in_any_unit():
    for columns in (X[:, [0, 0]] * [1, 1e-9], np.c_[X, X.sum(1)] * [1e200, 1, 1e-200]):
        patterns = np.ones((7, 1), bool)
        with pytest.raises(ValueError, match="linearly independent columns"):
            solve(columns, patterns, Y, 0.1, model="relu_bn")


def test_weights_go_to_coordinates_and_back():
    terms = {"model": "relu_bn", "loss": "squared", "penalty": "group"}
    program = make_program(X * [1e5, 1e-5], D, Y, 0.1, **terms)
    W = torch.as_tensor(RNG.standard_normal((2, 3, D.shape[1])) / [[1e5], [1e-5], [1.0]])
    torch.testing.assert_close(program.weights(program.blocks(W)), W, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("exponent", [40, 60, 300])
def test_a_direction_too_small_to_resolve_is_not_certified(exponent):
    """One neuron inside the cone, w = (0, 1), sees the third sample alone: BN makes it size 1."""
    X = np.array([[1, 0], [2, 0], [0.5, 2.0**-exponent], [-1, -1], [-2, -0.5]])
    D = np.array([[1, 1, 1, 0, 0]], dtype=bool).T
    y = np.array([0, 0, 1.0, 0, 0])
    solution = solve(X, D, y, 0.1, model="relu_bn")
    W = np.zeros((2, 3, 1))
    W[0, 1:, 0] = 2.0**exponent, 0.4
    proof = {"dual": solution.dual, "multipliers": solution.multipliers}
    network = certify(X, D, y, 0.1, W, model="relu_bn", **proof)
    assert network.objective < 0.2
    assert network.dual_objective <= network.objective
    assert not solution.certificate.converged or solution.certificate.objective < 0.2


@pytest.mark.parametrize("exponent", [20, 30, 37])
def test_dual_norms_are_not_below_those_of_exact_numbers(exponent):
    """The second singular vector of the gated data is wrong by up to 2^exponent roundings."""
    X = np.array([[1, 0], [2, 0], [0.5, 2.0**-exponent], [-1, -1], [-2, -0.5]])
    gates, y = np.array([1, 1, 1, 0, 0]), np.array([0, 0, 1.0, 0, 0])
    terms = {"model": "relu_bn", "loss": "squared", "penalty": "group"}
    here = make_program(X, gates[:, None].astype(bool), y, 0.1, **terms)
    first, second = ([Fraction(x) for x in column] for column in (gates[:, None] * X).T)
    first, second = ([x - sum(column) / 5 for x in column] for column in (first, second))
    share = inner(first, second) / inner(first, first)
    beside = [b - share * a for a, b in zip(first, second, strict=True)]
    directions = first, beside, [Fraction(1)] * 5
    for v in np.random.default_rng(0).standard_normal((50, 5)):
        exact = [Fraction(x) for x in v]
        square = sum(inner(q, exact) ** 2 / inner(q, q) for q in directions)
        none = torch.zeros(2, 1, here.constraints, dtype=torch.float64)
        found = here.dual_norms(torch.as_tensor(v)[:, None], none)[0, 0].item()
        assert Fraction(found) ** 2 >= square
        # Largest errors are 1.3e-5 at 2^-37. The margin is of the worst case, and v is longer than
        # what the norm is of.
        assert found <= (1 + 2.0 ** (exponent - 46)) * math.sqrt(square)


def inner(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("constant", [1.0, 0.1, 1.7, 7**-0.5, 1000.0])
def test_an_intercept_of_any_size_is_the_same_program(constant):
    """Centred, a column of 0.1 is rounding in the last place, which has no direction."""
    design = np.c_[X[:, :1], np.full(7, constant)]
    certificate = solve(
        design, enumerate_arrangements(design), Y, 0.1, model="relu_bn", tol=1e-8
    ).certificate
    assert certificate.converged
    one = np.c_[X[:, :1], np.ones(7)]
    expected = solve(one, enumerate_arrangements(one), Y, 0.1, model="relu_bn", tol=1e-8)
    # Both are within their tolerance.
    assert certificate.objective == pytest.approx(expected.certificate.objective, rel=2e-8)


def test_a_doubtful_program_is_solved_though_nobody_certifies_it():
    """The doubt takes the referee's bound away, and not the solver's best point."""
    design = X * [1.0, 1e-13] + [0.0, 1.0]  # an intercept, or a feature that is nearly rounding
    patterns = enumerate_arrangements(np.c_[X[:, 0], np.ones(7)])
    with pytest.warns(UserWarning, match="is not certified"):
        solution = solve(design, patterns, Y, 0.1, model="relu_bn")
    assert not solution.certificate.converged
    assert solution.certificate.objective < 0.9 * (Y @ Y / 2)  # of zero weights


@pytest.mark.parametrize("beta", [1e3, 1e10, 1e100, 1e300])
def test_no_neurons_are_certified_for_any_huge_beta(beta):
    with pytest.warns(UserWarning, match="has no neurons: .*take a smaller one"):
        solution = solve(X, D, Y, beta, model="relu_bn")
    assert solution.certificate.converged
    assert solution.neurons == 0
