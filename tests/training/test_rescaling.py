"""Weight rescaling: which layers it finds, and that it changes no function and no resumed run."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convexbn.networks.cross_iteration import CrossIterationBatchNorm2d
from convexbn.networks.residual import ResidualNetwork
from convexbn.training.rescaling import STEPS, WeightRescaling, normalized_layers

NO_EPS = 1e-100  # PyTorch refuses 0; a variance does not change when this is added
# Rounding in float64, of sums of some ten terms.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


def convolutional(eps=NO_EPS) -> nn.Sequential:
    """A small network in float64 with filters of many norms, biases, and running statistics."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=True),
        nn.BatchNorm2d(4, eps=eps),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.BatchNorm2d(6, eps=eps),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 5),
        nn.BatchNorm1d(5, eps=eps),
        nn.Linear(5, 2),
    ).double()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(torch.rand(len(p), *[1] * (p.ndim - 1), dtype=p.dtype) * 5 + 0.2)
        for _ in range(3):
            network(torch.randn(8, 3, 6, 6, dtype=torch.float64))
    return network


def images() -> torch.Tensor:
    return torch.randn(7, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def sgd(network, **options):
    return torch.optim.SGD(network.parameters(), lr=0.1, **options)


def norms(layer) -> torch.Tensor:
    return layer.weight.detach().flatten(1).norm(dim=1)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_rescaling_leaves_the_function_of_the_network_as_it_is(kind):
    """Also with biases, groups, and after linear layers: to rounding without eps."""
    network = convolutional()
    rescaling, before = WeightRescaling(network, sgd(network), 1), copy.deepcopy(network)
    rescaling.rescale()
    for index in (0, 3, 7):
        torch.testing.assert_close(norms(network[index]), torch.ones_like(norms(network[index])))
    assert torch.equal(network[9].weight, before[9].weight)
    outputs = [net.train(kind == "training")(images()) for net in (network, before)]
    torch.testing.assert_close(*outputs, **ROUNDING)


@pytest.mark.parametrize("compensated", [True, False])
def test_what_cross_iteration_bn_remembers_is_rescaled_too(compensated):
    """The next iterations are the same with filters rescaled and not: rounding of float64."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(2, 5, 3).double()
    norm = CrossIterationBatchNorm2d(layer, 4, compensated=compensated, eps=NO_EPS)
    network = nn.Sequential(layer, norm)
    batches = torch.randn(5, 6, 2, 4, 4, generator=generator, dtype=torch.float64)
    for X in batches[:3]:
        network(X)
        with torch.no_grad():
            layer.weight.add_(0.1 * torch.randn(5, 2, 3, 3, generator=generator))
    other = copy.deepcopy(network)
    WeightRescaling(other, torch.optim.SGD(other.parameters(), 0.1), every=1).rescale()
    assert not torch.allclose(other[0].weight, layer.weight)
    for X in batches[3:]:
        torch.testing.assert_close(other(X), network(X), rtol=1e-10, atol=1e-11)


def test_eps_alone_makes_a_difference():
    """A variance v is normalized by sqrt(v + eps): a share eps |r^2 - 1| / (2 v) of the output."""
    eps = 1e-5
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, eps=eps), nn.Identity()).double()
    X = torch.randn(20, 3, dtype=torch.float64)
    r, v = norms(network[0]), network[0](X).detach().var(dim=0, correction=0)
    before = network(X).detach()
    WeightRescaling(network, sgd(network), 1).rescale()
    share = (network(X).detach() / before - 1).abs().mean(dim=0)
    expected = eps * (r**2 - 1).abs() / (2 * v)
    torch.testing.assert_close(share, expected, rtol=1e-2, atol=1e-9)  # to second order in eps / v


def test_a_filter_of_norm_zero_is_left_alone():
    network = convolutional()
    with torch.no_grad():
        network[0].weight[1] = 0
    before = copy.deepcopy(network.state_dict())
    WeightRescaling(network, sgd(network), 1).rescale()
    assert all(values.isfinite().all() for values in network.state_dict().values())
    for name in ("0.weight", "0.bias", "1.running_mean", "1.running_var"):
        assert torch.equal(network.state_dict()[name][1], before[name][1])


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1}])
@pytest.mark.parametrize("every", [1, 3])
def test_weights_are_rescaled_after_every_so_many_steps(options, every):
    network = convolutional()
    optimizer = sgd(network, **options)
    WeightRescaling(network, optimizer, every)
    for step in range(1, 8):
        _step(network, optimizer)
        is_unit = bool(((norms(network[3]) - 1).abs() < 1e-9).all())
        assert is_unit == (step % every == 0)


def _step(network, optimizer) -> None:
    optimizer.zero_grad()
    network(images()).sigmoid().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
@pytest.mark.parametrize("loads_first", [False, True])
def test_a_resumed_training_is_the_same_to_the_last_bit(kind, loads_first):
    def trainer(network):
        optimizer = kind(network.parameters(), lr=0.01)
        return optimizer, WeightRescaling(network, optimizer, 3)

    network = convolutional()
    optimizer, _ = trainer(network)
    for _ in range(4):
        _step(network, optimizer)
    saved = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    for _ in range(5):
        _step(network, optimizer)

    resumed = convolutional()
    if loads_first:
        other = kind(resumed.parameters(), lr=0.01)
        other.load_state_dict(saved[1])
        WeightRescaling(resumed, other, 3)
    else:
        other, _ = trainer(resumed)
        other.load_state_dict(saved[1])
    resumed.load_state_dict(saved[0])
    assert other.param_groups[0][STEPS] == 4
    for _ in range(5):
        _step(resumed, other)
    for name, values in network.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name


def test_the_count_of_steps_is_no_trouble_to_the_optimizer():
    network = convolutional()
    optimizer = sgd(network)
    WeightRescaling(network, optimizer, 1)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    _step(network, optimizer)
    scheduler.step()
    assert STEPS in repr(optimizer)
    assert copy.deepcopy(optimizer.state_dict())["param_groups"][0][STEPS] == 1


def test_a_state_without_a_count_is_refused():
    network = convolutional()
    optimizer = sgd(network)
    plain = copy.deepcopy(optimizer.state_dict())
    WeightRescaling(network, optimizer, 1)
    optimizer.load_state_dict(plain)
    with pytest.raises(ValueError, match="saved without weight rescaling"):
        _step(network, optimizer)


def test_a_detached_hook_does_nothing():
    network, twin = convolutional(), convolutional()
    optimizer, plain = sgd(network), sgd(twin)
    rescaling = WeightRescaling(network, optimizer, 1)
    rescaling.remove()
    optimizer.load_state_dict(sgd(convolutional()).state_dict())
    _step(network, optimizer)
    _step(twin, plain)
    assert STEPS not in optimizer.param_groups[0]
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    network[7](torch.zeros(2, 3, 24, dtype=torch.float64))  # of any shape again


def test_filters_are_found_in_networks_of_torchvision():
    from torchvision.models import resnet18, vgg16_bn

    found = normalized_layers(vgg16_bn())
    assert list(found)[:2] == ["features.0", "features.3"]
    assert found["features.0"] == "features.1"
    assert len(found) == 13  # all convolutions, and none of the classifier's layers
    network = resnet18()
    convolutions = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    assert sorted(normalized_layers(network)) == sorted(convolutions)


def test_filters_are_found_in_a_residual_network():
    network = ResidualNetwork(8, 10, width=4, generator=torch.Generator().manual_seed(0))
    convolutions = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    found = normalized_layers(network)
    assert sorted(found) == sorted(convolutions)
    assert found["stem"] == "stem_normalization"
    bare = ResidualNetwork(8, 10, None, width=4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="no BN to rescale"):
        normalized_layers(bare)


def test_a_linear_layer_counts_where_bn_follows():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    assert normalized_layers(network) == {"0": "1"}


class Of(nn.Module):
    """Two layers, a normalization and a classifier with the forward pass that a test gives."""

    def __init__(self, forward, normalization=None):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.bn = normalization or nn.BatchNorm1d(4)
        self.bn2 = nn.BatchNorm1d(4)
        self.pass_through = forward

    def forward(self, x):
        return self.pass_through(self, x)


def _in_place(m, x):
    h = m.a(x)
    h += 1
    return m.bn(h)


# b is always followed by bn2 and nothing else, and a by bn: where it counts no more.
NOT_FOLLOWED = {
    "another use of the output": lambda m, x: (h := m.a(x)) + m.bn(h),
    "a function between": lambda m, x: m.bn(F.relu(m.a(x))),
    "a change in place": _in_place,
    "a layer called twice": lambda m, x: m.bn(m.a(m.a(x))),
    "a normalization called twice": lambda m, x: m.bn(m.bn(m.a(x))),
    "a weight used elsewhere": lambda m, x: F.linear(m.bn(m.a(x)), m.a.weight),
    "a bias used elsewhere": lambda m, x: m.bn(m.a(x)) + m.a.bias,
    "a returned output": lambda m, x: m.a(x),
}


@pytest.mark.parametrize("forward", NOT_FOLLOWED.values(), ids=NOT_FOLLOWED)
def test_only_what_goes_into_bn_alone_counts(forward):
    network = Of(lambda m, x: forward(m, m.bn2(m.b(x))))
    assert normalized_layers(network) == {"b": "bn2"}


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_shared_parameter_does_not_count(name):
    network = Of(lambda m, x: m.c(m.bn(m.a(m.bn2(m.b(x))))))
    assert list(normalized_layers(network)) == ["b", "a"]
    setattr(network.c, name, getattr(network.a, name))
    assert normalized_layers(network) == {"b": "bn2"}


def test_a_weight_that_is_computed_does_not_count():
    network = Of(lambda m, x: m.bn(m.a(m.bn2(m.b(x)))))
    nn.utils.parametrizations.weight_norm(network.a)
    assert normalized_layers(network) == {"b": "bn2"}


@pytest.mark.parametrize("other", [nn.GroupNorm(2, 4), nn.LayerNorm(4)])
def test_normalizations_over_channels_are_none(other):
    network = Of(lambda m, x: m.c(m.bn(m.a(x))), other)
    with pytest.raises(ValueError, match="no BN to rescale"):
        normalized_layers(network)


class Own(nn.Module):
    """A normalization of each channel that holds the layer before it, whose graph is its own."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.register_buffer("running_var", torch.ones(4))

    def forward(self, x):
        return x / x.std(dim=0) if len(x) > 1 else x


def test_other_types_of_normalization_can_be_named():
    network = Of(lambda m, x: m.c(m.bn(m.a(x))))
    network.bn = Own(network.a)
    with pytest.raises(ValueError, match="no BN to rescale"):
        normalized_layers(nn.Sequential(network.a, nn.GroupNorm(1, 4)))
    assert normalized_layers(network, (Own,)) == {"a": "bn"}
    before = norms(network.a)
    WeightRescaling(network, sgd(network), 1, normalizations=(Own,)).rescale()
    torch.testing.assert_close(network.bn.running_var, 1 / before**2)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.bn(m.a(x)) if x.sum() > 0 else x,
        lambda m, x: m.bn(m.a(x)) * len(x),
        lambda m, x: [m.bn(m.a(row)) for row in x],
    ],
    ids=["condition", "length", "loop"],
)
def test_a_network_that_cannot_be_traced_is_refused(forward):
    with pytest.raises(ValueError, match="cannot be traced"):
        normalized_layers(Of(forward))


def test_what_cannot_be_rescaled_is_refused_by_name():
    network = convolutional()
    with pytest.raises(ValueError, match="got '9', whose scale matters"):
        WeightRescaling(network, sgd(network), 1, layers=["0", "9"])
    with pytest.raises(ValueError, match="does not train the weight of the layer '0'"):
        WeightRescaling(network, sgd(copy.deepcopy(network)), 1)
    with pytest.raises(ValueError, match="every must be from 1"):
        WeightRescaling(network, sgd(network), 0)


def test_some_layers_can_be_chosen():
    network = convolutional()
    before = norms(network[0])
    WeightRescaling(network, sgd(network), 1, layers=["3"]).rescale()
    assert torch.equal(norms(network[0]), before)
    torch.testing.assert_close(norms(network[3]), torch.ones(6, dtype=torch.float64))


def test_channels_of_a_sequence_are_not_the_filters_of_a_linear_layer():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    WeightRescaling(network, sgd(network), 1)
    with pytest.raises(ValueError, match=r"shape \(n, d\)"):
        network(torch.randn(3, 4, 4))
