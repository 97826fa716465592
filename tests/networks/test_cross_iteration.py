"""Cross-Iteration BN against torch's BN, and against the paper's formulas written out."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convexbn.networks.cross_iteration import (
    CrossIterationBatchNorm1d,
    CrossIterationBatchNorm2d,
    cross_iteration,
)


@pytest.fixture(autouse=True)
def _in_float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Net(nn.Module):
    """A convolution, normalized, and a linear layer, normalized."""

    def __init__(self, normalization):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.norm = normalization(self.conv)
        self.linear = nn.Linear(3 * 16, 4)
        self.top = normalization(self.linear)

    def forward(self, X):
        h = torch.relu(self.norm(self.conv(X)))
        return self.top(self.linear(h.flatten(1)))


def torch_norm(layer):
    kind = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
    return kind(len(layer.weight))


def batches(count, n=5):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, 2, 4, 4, generator=generator) for _ in range(count)]


def outputs_of_training(network, count=4, start=0, optimizer=None):
    """Train for some steps; return the outputs of each."""
    optimizer = optimizer or torch.optim.SGD(network.parameters(), 0.1)
    outputs = []
    for X in batches(start + count)[start:]:
        optimizer.zero_grad()
        outputs.append(network(X))
        outputs[-1].sin().sum().backward()
        optimizer.step()
    return torch.stack(outputs).detach()


def drawn_alike(*normalizations):
    networks = [Net(normalization) for normalization in normalizations]
    for network in networks[1:]:
        network.load_state_dict(networks[0].state_dict(), strict=False)
    return networks


@pytest.mark.parametrize(
    "normalization",
    [cross_iteration(1), cross_iteration(1, compensated=False), cross_iteration(5, burn_in=9)],
    ids=["window 1", "naive window 1", "burn-in"],
)
def test_a_window_of_one_and_the_burn_in_are_torchs_bn(normalization):
    bn, ours = drawn_alike(torch_norm, normalization)
    assert dict(bn.named_parameters()).keys() == dict(ours.named_parameters()).keys()
    assert torch.equal(outputs_of_training(bn), outputs_of_training(ours))
    for name, value in bn.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    X = batches(1)[0]
    assert torch.equal(bn.eval()(X), ours.eval()(X))


def moments(z):
    """Return mu and nu of a batch (n, C, ...) by channel."""
    rows = z.transpose(0, 1).flatten(1)
    return rows.mean(1), rows.square().mean(1)


def written_out(past, layer, z, compensated):
    """Return the paper's mu_bar and var_bar; `past` holds (inputs, weights) of old iterations."""
    mus, nus = ([values] for values in moments(z))
    for X, weight in past:
        old = weight.clone().requires_grad_()
        mu, nu = moments(F.conv2d(X, old, padding=1))
        change = layer.weight.detach() - old.detach()
        for values, found in ((mu, mus), (nu, nus)):
            (jacobian,) = torch.autograd.grad(values.sum(), old, retain_graph=True)
            step = (jacobian * change).sum((1, 2, 3)) if compensated else 0
            found.append(values.detach() + step)
    mu_bar = torch.stack(mus).mean(0)
    nu_bar = torch.stack([torch.maximum(nu, mu**2) for nu, mu in zip(nus, mus, strict=True)])
    return mu_bar, nu_bar.mean(0) - mu_bar**2


@pytest.mark.parametrize("compensated", [True, False])
@pytest.mark.parametrize("scale", [0.1, 3.0])  # at 3, some nu' < mu'^2
def test_outputs_and_gradients_are_those_of_the_papers_formulas(compensated, scale):
    layer = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    norm = CrossIterationBatchNorm2d(layer, window=3, compensated=compensated)
    past, clamped = [], False
    for X in batches(6):
        with torch.no_grad():
            layer.weight += scale * torch.randn_like(layer.weight)
        z = layer(X)
        mean, variance = written_out(past, layer, z, compensated)
        shape = (-1, 1, 1)
        expected = (z - mean.reshape(shape)) / (variance + 1e-5).sqrt().reshape(shape)
        found = norm(z)
        torch.testing.assert_close(found, expected)
        clamped |= bool(past) and bool((norm.past().variance == 0).any())
        gradients = [
            torch.autograd.grad(o.sin().sum(), layer.weight, retain_graph=True)[0]
            for o in (found, expected)
        ]
        torch.testing.assert_close(*gradients)
        past = [*past, (X, layer.weight.detach().clone())][-2:]  # the window has forgotten others
    assert clamped == (compensated and scale > 1)


def test_gradients_of_inputs_and_parameters_pass_gradcheck():
    """With the past held fixed; a copy has the past of the original, and its own layer."""
    layer = nn.Conv2d(2, 3, 3, bias=False)
    norm = CrossIterationBatchNorm2d(layer, window=3)
    for X in batches(3):
        norm(layer(X))

    def f(z, weight, bias):
        twin = copy.deepcopy(norm)
        twin.layer(X)
        return torch.func.functional_call(twin, {"weight": weight, "bias": bias}, z)

    z = torch.randn(5, 3, 2, 2, requires_grad=True)
    assert torch.autograd.gradcheck(f, (z, torch.rand(3, requires_grad=True), norm.bias))


@pytest.mark.parametrize("moment", ["mean", "square"])
def test_the_error_of_a_compensated_statistic_is_of_second_order(moment):
    """It falls by 4 when the change of the weights is halved, and a naive one's by 2."""
    layer = nn.Linear(6, 4)
    X, direction = torch.randn(20, 6), torch.randn(4, 6)
    start = layer.weight.detach().clone()
    errors = {True: [], False: []}
    for step in (2e-3, 1e-3):
        with torch.no_grad():
            layer.weight.copy_(start)
        norm = CrossIterationBatchNorm1d(layer, window=2)
        norm(layer(X))
        with torch.no_grad():
            layer.weight += step * direction
        truth = moments(layer(X))[0 if moment == "mean" else 1]
        for compensated, found in errors.items():
            mean, variance = norm.past_statistics(1, compensated)
            value = mean if moment == "mean" else variance + mean**2
            found.append((value - truth).norm().item())
    assert errors[False][0] / errors[False][1] == pytest.approx(2, rel=0.02)
    if moment == "mean":  # linear in the layer's own weights: exact, to rounding
        assert max(errors[True]) < 1e-14
    else:  # quadratic: the second order is all there is, and the ratio is exact
        assert errors[True][0] / errors[True][1] == pytest.approx(4)


def test_a_moved_bias_moves_the_old_means_exactly():
    layer = nn.Linear(6, 4)
    norm = CrossIterationBatchNorm1d(layer, window=2)
    z = layer(torch.randn(9, 6))
    norm(z)
    with torch.no_grad():
        layer.bias += 3
    mean, variance = norm.past_statistics(1)
    torch.testing.assert_close(mean, z.mean(0) + 3)
    torch.testing.assert_close(variance, z.var(0, correction=0))


def test_a_large_mean_costs_no_digits():
    """The paper's nu - mu^2 would leave none of a spread of 1e-3 at a mean of 1e3 in float32."""
    layer = nn.Linear(1, 2).float()
    nn.init.constant_(layer.bias, 1e3)
    norm = CrossIterationBatchNorm1d(layer, window=3)
    for _ in range(3):
        norm(layer(torch.randn(64, 1, dtype=torch.float32)))
    spread = layer.weight.detach().square().flatten().expand(2, -1)
    assert torch.allclose(norm.past().variance, spread, rtol=0.6)  # 64 samples, 5 standard errors


def test_the_window_fills_up_and_says_which_iterations_it_holds():
    layer = nn.Linear(6, 4)
    norm = CrossIterationBatchNorm1d(layer, window=4)
    assert norm.past_iteration.tolist() == [-1, -1, -1]
    means = []
    for k in range(5):
        X = torch.randn(9, 6)
        norm(layer(X))
        means.append(layer(X).mean(0).detach())
        assert len(norm.past().mean) == min(k + 1, 3)
    assert norm.past_iteration.tolist() == [3, 4, 2]
    for tau in (1, 2, 3):
        torch.testing.assert_close(norm.past_statistics(tau).mean, means[-tau])


def test_running_statistics_are_averages_of_what_was_normalized_by():
    layer = nn.Linear(6, 4)
    norm = CrossIterationBatchNorm1d(layer, window=2, momentum=None)
    X = [torch.randn(9, 6) for _ in range(2)]
    for rows in X:
        norm(layer(rows))
    z = layer(torch.cat(X)).detach()
    torch.testing.assert_close(norm.running_mean, (z[:9].mean(0) + z.mean(0)) / 2)
    torch.testing.assert_close(norm.running_var, (z[:9].var(0) + z.var(0)) / 2)


def test_without_gradients_a_batch_is_normalized_by_itself_and_not_remembered():
    network, X = Net(cross_iteration(4)), batches(1)[0]
    outputs_of_training(network)
    before = copy.deepcopy(network.norm)
    with torch.no_grad():
        z = network.norm(network.conv(X))
    torch.testing.assert_close(z.mean((0, 2, 3)), network.norm.bias.detach())
    assert torch.equal(before.past_mean, network.norm.past_mean)
    assert before.iterations == network.norm.iterations


@pytest.mark.parametrize("how", ["state_dict", "deepcopy", "pickle"])
def test_a_saved_network_goes_on_as_if_it_had_not_been_saved(how):
    network = Net(cross_iteration(3, burn_in=1))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    outputs_of_training(network, 4, optimizer=optimizer)
    if how == "deepcopy":
        twin = copy.deepcopy(network)
    else:
        file = io.BytesIO()
        torch.save(network if how == "pickle" else network.state_dict(), file)
        file.seek(0)
        twin = torch.load(file, weights_only=how == "state_dict")
        if how == "state_dict":
            twin, state = Net(cross_iteration(3, burn_in=1)), twin
            twin.load_state_dict(state)
    assert twin.norm.layer is twin.conv
    first, second = (outputs_of_training(net, 3, start=4) for net in (network, twin))
    assert torch.equal(first, second)
    assert torch.equal(network.norm.past_mean_gradient, twin.norm.past_mean_gradient)


def test_the_layers_weights_are_saved_once():
    names = {name for name in Net(cross_iteration(3)).state_dict() if "norm" in name}
    past = {f"norm.past_{name}" for name in ("iteration", "mean", "variance")}
    past |= {f"norm.past_{name}_gradient" for name in ("mean", "variance")}
    own = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked", "iterations"}
    assert names == past | {f"norm.{name}" for name in own}


def test_checkpoints_of_other_settings_are_refused_by_name():
    network = Net(cross_iteration(3))
    with pytest.raises(ValueError, match=r"2 past iteration.*checkpoint with window 5; build"):
        network.load_state_dict(Net(cross_iteration(5)).state_dict())
    with pytest.raises(ValueError, match="checkpoint with compensated=False"):
        network.load_state_dict(Net(cross_iteration(3, compensated=False)).state_dict())
    state = network.state_dict()
    state["norm.past_mean"][0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"norm.past_mean of the checkpoint must be finite"):
        network.load_state_dict(state)


def test_what_cannot_be_normalized_is_refused():
    layer = nn.Linear(6, 4)
    norm = CrossIterationBatchNorm1d(layer, window=3)
    with pytest.raises(ValueError, match="at least 2 values per channel"):
        norm(layer(torch.randn(1, 6)))
    with pytest.raises(ValueError, match="at most the 0 iteration"):
        norm.past_statistics(1)
    norm(layer(torch.randn(5, 6)))
    with pytest.raises(ValueError, match=r"at most the 1 iteration\(s\) remembered so far, got 2"):
        norm.past_statistics(2)
    with pytest.raises(ValueError, match="that layer was not called before"):
        norm(torch.randn(5, 4))
    with pytest.raises(ValueError, match="4 channels on its axis 1"):
        norm(nn.Linear(6, 5)(torch.randn(5, 6)))
    naive = CrossIterationBatchNorm1d(layer, window=3, compensated=False)
    naive(layer(torch.randn(5, 6)))
    with pytest.raises(ValueError, match="with gradients of that time"):
        naive.past_statistics(1)
    for options in ({"window": 0}, {"window": 2.0}, {"window": 2, "burn_in": -1}):
        with pytest.raises(ValueError, match="must be"):
            CrossIterationBatchNorm1d(layer, **options)


def test_a_batch_that_is_not_finite_does_not_spoil_the_next_one():
    layer = nn.Linear(6, 4)
    norm = CrossIterationBatchNorm1d(layer, window=3)
    X = torch.randn(5, 6)
    norm(layer(X))
    assert norm(layer(X / 0)).isnan().any()
    assert norm(layer(X)).isfinite().all()


@pytest.mark.parametrize("groups", [1, 2])
def test_large_mean_of_the_inputs_costs_no_digits(groups):
    """Where weights have not moved, an old variance is what it was, up to rounding like BN's own.

    Inputs of mean 1e3 are stored to 6e-5; what is left of that mean once cost up to 20 %.
    """
    for seed in range(5):
        torch.manual_seed(seed)
        layer = nn.Conv2d(4, 6, 3, groups=groups, bias=False).float()
        norm = cross_iteration(3)(layer)
        norm(layer(1e3 + torch.randn(8, 4, 5, 5).float()))
        found, then = norm.past_statistics(1), norm.past_statistics(1, compensated=False)
        torch.testing.assert_close(found.variance, then.variance, rtol=1e-3, atol=0)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_in_mixed_precision_statistics_are_in_single_precision(half):
    """A channel of mean 30 and variance 1e5 has neither in half precision."""
    layer = nn.Linear(6, 4).float()
    nn.init.constant_(layer.bias, 30.0)
    layers = [layer, copy.deepcopy(layer)]
    mixed, full = (CrossIterationBatchNorm1d(layer, window=3) for layer in layers)
    for scale in (1, 1, 1e3):
        X = scale * torch.randn(2000, 6).float()
        with torch.autocast("cpu", dtype=half):
            found = mixed(layers[0](X))
        expected = full(layers[1](X))
        assert found.dtype == half
        assert mixed.past_mean.dtype == torch.float32
        # Of 2,000 roundings of 0.06, half a unit of bfloat16 at 30, in units of a deviation of 0.6.
        torch.testing.assert_close(found.float().mean(0), expected.mean(0), rtol=0, atol=0.01)
    assert mixed.iterations == 3
    assert (mixed.past_variance > 65504).any()  # the largest float16


def test_a_module_of_half_precision_takes_its_own_kind():
    layer = nn.Linear(6, 4).bfloat16()
    norm = CrossIterationBatchNorm1d(layer, window=3)
    X = torch.randn(50, 6).bfloat16()
    outputs = [norm(layer(X)) for _ in range(3)]
    assert outputs[-1].dtype == torch.bfloat16
    torch.testing.assert_close(outputs[-1], outputs[0], rtol=0, atol=0.05)  # weights have not moved
