"""Gated, convolutional, deep and post-ReLU BN networks against torch's layers and the formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from network_kinds import (
    KINDS,
    ROUNDING,
    C,
    K,
    build,
    d,
    data,
    deep,
    disturb,
    draw,
    gated,
    generator,
    m,
    n,
)
from torch import nn

from convexbn.arrangements.gates import activation
from convexbn.networks import normalization
from convexbn.networks.architectures import (
    BNAfterReLUNetwork,
    BNLayer,
    ConvolutionalNetwork,
    DeepBNNetwork,
    GatedBNNetwork,
    affine_gates,
)
from convexbn.networks.objectives import batch_objective, network_objective
from convexbn.networks.two_layer import BNNetwork, PlainNetwork, stack
from convexbn.programs.losses import LOSSES
from convexbn.whitening import whiten

kinds = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plain"])


def torch_norm(layer):
    """torch's BatchNorm1d with the layer's scale and shift."""
    # torch refuses eps = 0; added to a variance of order 1 this is 0.
    norm = nn.BatchNorm1d(layer.w.shape[1], eps=1e-300, dtype=torch.float64)
    norm.load_state_dict({"weight": layer.weight, "bias": layer.bias}, strict=False)
    return norm


def running(layer):
    """The layer's statistics under torch's names."""
    return {"running_mean": layer.mean, "running_var": layer.variance}


def torch_deep(network):
    norms = [torch_norm(layer) for layer in (*network.layers, network.top)]

    def forward(X):
        for layer, norm in zip((*network.layers, network.top), norms, strict=True):
            X = torch.relu(norm(X @ layer.w))
        return X @ network.top.output

    return forward, norms


def test_gated_network_is_the_papers_formula_on_the_whitened_data():
    X, G = draw(n, d).numpy(), draw(d + 1, m, seed=3).numpy()
    whitening = whiten(X)
    gates = affine_gates(G, whitening)
    network = disturb(GatedBNNetwork(gates, whitening.mean, C, n, generator(1)))
    gamma, alpha, v, w = (
        p.detach().numpy() for p in (network.gamma, network.alpha, network.v, network.w)
    )
    expected = np.zeros((n, C))
    for j in range(m):
        z = X @ w[:, j]
        bn = gamma[j] * (z - z.mean()) / np.linalg.norm(z - z.mean()) + alpha[j] / math.sqrt(n)
        expected += np.outer((whitening.U @ G[:, j] >= 0) * bn, v[j])
    scores = network(torch.as_tensor(X)).detach().numpy()
    np.testing.assert_allclose(scores, expected, **ROUNDING)


@given(st.integers(3, 40), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([0.0, 1e6]))
def test_gates_of_the_whitened_design_are_the_same_on_samples(n, d, seed, offset):
    rng = np.random.default_rng(seed)
    X, new = (rng.standard_normal((rows, d)) + offset for rows in (n, 5))
    whitening = whiten(X)
    G = rng.standard_normal((whitening.U.shape[1], 20))
    gates = affine_gates(G, whitening)
    network = GatedBNNetwork(gates, whitening.mean, 1, n, generator(0))
    # A normal gate is further from each sample than rounding, but with probability 1e-8.
    for samples in (X, new):
        expected = activation(whitening.transform(samples), G)
        np.testing.assert_array_equal(network.mask(torch.as_tensor(samples)).numpy(), expected)


def test_gates_stay_as_they_are_in_training():
    network = build("gated")
    assert {name for name, _ in network.named_parameters()} == {"w", "weight", "bias", "output"}
    float32 = network.float()
    assert float32(draw(n, d).float()).dtype == torch.float32


def test_bn_after_relu_is_torchs_in_training_and_evaluation():
    network, X, new = build("after relu"), draw(n, d), draw(5, d, seed=9)
    norm = torch_norm(network)
    torch.testing.assert_close(
        network(X), norm(torch.relu(X @ network.w)) @ network.output, **ROUNDING
    )
    network.set_statistics(X).eval()
    norm.load_state_dict(running(network), strict=False)
    norm.eval()
    expected = norm(torch.relu(new @ network.w)) @ network.output
    torch.testing.assert_close(network(new), expected, **ROUNDING)


def test_bn_after_relu_normalizes_a_dead_neuron_to_its_shift():
    network, X = build("after relu"), draw(n, d).abs()
    with torch.no_grad():
        network.w[:, 0] = -1.0
    scores = network(X)
    scores.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert network.weight.grad[0] == 0
    torch.testing.assert_close(network.hidden(X)[:, 0], network.bias[0].expand(n), **ROUNDING)


@pytest.mark.parametrize("widths", [(d, m), (d, 6, m), (d, 6, 4, 5, m)])
def test_deep_network_is_torchs_layers_in_training_and_evaluation(widths):
    network, X, new = disturb(deep(2, widths)), draw(n, d), draw(5, d, seed=9)
    layers, norms = torch_deep(network)
    torch.testing.assert_close(network(X), layers(X), **ROUNDING)
    network.set_statistics(X).eval()
    for norm, layer in zip(norms, (*network.layers, network.top), strict=True):
        norm.load_state_dict(running(layer), strict=False)
        norm.eval()
    torch.testing.assert_close(network(new), layers(new), **ROUNDING)
    torch.testing.assert_close(network.predict(new), layers(new), **ROUNDING)


def test_deep_network_is_its_top_on_the_last_activations():
    network, X, Y = build("deep"), draw(n, d), draw(n, C, seed=2)
    A = network.activations(X)
    torch.testing.assert_close(network(X), network.top(A), **ROUNDING)
    assert network_objective(network, X, Y, 0.3) == pytest.approx(
        network_objective(network.top, A, Y, 0.3), rel=1e-12
    )


def test_deep_layers_must_fit_each_other():
    layers = [BNLayer(d, 6, generator(0)), BNLayer(5, m, generator(0))]
    with pytest.raises(ValueError, match="6 neurons below one of 5"):
        DeepBNNetwork(layers, BNNetwork(m, m, C, n, generator(0)))


@pytest.mark.parametrize(("pooling", "factor"), [("sum", 1.0), ("average", 1 / K)])
@pytest.mark.parametrize("kind", ["bn", "gated", "after relu", "plain"])
def test_convolution_pools_the_outputs_of_the_stacked_patches(kind, pooling, factor):
    rows = {"gated": lambda: gated(K * n, 1), "plain": lambda: PlainNetwork(d, m, C, K * n, gen)}
    gen = generator(1)
    after = {"bn": BNNetwork, "after relu": BNAfterReLUNetwork}
    top = rows[kind]() if kind in rows else after[kind](d, m, C, K * n, gen)
    top, X = disturb(top), draw(K, n, d)
    network = ConvolutionalNetwork(top, K, pooling)
    outputs = top(torch.cat([*X]))
    expected = factor * sum(outputs[k * n : (k + 1) * n] for k in range(K))
    torch.testing.assert_close(network(X), expected, **ROUNDING)


def test_convolution_refuses_what_cannot_be():
    top = BNNetwork(d, m, C, 10, generator(0))
    with pytest.raises(ValueError, match="multiple of K = 4, got 10"):
        ConvolutionalNetwork(top, 4)
    with pytest.raises(ValueError, match="pooling must be one of 'sum', 'average'"):
        ConvolutionalNetwork(top, 5, "max")


def test_gates_and_centre_must_fit():
    with pytest.raises(ValueError, match=r"\(d \+ 1, m\) and \(d,\), got \(4, 2\) and \(4,\)"):
        GatedBNNetwork(draw(4, 2), draw(4), 1, n, generator(0))


@kinds
def test_objective_is_loss_and_decay_of_the_last_layers_in_the_papers_units(kind):
    network, X, Y, beta = build(kind), data(kind), draw(n, C, seed=2), 0.7
    top = getattr(network, "top", network)
    scale = {"cnn": K * n, "gated cnn": K * n}.get(kind, n) ** 0.5
    decay = scale * sum(p.square().sum() for p in (top.weight, top.bias, top.output))
    expected = (0.5 * (network(X) - Y).square().sum() + beta / 2 * decay).item()
    assert network_objective(network, X, Y, beta) == pytest.approx(expected, rel=1e-12)


@kinds
def test_predictions_do_not_depend_on_the_blocks(monkeypatch, kind):
    network, X = build(kind), data(kind)
    monkeypatch.setattr(normalization, "BLOCK", 5 * m)
    # With the statistics of X itself, f(X) is the full batch's.
    torch.testing.assert_close(network.set_statistics(X).predict(X), network(X), **ROUNDING)


@kinds
def test_gradient_is_the_derivative(kind):
    network, X = build(kind), data(kind)
    names = [name for name, _ in network.named_parameters()]

    def scores(*values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (X,))

    assert torch.autograd.gradcheck(scores, tuple(network.parameters()))


def targets(loss):
    if loss in ("logistic", "squared_hinge"):
        return draw(n, C, seed=2).sign()
    return torch.eye(C, dtype=torch.float64)[torch.arange(n) % C]


@pytest.mark.parametrize("loss", LOSSES)
@kinds
def test_stack_has_every_members_objective_and_gradient(kind, loss):
    members, X, Y = [build(kind, seed) for seed in (1, 20, 300)], data(kind), targets(loss)
    betas = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    stacked = stack(members)
    objectives = batch_objective(stacked, X, Y, betas, loss)
    objectives.sum().backward()
    for e, (member, beta) in enumerate(zip(members, betas.tolist(), strict=True)):
        alone = batch_objective(member, X, Y, beta, loss)
        alone.backward()
        assert objectives[e].item() == pytest.approx(alone.item(), rel=1e-12)
        assert network_objective(member, X, Y, beta, loss) == pytest.approx(alone.item(), rel=1e-12)
        for together, own in zip(stacked.parameters(), member.parameters(), strict=True):
            torch.testing.assert_close(together.grad[e], own.grad, rtol=1e-9, atol=1e-10)


@kinds
def test_stack_predicts_as_its_members(kind):
    members, X = [build(kind, seed) for seed in (1, 20)], data(kind)
    stacked = stack(members)
    scores = stacked.set_statistics(X).predict(X)
    for e, member in enumerate(members):
        torch.testing.assert_close(scores[e], member(X), **ROUNDING)
        torch.testing.assert_close(stacked.penalty()[e], member.penalty(), **ROUNDING)


@kinds
def test_decayed_names_the_parameters_of_the_penalty(kind):
    network = build(kind)
    named = dict(network.named_parameters())
    squares = sum(named[name].square().sum() for name in network.decayed)
    torch.testing.assert_close(network.penalty(), network.scale**2 * squares.detach(), **ROUNDING)


@kinds
def test_initialization_is_fixed_by_the_generator(kind):
    first, again, other = (KINDS[kind](seed) for seed in (3, 3, 4))
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.w, other.w)


@kinds
@pytest.mark.parametrize(("rows", "message"), [(n - 1, "one row per sample"), (n, "of shape")])
def test_objective_refuses_other_samples(kind, rows, message):
    X = data(kind)
    with pytest.raises(ValueError, match=message):
        network_objective(build(kind), X[..., :-1], torch.zeros(rows, C), 0.1)


@pytest.mark.parametrize(("kind", "shape"), [("cnn", (K * n, d)), ("bn", (K, n, d))])
def test_objective_refuses_patches_and_samples_in_each_others_place(kind, shape):
    with pytest.raises(ValueError, match="the network is for X of shape"):
        network_objective(build(kind), torch.zeros(shape), torch.zeros(n, C), 0.1)
