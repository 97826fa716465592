"""Recovered networks against the convex objectives written out in numpy, there and back."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.networks.architectures import (
    BNAfterReLUNetwork,
    ConvolutionalNetwork,
    DeepBNNetwork,
    GatedBNNetwork,
    affine_gates,
)
from convexbn.networks.objectives import network_objective
from convexbn.networks.recovery import network_blocks, recover_network
from convexbn.networks.two_layer import BNNetwork, PlainNetwork, stack
from convexbn.solvers import solve
from convexbn.whitening import whiten

BETA = 0.3

# Recovery divides by the singular values: rounding times a condition number up to 1e4.
ROUNDING = 1e-10


def relu(Z):
    return np.maximum(Z, 0)


def squared(F, Y):
    return 0.5 * np.sum((F - Y) ** 2)


# The programs, as in the paper; U (K, n, p) and D (K, n, P), of K = 1 position if no CNN.


def relu_objective(U, D, y, weights):
    s, t = weights
    F = sum(D[..., i] * (U @ (s[:, i] - t[:, i])) for i in range(D.shape[-1])).sum(axis=0)
    return squared(F, y) + BETA * np.linalg.norm(weights, axis=1).sum()


def gated_objective(U, D, Y, W, penalty):
    F = sum(D[..., [i]] * (U @ W[:, i]) for i in range(D.shape[-1])).sum(axis=0)
    norms = {
        "group": np.linalg.norm(W, axis=0).sum(),
        "nuclear": sum(np.linalg.norm(W[:, i], "nuc") for i in range(W.shape[1])),
    }
    return squared(F, Y) + BETA * norms[penalty]


def relu_bn_parts(X, D, weights):
    """Return the (2, n, P) activations `C D_i X w` and the (2, P) norms of the blocks."""
    w, a = weights[:, :-1], weights[:, -1]  # (2, d, P), (2, P)
    parts = D * (X @ w)
    centred = parts - parts.mean(axis=1, keepdims=True)
    return centred + a[:, None] / np.sqrt(len(X)), np.hypot(np.linalg.norm(centred, axis=1), a)


def relu_bn_objective(X, D, y, weights):
    parts, norms = relu_bn_parts(X, D, weights)
    return squared((parts[0] - parts[1]).sum(axis=1), y) + BETA * norms.sum()


@st.composite
def instances(draw):
    """Data (K n rows, correlated, off centre), their whitening and random targets."""
    n, d, K, C, P = (draw(st.integers(*ends)) for ends in ((3, 12), (1, 8), (1, 4), (1, 4), (1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    mixing = np.eye(d) + 0.3 * rng.standard_normal((d, d))
    X = rng.standard_normal((K, n, d)) @ mixing + rng.standard_normal(d)
    whitening = whiten(X.reshape(K * n, d))
    rank = draw(st.integers(1, whitening.rank))
    return SimpleNamespace(
        X=X,
        whitening=whitening,
        truncated=whitening.truncate(rank),
        Y=rng.standard_normal((n, C)),
        y=rng.standard_normal(n),
        new=rng.standard_normal((K, 5, d)),
        pooling=draw(st.sampled_from(["sum", "average"])),
        shape=(n, d, K, C, P),
        rng=rng,
    )


def solution(weights, model, penalty="group"):
    return SimpleNamespace(weights=weights, model=model, penalty=penalty)


def in_cones(rng, p, P):
    """Return blocks g (p, P), and weights (2, p, P) in the cones of the g, some of them zero."""
    G = rng.standard_normal((p, P))
    return G, G * rng.exponential(size=(2, 1, P)) * (rng.random((2, 1, P)) > 0.4)


def design(problem, whitening):
    """Return the design (K, n, r + 1) of the program, with its pooling."""
    n, _, K, _, _ = problem.shape
    return whitening.U.reshape(K, n, -1) / (K if problem.pooling == "average" else 1)


@given(instances())
def test_recovered_relu_network_has_the_convex_objective_and_predictions(problem):
    _, _, K, _, P = problem.shape
    U = design(problem, problem.truncated)
    G, weights = in_cones(problem.rng, U.shape[-1], P)
    network = recover_network(
        solution(weights, "relu"), problem.truncated, patches=K, pooling=problem.pooling
    )
    convex = relu_objective(U, activation(U, G), problem.y, weights)
    found = network_objective(network, problem.X, problem.y, BETA)
    assert found == pytest.approx(convex, rel=ROUNDING)
    assert network.w.shape[1] == max(1, np.count_nonzero(np.linalg.norm(weights, axis=1)))

    new = [problem.truncated.transform(X) for X in problem.new]
    average = K if problem.pooling == "average" else 1
    expected = sum((relu(u @ weights[0]) - relu(u @ weights[1])).sum(axis=1) for u in new) / average
    check_predictions(network, problem, expected[:, None])


def check_predictions(network, problem, expected):
    # New samples can be far out along a small singular direction.
    check_scores(network, problem.X, problem.new, expected, 1e-8 * (1 + abs(expected).max()))


def check_scores(network, X, new, expected, atol):
    """As it comes; by the statistics computed again; in blocks of rows; one sample at a time."""
    again = copy.deepcopy(network).set_statistics(X)
    rows = torch.as_tensor(new)
    with torch.no_grad():
        one_by_one = torch.cat([network(rows[..., [i], :]) for i in range(rows.shape[-2])])
        found = network(rows), again(rows), network.predict(new), one_by_one
    for scores in found:
        np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-8, atol=atol)


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
@given(problem=instances())
def test_recovered_gated_network_has_the_convex_objective_and_predictions(problem, penalty):
    _, _, K, C, P = problem.shape
    U = design(problem, problem.truncated)
    p = U.shape[-1]
    G = problem.rng.standard_normal((p, P))
    W = low_rank(problem.rng, p, P, C)
    network = recover_network(
        solution(W, "gated", penalty),
        problem.truncated,
        gates=G,
        patches=K,
        pooling=problem.pooling,
    )
    convex = gated_objective(U, activation(U, G), problem.Y, W, penalty)
    found = network_objective(network, problem.X, problem.Y, BETA)
    assert found == pytest.approx(convex, rel=ROUNDING)

    new = [problem.truncated.transform(X) for X in problem.new]
    average = K if problem.pooling == "average" else 1
    expected = sum(activation(u, G)[:, i, None] * (u @ W[:, i]) for u in new for i in range(P))
    check_predictions(network, problem, expected / average)


def low_rank(rng, p, P, C):
    """Return blocks W (p, P, C) of rank 0, 1 and more."""
    W = rng.standard_normal((p, P, C))
    W[:, ::3] = rng.standard_normal((p, 1, 1)) * rng.standard_normal((1, 1, C))
    W[:, 1::3] = 0
    return W


def test_neurons_of_gated_blocks_are_counted_by_column_or_rank():
    rng = np.random.default_rng(0)
    whitening = whiten(rng.standard_normal((20, 5)))
    W, G = low_rank(rng, 6, 6, 4), rng.standard_normal((6, 6))  # ranks 1, 0, 4, 1, 0, 4
    W[:, 2, 0] = 0
    neurons = [
        recover_network(solution(W, "gated", penalty), whitening, gates=G).w.shape[1]
        for penalty in ("group", "nuclear")
    ]
    assert neurons == [4 + 3 + 4 + 4, 1 + 3 + 1 + 4]


@given(instances())
def test_recovered_network_with_bn_after_relu_has_the_convex_objective(problem):
    X = problem.X.reshape(-1, problem.shape[1])
    n, d, P = *X.shape, problem.shape[4]
    y = problem.rng.standard_normal(n)
    G, inside = in_cones(problem.rng, d, P)
    weights = np.concatenate([inside, problem.rng.standard_normal((2, 1, P))], axis=1)
    network = recover_network(solution(weights, "relu_bn"), X)
    convex = relu_bn_objective(X, activation(X, G), y, weights)
    assert network_objective(network, X, y, BETA) == pytest.approx(convex, rel=ROUNDING)
    D, back = network_blocks(network, X, None)
    assert relu_bn_objective(X, D, y, back) == pytest.approx(convex, rel=ROUNDING)

    new = problem.new[0]
    w, a = weights[:, :-1], weights[:, -1]
    # In float64, sums in another order: relative to the activations that are centred.
    size = np.abs(relu(X @ w)).sum() + np.abs(relu(new @ w)).sum() + np.abs(a).sum()
    trained = relu(X @ w)
    # A neuron that is off on all training samples stays so: it is its shift.
    parts = (relu(new @ w) - trained.mean(axis=1, keepdims=True)) * trained.any(axis=1)[:, None]
    parts += a[:, None] / np.sqrt(n)
    expected = (parts[0] - parts[1]).sum(axis=1, keepdims=True)
    check_scores(network, X, new, expected, 1e-12 * size)


@given(instances())
def test_there_and_back_keeps_objective_patterns_and_predictions(problem):
    whitening, K = problem.whitening, problem.shape[2]
    U = design(problem, whitening)
    G, weights = in_cones(problem.rng, U.shape[-1], problem.shape[4])
    options = {"patches": K, "pooling": problem.pooling}
    network = recover_network(solution(weights, "relu"), whitening, **options)
    D, back = network_blocks(network, problem.X, whitening)
    kept = np.linalg.norm(weights, axis=1) > 0  # (2, P)
    if kept.any():
        np.testing.assert_array_equal(D, activation(U, np.hstack([G[:, kept[0]], G[:, kept[1]]])))
    total = weights.sum(axis=2), back.sum(axis=2)
    np.testing.assert_allclose(*total, atol=1e-10 * (1 + np.abs(weights).sum()))
    again = recover_network(solution(back, "relu"), whitening, **options)
    X = torch.as_tensor(problem.X)
    torch.testing.assert_close(again(X), network(X), rtol=1e-9, atol=1e-9)


def random_network(kind, problem):
    """A network with all parameters away from their initial values, neither sorted nor balanced."""
    n, d, K, C, m = problem.shape
    generator = torch.Generator().manual_seed(int(problem.rng.integers(10**6)))
    if kind == "gated":
        G = problem.rng.standard_normal((problem.whitening.U.shape[1], m))
        gates = affine_gates(G, problem.whitening)
        network = GatedBNNetwork(gates, problem.whitening.mean, C, K * n, generator)
    else:
        network = {"relu": BNNetwork, "relu_bn": BNAfterReLUNetwork}[kind](
            d, m, 1, K * n, generator
        )
    network = network.double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.as_tensor(problem.rng.standard_normal(p.shape)))
    if kind == "relu_bn":
        return network
    return ConvolutionalNetwork(network, K, problem.pooling)


def balanced(network):
    """The same function with gamma^2 + alpha^2 = ||v||^2 in each neuron."""
    network = copy.deepcopy(network)
    top = getattr(network, "top", network)
    factor = (top.output.norm(dim=1) / torch.hypot(top.weight, top.bias)).sqrt()
    with torch.no_grad():
        top.weight.mul_(factor)
        top.bias.mul_(factor)
        top.output.div_(factor[:, None])
    return network


def convex_objective_of(kind, network, problem):
    D, weights = network_blocks(network, problem.X, problem.whitening)
    U = design(problem, problem.whitening)
    if kind == "relu":
        return relu_objective(U, D, problem.y, weights)
    return gated_objective(U, D, problem.Y, weights, "nuclear")


@pytest.mark.parametrize("kind", ["relu", "gated"])
@given(problem=instances())
def test_blocks_of_any_network_cost_at_most_the_network(problem, kind):
    network = random_network(kind, problem)
    Y = problem.y if kind == "relu" else problem.Y
    convex = convex_objective_of(kind, network, problem)
    assert convex <= network_objective(network, problem.X, Y, BETA) * (1 + ROUNDING)
    even = balanced(network)
    assert convex == pytest.approx(convex_objective_of(kind, even, problem), rel=ROUNDING)
    assert convex == pytest.approx(network_objective(even, problem.X, Y, BETA), rel=ROUNDING)


@given(instances())
def test_blocks_of_any_network_with_bn_after_relu_cost_at_most_the_network(problem):
    network = random_network("relu_bn", problem)
    X = problem.X.reshape(-1, problem.shape[1])
    y = problem.rng.standard_normal(len(X))
    D, weights = network_blocks(network, X, None)
    convex = relu_bn_objective(X, D, y, weights)
    assert convex <= network_objective(network, X, y, BETA) * (1 + ROUNDING)
    # A neuron that is dead, or whose spread is nothing, keeps its gamma, which costs and does not
    # count: there the two objectives stay apart.
    if (np.ptp(relu(X @ network.w.detach().numpy()), axis=0) > 0).all():
        even = network_objective(balanced(network), X, y, BETA)
        assert convex == pytest.approx(even, rel=ROUNDING)


@given(instances())
def test_blocks_are_in_the_cones_of_their_patterns(problem):
    network = random_network("relu", problem)
    D, weights = network_blocks(network, problem.X, problem.whitening)
    U = design(problem, problem.whitening)
    for block in weights:
        # The pattern is that of the block before it is scaled: only a rounded zero can turn.
        assert ((2.0 * D - 1) * (U @ block)).min() >= -1e-12


@pytest.mark.parametrize("model", ["relu", "relu_bn", "gated"])
def test_zero_weights_give_a_network_of_one_zero_neuron(model):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10, 3)), rng.standard_normal((10, 1))
    shapes = {"relu": (2, 4, 5), "relu_bn": (2, 4, 5), "gated": (4, 5, 1)}
    gates = {"gates": rng.standard_normal((4, 5))} if model == "gated" else {}
    data = X if model == "relu_bn" else whiten(X)
    network = recover_network(solution(np.zeros(shapes[model]), model), data, **gates)
    assert network.w.shape[1] == 1
    assert network_objective(network, X, y, BETA) == pytest.approx(squared(0, y), rel=1e-15)
    _, weights = network_blocks(network, X, None if model == "relu_bn" else data)
    assert not weights.any()


def test_block_of_a_shift_alone_is_a_neuron_without_features():
    X = np.random.default_rng(0).standard_normal((10, 3))
    weights = np.zeros((2, 4, 1))
    weights[1, 3] = 2.0
    network = recover_network(solution(weights, "relu"), whiten(X))
    np.testing.assert_allclose(network(torch.as_tensor(X)).detach(), -2 / np.sqrt(10), rtol=1e-14)
    assert network.penalty() == pytest.approx(4.0)


def test_neuron_on_a_constant_direction_has_no_block_direction():
    """A spread of rounding size gives no direction: BN makes it 0, and so does its block."""
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    X = rng.standard_normal((10, 3))
    X[:, 1] = 3.7
    X = X @ rotation.T  # now X @ rotation[:, 1] is constant, but for rounding
    network = BNNetwork(3, 2, 1, 10, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        network.w[:, 0] = torch.as_tensor(rotation[:, 1])
        network.bias.copy_(torch.tensor([0.4, -0.2]))
    whitening = whiten(X)
    D, weights = network_blocks(network, X, whitening)
    F = (D * (whitening.U @ (weights[0] - weights[1]))).sum(axis=1)
    np.testing.assert_allclose(network(torch.as_tensor(X)).detach()[:, 0], F, atol=1e-12)


def test_weights_in_torch_and_float32_are_taken():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10, 3)), rng.standard_normal(10)
    G, weights = in_cones(rng, 4, 6)
    weights = weights.astype(np.float32)
    whitening = whiten(X)
    network = recover_network(solution(torch.as_tensor(weights), "relu"), whitening)
    # The blocks are the float32 numbers, exactly, and everything after them is float64.
    U, weights = whitening.U[None], weights.astype(np.float64)
    exact = relu_objective(U, activation(U, G), y, weights)
    assert network_objective(network, X, y, BETA) == pytest.approx(exact, rel=ROUNDING)


data = np.random.default_rng(0).standard_normal((10, 3))


@pytest.mark.parametrize(
    ("weights", "model", "options", "message"),
    [
        (np.zeros((2, 4, 5)), "linear", {}, "model must be one of 'relu', 'gated', 'relu_bn'"),
        (np.zeros((4, 5)), "relu", {}, r"shape \(2, r \+ 1, P\).*got \(4, 5\)"),
        (np.zeros((3, 4, 5)), "relu", {}, r"shape \(2, r \+ 1, P\)"),
        (np.zeros((2, 3, 5)), "relu", {}, "blocks of length 3 and the whitened design has 4"),
        (np.full((2, 4, 5), np.nan), "relu", {}, "weights must be finite"),
        (
            np.zeros((2, 4, 5)),
            "relu",
            {"gates": np.zeros((4, 5))},
            "'relu' has no gates .* leave them out",
        ),
        (np.zeros((4, 5, 1)), "gated", {}, "'gated' needs the gates .* give gates=G"),
        (np.zeros((4, 5, 1)), "gated", {"gates": np.zeros((4, 6))}, r"\(4, 5, 1\) and \(4, 6\)"),
        (np.zeros((4, 5, 1)), "gated", {"gates": np.zeros((4, 5)), "patches": 3}, "multiple of"),
        (np.zeros((2, 4, 5)), "relu", {"patches": 5, "pooling": "max"}, "pooling must be one of"),
        (np.zeros((2, 4, 5)), "relu_bn", {"patches": 5}, "leave patches out"),
    ],
)
def test_recovery_refuses_what_does_not_fit(weights, model, options, message):
    with pytest.raises(ValueError, match=message):
        recover_network(solution(weights, model), whiten(data), **options)


def test_recovery_refuses_an_unknown_penalty_and_other_data():
    found = solution(np.zeros((4, 5, 1)), "gated", "lasso")
    with pytest.raises(ValueError, match="penalty must be one of 'group', 'nuclear'"):
        recover_network(found, whiten(data), gates=np.zeros((4, 5)))
    with pytest.raises(ValueError, match=r"must have shape \(n, 3\), got \(10, 2\)"):
        recover_network(solution(np.zeros((2, 4, 5)), "relu_bn"), data[:, :2])
    for model, shape, gates in (("gated", (4, 5, 1), np.zeros((4, 5))), ("relu", (2, 4, 5), None)):
        with pytest.raises(ValueError, match="the whitened design has 3 columns"):
            recover_network(solution(np.zeros(shape), model), whiten(data, rank=2), gates=gates)


def network_of(kind, C=1):
    return kind(3, 4, C, 10, torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(
    ("network", "whitening", "message"),
    [
        (network_of(PlainNetwork), whiten(data), "no way back from a PlainNetwork"),
        (DeepBNNetwork([], network_of(BNNetwork)), whiten(data), "with the activations of the"),
        (network_of(BNNetwork, 2), whiten(data), "the network has 2"),
        (network_of(BNAfterReLUNetwork, 2), None, "the network has 2"),
        (network_of(BNNetwork), whiten(data, rank=2), "at full rank"),
        (network_of(BNNetwork), whiten(data[:8]), "their own whitening"),
        (stack([network_of(BNNetwork)] * 2), whiten(data), "give one network of it"),
    ],
)
def test_way_back_refuses_what_has_no_program(network, whitening, message):
    with pytest.raises(ValueError, match=message):
        network_blocks(network, data, whitening)


def solved(model, loss="squared", penalty="group", K=1, C=1, n=9, d=2, seed=0):
    """Solve a small instance; return the solution, the recovered network and its data."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((K, n, d)) + rng.standard_normal(d)
    whitening = whiten(X.reshape(K * n, d))
    U, G = whitening.U.reshape(K, n, -1), rng.standard_normal((d + 1, 8))
    Y = rng.standard_normal((n, C))
    if loss in ("logistic", "squared_hinge"):
        Y = np.sign(Y)
    if loss == "cross_entropy":
        Y = np.eye(C)[np.arange(n) % C]
    if K == 1:
        X, U = X[0], U[0]
    A, G_of_A = (X, G[:d]) if model == "relu_bn" else (U, G)
    D = activation(A, G_of_A)
    found = solve(A, D, Y, 0.05, model=model, loss=loss, penalty=penalty, tol=1e-8)
    options = {"gates": G} if model == "gated" else {}
    options |= {"patches": K} if K > 1 else {}
    network = recover_network(found, X if model == "relu_bn" else whitening, **options)
    return found, network, X, Y


@pytest.mark.parametrize(
    ("model", "loss", "penalty", "K", "C"),
    [
        ("relu", "squared", "group", 1, 1),
        ("relu", "logistic", "group", 1, 1),
        ("relu", "squared_hinge", "group", 1, 1),
        ("relu", "squared", "group", 3, 1),
        ("relu_bn", "squared", "group", 1, 1),
        ("relu_bn", "logistic", "group", 1, 1),
        ("gated", "squared", "group", 1, 3),
        ("gated", "squared", "nuclear", 1, 3),
        ("gated", "cross_entropy", "nuclear", 1, 3),
        ("gated", "squared", "nuclear", 3, 2),
    ],
)
def test_network_of_a_solution_has_the_certified_objective(model, loss, penalty, K, C):
    found, network, X, Y = solved(model, loss, penalty, K, C)
    assert found.certificate.converged
    # Recovery takes relu(U s) for D U s: they differ by what the cones are violated by.
    slack = ROUNDING + 1e2 * found.certificate.violation
    objective = network_objective(network, X, Y, found.beta, loss)
    assert objective == pytest.approx(found.certificate.objective, rel=slack)


def exact(X, y, beta=0.1):
    """Solve the exact program of a ReLU network; return solution, whitening and network."""
    whitening = whiten(X)
    D = enumerate_arrangements(whitening.U)
    found = solve(whitening.U, D, y, beta, model="relu", tol=1e-6)
    return found, whitening, recover_network(found, whitening)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8, 1e12])
def test_network_of_a_solution_predicts_as_the_solution_does(offset):
    """Both subtract the same mean first, so that an offset of the data costs no digits."""
    rng = np.random.default_rng(0)
    X, new, y = (rng.standard_normal(shape) for shape in ((20, 2), (7, 2), 20))
    found, whitening, network = exact(X + offset, y)
    expected = found.predict(whitening.transform(new + offset))
    with torch.no_grad():
        together = network(torch.as_tensor(new + offset))
        alone = torch.cat([network(torch.as_tensor(x + offset)[None]) for x in new])
    # Sums of two features and some neurons in another order, in float64.
    for scores in (together, alone):
        np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
@pytest.mark.parametrize("pooling", ["sum", "average"])
def test_gated_cnn_of_a_solution_predicts_as_the_solution_does(penalty, pooling):
    rng = np.random.default_rng(1)
    K, n, h = 3, 12, 4
    X, new, Y = (rng.standard_normal(shape) for shape in ((K, n, h), (K, 7, h), (n, 2)))
    whitening = whiten(X.reshape(K * n, h))
    G, share = sample_gates(whitening.U, 10, 0), K if pooling == "average" else 1
    U, U_new = whitening.U.reshape(K, n, -1) / share, whitening.transform(new) / share
    found = solve(U, activation(U, G), Y, 0.05, penalty=penalty, tol=1e-6)
    network = recover_network(found, whitening, gates=G, patches=K, pooling=pooling)
    # The weights may be stored in float32, and are used in float64 by both.
    expected = found.predict(U_new, activation(U_new, G))
    np.testing.assert_allclose(network.predict(new), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("unit", [1e-200, 1e-50, 1e-20, 1e20, 1e50])
def test_network_is_the_same_in_every_unit_of_the_targets(unit):
    """Each neuron has variance 1, also in float32, whatever the size of its block."""
    rng = np.random.default_rng(2)
    X, new, y = (rng.standard_normal(shape) for shape in ((20, 2), (7, 2), 20))
    found, whitening, network = exact(X, y)
    scaled = SimpleNamespace(weights=unit * found.weights, model="relu", penalty="group")
    again = recover_network(scaled, whitening)
    np.testing.assert_array_equal(again.variance, 1.0)
    # gamma and v have the root of the unit each: a few more roundings.
    expected = unit * network.predict(new)
    np.testing.assert_allclose(again.predict(new), expected, rtol=1e-12, atol=1e-13 * unit)


@pytest.mark.parametrize("unit", [1e-200, 1e-50, 1e50])
def test_network_with_bn_after_relu_is_the_same_in_every_unit_of_the_targets(unit):
    rng = np.random.default_rng(2)
    X, new = rng.standard_normal((12, 3)), rng.standard_normal((7, 3))
    weights = np.concatenate([in_cones(rng, 3, 6)[1], rng.standard_normal((2, 1, 6))], axis=1)
    network = recover_network(solution(weights, "relu_bn"), X)
    again = recover_network(solution(unit * weights, "relu_bn"), X)
    expected = unit * network.predict(new)
    torch.testing.assert_close(again.predict(new), expected, rtol=1e-12, atol=1e-13 * unit)


def test_recovery_takes_what_the_door_takes_whatever_torchs_defaults_are():
    rng = np.random.default_rng(3)
    X, new = rng.standard_normal((20, 2)), rng.standard_normal((7, 2))
    found, whitening, network = exact(X, rng.standard_normal(20))
    D, weights = network_blocks(network, X, whitening)
    turned = SimpleNamespace(weights=found.weights[..., ::-1].astype(">f8"), model="relu")
    try:
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float16)
        again = recover_network(turned, whitening).predict(new.tolist())
        there = network_blocks(network, X[:, ::-1][:, ::-1].astype(">f8"), whitening)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    # The neurons come in another order.
    torch.testing.assert_close(again, network.predict(new), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(there[0], D)
    np.testing.assert_array_equal(there[1], weights)


def test_blocks_of_a_cnn_need_its_patches_and_their_whitening():
    problem = solved("relu", K=3)
    with pytest.raises(ValueError, match=r"shape \(3, n, 2\), got shape \(27, 2\)"):
        network_blocks(problem[1], problem[2].reshape(27, 2), None)
    with pytest.raises(TypeError, match=r"must be the Whitening of .* got NoneType"):
        network_blocks(problem[1], problem[2], None)


def test_the_way_back_is_called_by_keyword():
    X = np.random.default_rng(0).standard_normal((9, 3))
    network = BNNetwork(3, 4, 1, 9, torch.Generator().manual_seed(0))
    network, whitening = network.double().set_statistics(X), whiten(X)
    found = network_blocks(network=network, X=X, whitening=whitening)
    for ours, theirs in zip(found, network_blocks(network, X, whitening), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(TypeError, match="did you mean 'whitening'"):
        network_blocks(network, X, whiten=whitening)
