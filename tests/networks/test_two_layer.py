"""The networks against torch's own BatchNorm, the paper's formulas and a known optimum."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from convexbn.networks import normalization
from convexbn.networks.objectives import network_objective
from convexbn.networks.two_layer import BNNetwork, PlainNetwork, stack

n, d, m, C = 30, 6, 8, 3

# Float64 results of the same sums in another order: some hundred roundings of 1e-16.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(kind, seed=1):
    """A float64 network whose parameters are all away from their initial zeros and ones."""
    network = kind(d, m, C, n, torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        for k, p in enumerate(network.parameters()):
            p.add_(0.3 * draw(*p.shape, seed=seed + k + 1))
    return network


def torch_layers(network):
    """The same network from torch's modules: linear, BatchNorm1d, ReLU, linear."""
    # torch refuses eps = 0; added to a variance of order 1 this is 0.
    norm = nn.BatchNorm1d(network.w.shape[1], eps=1e-300, dtype=torch.float64)
    norm.load_state_dict({"weight": network.weight, "bias": network.bias}, strict=False)
    return lambda X: torch.relu(norm(X @ network.w)) @ network.output, norm


def test_bn_network_is_torch_batch_norm_in_training_and_evaluation():
    network, X = build(BNNetwork), draw(n, d)
    layers, norm = torch_layers(network)
    torch.testing.assert_close(network(X), layers(X), **ROUNDING)

    network.set_statistics(X).eval()
    running = {"running_mean": network.mean, "running_var": network.variance}
    norm.load_state_dict(running, strict=False)
    norm.eval()
    new = draw(5, d, seed=9)
    torch.testing.assert_close(network(new), layers(new), **ROUNDING)


def test_bn_network_is_the_papers_formula():
    network, X = build(BNNetwork), draw(n, d)
    z = X @ network.w
    centred = z - z.mean(dim=0)
    normalized = network.gamma * centred / centred.norm(dim=0) + network.alpha / math.sqrt(n)
    torch.testing.assert_close(network(X), torch.relu(normalized) @ network.v, **ROUNDING)


def test_objective_is_n_times_the_mean_objective_of_torchs_scale():
    network, X, Y, beta_p = build(BNNetwork), draw(n, d), draw(n, C, seed=2), 0.03
    layers, _ = torch_layers(network)
    mean_loss = 0.5 * (layers(X) - Y).square().sum() / n
    decay = sum(p.square().sum() for p in (network.weight, network.bias, network.output))
    expected = n * (mean_loss + beta_p / 2 * decay).item()
    beta = math.sqrt(n) * beta_p
    assert network_objective(network, X, Y, beta) == pytest.approx(expected, rel=1e-12)
    assert network.decay(beta) == pytest.approx(beta_p, rel=1e-12)


def test_objective_decays_gamma_alpha_and_v():
    network, X, Y, beta = build(BNNetwork), draw(n, d), draw(n, C, seed=2), 0.7
    decay = sum(p.square().sum() for p in (network.gamma, network.alpha, network.v))
    expected = (0.5 * (network(X) - Y).square().sum() + beta / 2 * decay).item()
    assert network_objective(network, X, Y, beta) == pytest.approx(expected, rel=1e-12)


def test_objective_without_bn_decays_every_parameter():
    network, X, Y, beta = build(PlainNetwork), draw(n, d), draw(n, C, seed=2), 0.7
    hidden = torch.relu(X @ network.w + network.bias)
    decay = sum(p.square().sum() for p in network.parameters())
    expected = (0.5 * (hidden @ network.v - Y).square().sum() + beta / 2 * decay).item()
    assert network_objective(network, X, Y, beta) == pytest.approx(expected, rel=1e-12)


def optimal_network(X, Y, beta):
    """Theorem for rank n - 1: one neuron per class, whose activation is (1 - beta/||y||) y."""
    n, classes = Y.shape
    network = BNNetwork(X.shape[1], classes, classes, n, torch.Generator()).double()
    norms = Y.norm(dim=0)
    size = (norms - beta).clamp_min(0).sqrt()
    with torch.no_grad():
        network.w.copy_(torch.linalg.pinv(X - X.mean(dim=0)) @ Y)
        network.weight.copy_(size * (Y - Y.mean(dim=0)).norm(dim=0) / norms / n**0.25)
        network.bias.copy_(size * math.sqrt(n) * Y.mean(dim=0) / norms / n**0.25)
        network.output.copy_(torch.diag(size / n**0.25))
    return network


def test_objective_attains_the_closed_form_optimum_and_no_neighbour_is_below():
    n, beta = 9, 0.4
    X, labels = draw(n, 2 * n), torch.arange(n) % C
    Y = nn.functional.one_hot(labels, C).double()
    norms = Y.norm(dim=0)
    expected = (beta * norms - beta**2 / 2).sum().item()
    network = optimal_network(X, Y, beta)
    # The pseudo-inverse loses the digits of X's condition number, about 10.
    assert network_objective(network, X, Y, beta) == pytest.approx(expected, rel=1e-10)
    for seed in range(5):
        neighbour = copy.deepcopy(network)
        with torch.no_grad():
            for p in neighbour.parameters():
                p.add_(1e-2 * draw(*p.shape, seed=seed))
        assert network_objective(neighbour, X, Y, beta) > expected


def test_positive_factors_on_the_first_layer_change_nothing():
    network, X, Y = build(BNNetwork), draw(n, d), draw(n, C, seed=2)
    scaled = copy.deepcopy(network)
    with torch.no_grad():
        scaled.w.mul_(torch.logspace(-3, 3, m, dtype=torch.float64))
    torch.testing.assert_close(scaled(X), network(X), **ROUNDING)
    assert network_objective(scaled, X, Y, 0.1) == pytest.approx(
        network_objective(network, X, Y, 0.1), rel=1e-12
    )


@pytest.mark.parametrize("kind", [BNNetwork, PlainNetwork])
def test_gradient_is_the_derivative(kind):
    network, X = build(kind), draw(n, d)
    names = [name for name, _ in network.named_parameters()]

    def scores(*values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (X,))

    assert torch.autograd.gradcheck(scores, tuple(network.parameters()))


@pytest.mark.parametrize("offset", [0.0, 3.7])
def test_constant_pre_activation_is_normalized_to_zero_with_finite_gradients(offset):
    network, X = build(BNNetwork), draw(n, d)
    X[:, 0] = offset
    with torch.no_grad():
        network.w[:, 0] = 0.0
        network.w[0, 0] = 1.3  # the first neuron sees the constant feature alone
    scores = network(X)
    scores.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert network.weight.grad[0] == 0
    network.w.data[:, 0] = 0.0
    torch.testing.assert_close(network(X), scores, **ROUNDING)


def test_constant_float32_pre_activation_is_not_blown_up_from_rounding_errors():
    network = BNNetwork(d, m, C, n, torch.Generator().manual_seed(0))
    X = 0.1 * torch.ones(n, d) * torch.arange(1, d + 1)
    # Every neuron is constant and bias is 0: any output is amplified rounding.
    assert network(X).abs().max() == 0


@pytest.mark.parametrize("block", [2**22, 7 * m])
def test_statistics_are_the_whole_training_sets(monkeypatch, block):
    monkeypatch.setattr(normalization, "BLOCK", block)
    network, X = build(BNNetwork), draw(n, d)
    z = X.numpy() @ network.w.detach().numpy()
    network.set_statistics(X)
    mean, variance = network.mean, network.variance
    np.testing.assert_allclose(mean.numpy(), z.mean(axis=0), **ROUNDING)
    np.testing.assert_allclose(variance.numpy(), z.var(axis=0), **ROUNDING)


def test_statistics_in_float32_survive_a_large_common_offset():
    network = BNNetwork(d, m, C, n, torch.Generator().manual_seed(0))
    X = (draw(n, d) + 1000.0).float()
    z = X.double().numpy() @ network.w.detach().double().numpy()
    network.set_statistics(X)
    # Without centring, 1000^2 * 6e-8 = 0.06 of error in squares of size 1.
    np.testing.assert_allclose(network.variance.numpy(), z.var(axis=0), rtol=1e-5)


def test_predictions_do_not_depend_on_the_blocks(monkeypatch):
    network, X = build(BNNetwork), draw(n, d)
    monkeypatch.setattr(normalization, "BLOCK", 7 * m)
    # With the statistics of X itself, f(X) is the full batch's.
    torch.testing.assert_close(network.set_statistics(X).predict(X), network(X), **ROUNDING)


@pytest.mark.parametrize("kind", [BNNetwork, PlainNetwork])
def test_stack_is_every_network_at_once(kind):
    members, X = [build(kind, seed) for seed in (1, 20, 300)], draw(n, d)
    stacked = stack(members)
    scores, penalties = stacked.set_statistics(X).predict(X), stacked.penalty()
    for e, member in enumerate(members):
        torch.testing.assert_close(scores[e], member(X), **ROUNDING)
        torch.testing.assert_close(penalties[e], member.penalty(), **ROUNDING)


@pytest.mark.parametrize("kind", [BNNetwork, PlainNetwork])
def test_initialization_is_fixed_by_the_generator(kind):
    first, again, other = (
        kind(d, m, C, n, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(first.w, other.w)
    assert first.w.dtype == torch.float32


def test_initialization_has_the_stated_spread():
    network = BNNetwork(200, 300, 100, n, torch.Generator().manual_seed(0))
    # Standard deviations of 30,000 and more draws: relative error below 0.5 % in each, times 4.
    assert network.w.std().item() == pytest.approx(math.sqrt(2 / 200), rel=0.02)
    assert network.output.std().item() == pytest.approx(math.sqrt(1 / 300), rel=0.02)


def test_objective_takes_numpy_and_one_dimensional_targets():
    network = BNNetwork(d, m, 1, n, torch.Generator().manual_seed(0))
    X, y = draw(n, d), draw(n, seed=2)
    column = network_objective(network, X, y[:, None], 0.1)
    assert network_objective(network, X.numpy(), y.numpy(), 0.1) == column


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 0.0}, "beta must be > 0"),
        ({"loss": "hinge"}, "loss must be one of 'squared'"),
        ({"Y": draw(n, C), "loss": "logistic"}, "label"),
        ({"Y": draw(n, C), "loss": "cross_entropy"}, "one-hot"),
        ({"X": torch.full((n, d), math.nan)}, "X must be finite"),
        ({"Y": torch.zeros(n - 1, C)}, "X and Y must have one row per sample"),
        ({"X": torch.zeros(n, d + 1)}, "the network is for X of shape"),
        ({"X": torch.zeros(2 * n, d), "Y": torch.zeros(2 * n, C)}, "samples it was trained on"),
        ({"Y": torch.zeros(n, C + 1)}, "Y of shape"),
    ],
)
def test_objective_refuses_what_does_not_fit(change, message):
    arguments = {"X": draw(n, d), "Y": draw(n, C), "beta": 0.1} | change
    with pytest.raises(ValueError, match=message):
        network_objective(build(BNNetwork), **arguments)
