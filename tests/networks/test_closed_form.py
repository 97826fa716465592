"""The closed forms against the dual by CVXPY, descent by SciPy, and perturbations."""

import copy

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from convexbn.networks.architectures import DeepBNNetwork
from convexbn.networks.closed_form import closed_form
from convexbn.networks.objectives import batch_objective, network_objective
from convexbn.networks.two_layer import BNNetwork

# The whitening divides by the singular values: rounding times a condition number up to 1e4.
VALUE = 1e-10


def draw(n, d, seed):
    return np.random.default_rng(seed).standard_normal((n, d))


def one_hot(n, C, seed):
    """One-hot rows with every class at least once, some rows of no class when n > C + 1."""
    Y = np.eye(C)[np.arange(n) % C]
    Y[C + 1 :: 4] = 0
    return np.random.default_rng(seed).permutation(Y)


# Samples, features beyond n - 1, seed, and beta from far below to above every norm.
cases = (
    st.integers(3, 12),
    st.integers(0, 6),
    st.integers(0, 10**6),
    st.floats(0.01, 6),
)


@given(*cases)
def test_scalar_value_is_the_networks_objective(n, extra, seed, beta):
    X, y = draw(n, n - 1 + extra, seed), draw(n, 1, seed + 1)
    value, network = found = closed_form(X, y, beta)
    assert network_objective(network, X, y, beta) == pytest.approx(value, rel=VALUE)
    assert network.w.shape[1] == 2
    assert (found.objective, found.network) == (value, network)


@given(*cases, st.integers(2, 3))
def test_one_hot_value_is_the_networks_objective(n, extra, seed, beta, C):
    X, Y = draw(n, n - 1 + extra, seed), one_hot(n, C, seed)
    found = closed_form(X, Y, beta)
    assert network_objective(found.network, X, Y, beta) == pytest.approx(found.objective, rel=VALUE)
    assert found.network.w.shape[1] == C


@given(st.integers(3, 12), st.integers(0, 10**6), st.floats(0.01, 6))
def test_scalar_activations_are_the_shrunk_parts(n, seed, beta):
    X, y = draw(n, n + 3, seed), draw(n, 1, seed + 1)
    network = closed_form(X, y, beta).network
    parts = np.hstack([y, -y]).clip(min=0)
    norms = np.linalg.norm(parts, axis=0)
    expected = parts * (1 - beta / np.maximum(norms, beta)) @ [[1], [-1]]
    scores = network(torch.as_tensor(X)).detach().numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-10)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_network_predicts_a_sample_as_in_the_training_set(offset):
    """As it comes, one sample at a time: the statistics are those of the whitened data."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 15)) + offset, rng.standard_normal(12)
    network = closed_form(X, y, 0.3).network
    assert not network.training
    alone = torch.cat([network(torch.as_tensor(x)[None]) for x in X]).detach()[:, 0]
    parts = np.maximum(y, 0), np.maximum(-y, 0)
    shrunk = [z * (1 - 0.3 / np.linalg.norm(z)) for z in parts]
    # Rounding of the offset, times the condition number of X, below 100.
    np.testing.assert_allclose(alone, shrunk[0] - shrunk[1], atol=1e-13 * max(100, offset))
    again = copy.deepcopy(network).set_statistics(X)
    torch.testing.assert_close(again.predict(X)[:, 0], alone, rtol=0, atol=1e-13 * max(100, offset))


def scalar_dual(y, beta):
    """Largest v^T y - ||v||^2/2 where no activation z >= 0, ||z|| <= 1, has |v^T z| > beta."""
    v = cp.Variable(len(y))
    limits = [cp.norm(cp.pos(v)) <= beta, cp.norm(cp.pos(-v)) <= beta]
    program = cp.Problem(cp.Maximize(v @ y - cp.sum_squares(v) / 2), limits)
    return program.solve(solver=cp.CLARABEL)


@pytest.mark.parametrize("beta", [0.05, 0.8, 2.0, 5.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_scalar_value_is_the_duals(seed, beta):
    X, y = draw(10, 14, seed), draw(10, 1, seed + 1)[:, 0]
    # Clarabel stops at 1e-8, relative.
    assert closed_form(X, y, beta).objective == pytest.approx(scalar_dual(y, beta), rel=1e-6)


@pytest.mark.parametrize("beta", [0.05, 0.8, 1.6, 5.0])
def test_one_hot_value_is_bounded_by_a_dual_point(beta):
    """V = Y, columns cut to norm beta, is feasible: ||V^T z|| <= beta for z >= 0, ||z|| <= 1."""
    X, Y = draw(9, 14, 0), one_hot(9, 3, 0)
    V = Y * np.minimum(1, beta / np.linalg.norm(Y, axis=0))
    Z = np.abs(draw(9, 1000, 1)) * (draw(9, 1000, 2) > 0.3)
    limits = beta * np.linalg.norm(Z, axis=0) * (1 + 1e-12)  # rounding
    assert (np.linalg.norm(V.T @ Z, axis=0) <= limits).all()
    bound = np.sum(V * Y) - np.sum(V**2) / 2
    assert closed_form(X, Y, beta).objective == pytest.approx(bound, rel=1e-12)


def descend(network, X, Y, beta) -> float:
    """Return the objective that L-BFGS reaches from the network's parameters."""
    X, Y = torch.as_tensor(X), torch.as_tensor(Y)

    def value_and_gradient(vector):
        vector_to_parameters(torch.as_tensor(vector), network.parameters())
        network.zero_grad()
        value = batch_objective(network, X, Y, beta)
        value.backward()
        return value.item(), torch.cat([p.grad.flatten() for p in network.parameters()]).numpy()

    start = parameters_to_vector(network.parameters()).detach().numpy()
    options = {"maxiter": 3000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    return found.fun


def check_descent(starts, X, Y, beta, optimum):
    """Descent from many starts comes to the optimum and never below it."""
    reached = [descend(network, X, Y, beta) for network in starts]
    assert min(reached) >= optimum * (1 - 1e-9)  # rounding alone may be below
    assert min(reached) <= optimum * (1 + 1e-3)  # ReLU has local optima near the global one


@pytest.mark.parametrize("beta", [0.2, 1.5])
def test_descent_reaches_the_scalar_value_and_never_less(beta):
    X, y = draw(6, 8, 3), draw(6, 1, 4)
    starts = [BNNetwork(8, 20, 1, 6, torch.Generator().manual_seed(s)).double() for s in range(4)]
    check_descent(starts, X, y, beta, closed_form(X, y, beta).objective)


def test_descent_reaches_the_one_hot_value_and_never_less():
    X, Y, beta = draw(6, 8, 3), np.eye(3)[np.arange(6) % 3], 0.3
    starts = [BNNetwork(8, 20, 3, 6, torch.Generator().manual_seed(s)).double() for s in range(4)]
    check_descent(starts, X, Y, beta, closed_form(X, Y, beta).objective)


def deep_networks(depth, n, C, seeds):
    widths = (5, *[2 * n] * (depth - 2), 20)
    for seed in seeds:
        yield DeepBNNetwork.draw(widths, C, n, torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_deep_value_is_the_objective_of_the_network_with_the_top(depth):
    n, beta = 8, 0.4
    X, Y = draw(n, 5, 0), np.eye(2)[np.arange(n) % 2]
    (network,) = deep_networks(depth, n, 2, [0])
    found = closed_form(network.activations(torch.as_tensor(X)), Y, beta)
    deep = DeepBNNetwork(network.layers, found.network)
    assert network_objective(deep, X, Y, beta) == pytest.approx(found.objective, rel=VALUE)


def test_descent_on_all_layers_reaches_the_deep_value_and_never_less():
    """The value does not depend on the hidden layers, so training them gains nothing."""
    n, beta = 6, 0.3
    X, Y = draw(n, 5, 0), np.eye(2)[np.arange(n) % 2]
    starts = list(deep_networks(3, n, 2, range(4)))
    A = starts[0].activations(torch.as_tensor(X))
    check_descent(starts, X, Y, beta, closed_form(A, Y, beta).objective)


@pytest.mark.parametrize("size", [1e-3, 1e-1])
@pytest.mark.parametrize("targets", ["scalar", "one-hot"])
def test_no_perturbation_is_below(targets, size):
    n, beta = 9, 0.4
    X = draw(n, 12, 0)
    Y = draw(n, 1, 1) if targets == "scalar" else one_hot(n, 3, 1)
    found = closed_form(X, Y, beta)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        neighbour = copy.deepcopy(found.network)
        with torch.no_grad():
            for p in neighbour.parameters():
                p.add_(size * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        assert network_objective(neighbour, X, Y, beta) > found.objective


def test_beta_above_every_norm_gives_the_zero_network():
    X, y = draw(6, 9, 0), draw(6, 1, 1)
    found = closed_form(X, y, 100.0)
    assert found.objective == pytest.approx(np.sum(y**2) / 2, rel=1e-14)
    assert (found.network(torch.as_tensor(X)) == 0).all()
    assert found.network.penalty() == 0


def test_weighted_and_one_signed_targets_are_fine():
    X, beta = draw(6, 9, 0), 0.3
    y = np.abs(draw(6, 1, 1))
    assert closed_form(X, y, beta).objective == pytest.approx(
        beta * np.linalg.norm(y) - beta**2 / 2, rel=1e-12
    )
    Y = np.eye(2)[np.arange(6) % 2] * draw(6, 1, 2) ** 2
    found = closed_form(X, Y, beta)
    assert network_objective(found.network, X, Y, beta) == pytest.approx(found.objective, rel=VALUE)


def test_kinds_and_shapes_of_input_are_one():
    X, y = draw(6, 9, 0), draw(6, 1, 1)
    values = [
        closed_form(X, y, 0.3).objective,
        closed_form(X, y[:, 0], 0.3).objective,
        closed_form(torch.as_tensor(X).requires_grad_(), torch.as_tensor(y), 0.3).objective,
    ]
    assert values[0] == values[1] == values[2]


square = draw(6, 9, 0)
labels = np.eye(2)[np.arange(6) % 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": draw(6, 4, 0)}, "rank n - 1 = 5, got rank 4"),
        ({"X": np.vstack([square[:5], square[:1]])}, "rank n - 1 = 5, got rank 4"),
        ({"X": np.ones((6, 9))}, "all rows of X are equal"),
        ({"X": square * np.nan}, "X must be finite"),
        ({"Y": labels + np.inf}, "Y must be finite"),
        ({"Y": labels[:5]}, "X and Y must have one row per sample, got 6 and 5"),
        ({"Y": -labels}, "entries >= 0"),
        ({"Y": labels + 0.1}, "at most one non-zero per row"),
        ({"Y": labels[:, :, None]}, "Y must be one output"),
        ({"beta": 0.0}, "beta must be > 0"),
        ({"beta": -1.0}, "beta must be > 0"),
    ],
)
def test_closed_form_refuses_what_it_does_not_hold_for(change, message):
    with pytest.raises(ValueError, match=message):
        closed_form(**{"X": square, "Y": labels, "beta": 0.1} | change)


def test_an_empty_class_costs_nothing_and_has_no_neuron():
    Y = np.insert(labels, 1, 0, axis=1)
    found, without = closed_form(square, Y, 0.1), closed_form(square, labels, 0.1)
    assert found.objective == without.objective
    assert found.network.w.shape[1] == 2
    assert network_objective(found.network, square, Y, 0.1) == pytest.approx(found.objective)


def test_targets_of_zero_cost_nothing():
    for Y in (np.zeros(6), np.zeros((6, 3))):
        value, network = closed_form(square, Y, 0.1)
        assert value == network_objective(network, square, Y, 0.1) == 0


@pytest.mark.parametrize(
    "given_as",
    [
        lambda A: A[::-1].copy()[::-1],
        lambda A: A.astype(">f8"),
        lambda A: A.astype(object),
        lambda A: A.tolist(),
        lambda A: torch.tensor(A, requires_grad=True),
    ],
)
def test_numbers_of_any_kind_are_taken(given_as):
    expected, network = closed_form(square, labels, 0.1)
    found = closed_form(given_as(square), given_as(labels), 0.1)
    assert found.objective == expected
    again = network_objective(network, given_as(square), given_as(labels), 0.1)
    assert again == pytest.approx(expected, rel=VALUE)


@pytest.mark.parametrize("bad", [np.nan, None, "a", 1j])
def test_what_is_no_number_is_refused_by_name(bad):
    spoiled = labels.astype(object)
    spoiled[0, 0] = bad
    network = closed_form(square, labels, 0.1).network
    with pytest.raises(ValueError, match="Y must"):
        closed_form(square, spoiled, 0.1)
    with pytest.raises(ValueError, match="Y must"):
        network_objective(network, square, spoiled, 0.1)


def test_targets_without_outputs_are_refused_and_beta_may_be_a_tensor():
    X, y = np.eye(3), np.array([1.0, -2.0, 0.5])
    with pytest.raises(ValueError, match="Y must be one output"):
        closed_form(X, np.zeros((3, 0)), 0.1)
    found, expected = (
        closed_form(X, y, beta) for beta in (torch.tensor(0.1, dtype=torch.float64), 0.1)
    )
    assert found.objective == expected.objective
    values = [network_objective(expected.network, X, y, beta) for beta in (np.array(0.1), 0.1)]
    assert values[0] == values[1]


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_targets_whose_squares_over_or_underflow(unit):
    # sum_z beta ||z|| - beta^2/2, of which the second is lost in rounding or beyond the first's.
    X, y = draw(5, 6, 0), np.array([3.0, 4.0, 0.0, 0.0, -2.0])
    value, network = closed_form(X, y * unit, 0.5)
    assert value == pytest.approx(0.5 * 7 * unit if unit > 1 else 0.0, rel=VALUE)
    found = network.eval()(torch.from_numpy(X)).detach().flatten().numpy()
    assert found == pytest.approx(y * unit if unit > 1 else 0 * y, rel=VALUE, abs=1e-9 * unit)
