"""PyTorch's default device and dtype, which callers set for code of their own, change nothing."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from sweep_features import SWEEP, make_features, make_images, whitened_features

from convexbn import (
    ConvexLayer,
    activation,
    arrangement_gates,
    certify,
    closed_form,
    enumerate_arrangements,
    network_blocks,
    network_objective,
    patches,
    recover_network,
    sample_gates,
    solve,
    solve_path,
    train_exact,
    whiten,
)
from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.networks.architectures import BNAfterReLUNetwork, DeepBNNetwork
from convexbn.networks.two_layer import BNNetwork
from convexbn.training.descent import Descent, descend
from convexbn.training.engine import train

rng = np.random.default_rng(0)
X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
signs, one_hot = np.sign(y), np.eye(3)[rng.integers(0, 3, 12)]
WIDE = rng.standard_normal((6, 9))
IMAGES = rng.standard_normal((4, 1, 3, 3))
DESIGN = whiten(X)
U, G = DESIGN.U, sample_gates(DESIGN.U, 8, 0)
D = activation(U, G)
CELLS = enumerate_arrangements(U)
SHORT = replace(SWEEP, epochs=1, seeds=(0,))
RELU = {"model": "relu"}


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def solved(U, D, Y, **terms):
    solution = solve(U, D, Y, 0.3, **terms)
    certificate = solution.certificate
    return solution.weights, solution.neurons, certificate.objective, certificate.dual_objective


def certified(**terms):
    solution = solve(U, D, y, 0.3, **terms)
    witness = {} if terms else {"dual": solution.dual}
    return certify(*tensors(U, D, y), 0.3, solution.weights, **terms, **witness).objective


def layered(loss, Y):
    layer, (design, targets) = ConvexLayer(D, loss=loss), tensors(U, Y)
    design.requires_grad_()
    beta = torch.tensor(0.3, dtype=torch.float64, device="cpu", requires_grad=True)
    W = layer(design, targets, beta)
    layer.predict(W, design, D).square().sum().backward()
    return W, design.grad, beta.grad


def recovered():
    network = recover_network(solve(U, CELLS, y, 0.3, **RELU), DESIGN)
    return *network.parameters(), *network_blocks(network, X, DESIGN)


def descended(network):
    trials = descend([network], X, y, 0.1, Descent(iterations=5, learning_rate=0.1))
    return trials.objectives, trials.history


def trained(features, **change):
    history, parameters = train(features, replace(SHORT, **change))
    rows = [value for row in history for name, value in row.items() if name != "seconds"]
    return *rows, *parameters.values()


def generator():
    return torch.Generator("cpu").manual_seed(0)


CALLS = {
    "whiten": lambda: whiten(torch.from_numpy(X)).U,
    "transform": lambda: DESIGN.transform(torch.from_numpy(X)),
    "activation": lambda: (activation(U, G), activation(*tensors(U, G))),
    "sample_gates": lambda: sample_gates(torch.from_numpy(U), 5, 0),
    "arrangements": lambda: (enumerate_arrangements(U), arrangement_gates(U)),
    "patches": lambda: (patches(IMAGES, 2), patches(torch.from_numpy(IMAGES), 2)),
    "gated": lambda: solved(U, D, y),
    "gated, tensors": lambda: solved(*tensors(U, D, y)),
    "gated, cross-entropy": lambda: solved(U, D, one_hot, loss="cross_entropy"),
    "gated, nuclear": lambda: solved(U, D, one_hot, penalty="nuclear"),
    "gated, hinge": lambda: solved(U, D, signs, loss="squared_hinge"),
    "gated, logistic": lambda: solved(U, D, signs, loss="logistic"),
    "gated, patches": lambda: solved(np.stack([U, U[::-1]]), np.stack([D, D[::-1]]), y),
    "relu": lambda: solved(U, CELLS, y, **RELU),
    "relu, hinge": lambda: solved(U, CELLS, signs, loss="squared_hinge", **RELU),
    "relu_bn": lambda: solved(X, enumerate_arrangements(X), y, model="relu_bn"),
    "solve_path": lambda: [s.weights for s in solve_path(U, D, y, [0.5, 0.2])],
    "predict": lambda: solve(U, D, y, 0.3).predict(U, D),
    "layer": lambda: layered("squared", y),
    "layer, cross-entropy": lambda: layered("cross_entropy", one_hot),
    "certify": certified,
    "certify relu": lambda: certified(**RELU),
    "train_exact": lambda: train_exact(U, y, 0.3, starts=8).weights,
    "closed_form": lambda: closed_form(WIDE, WIDE[:, 0], 0.1).objective,
    "closed_form, one-hot": lambda: closed_form(WIDE, one_hot[:6], 0.1).network.w,
    "recover_network": recovered,
    "network_objective": lambda: network_objective(BNNetwork(3, 4, 1, 12, generator()), X, y, 0.1),
    "descend": lambda: descended(BNNetwork(3, 4, 1, 12, generator())),
    "descend, deep": lambda: descended(DeepBNNetwork.draw((3, 4, 4), 1, 12, generator())),
    "descend, after ReLU": lambda: descended(BNAfterReLUNetwork(3, 4, 1, 12, generator())),
    "train": lambda: trained(make_features()),
    "train, plain": lambda: trained(make_features(), network="plain"),
    "train, Adam": lambda: trained(make_features(np.float64), optimizer="adam"),
    "train, images": lambda: trained(make_images(), flip=True, shift=1),
    "train, convex": lambda: trained(whitened_features(seeds=(0,)), network="convex", width=None),
    "accuracy": lambda: accuracy(X, [0, 1, 2] * 4),
    "mean_loss": lambda: mean_loss(X, one_hot, "cross_entropy"),
    "calibration": lambda: calibration(X, [0, 1, 2] * 4, X, [0, 1, 2] * 4).values(),
}


def flat(found):
    """Return the numbers in arrays, tensors and sequences of them as a list of arrays."""
    if isinstance(found, torch.Tensor):
        return [found.detach().numpy()]
    if isinstance(found, np.ndarray | float | int | str):
        return [np.asarray(found)]
    return [array for part in found for array in flat(part)]


@cache
def usual(call):
    return flat(CALLS[call]())


@pytest.fixture
def expected(call):
    """The result with PyTorch's own defaults."""
    return usual(call)


@pytest.fixture(params=["meta", torch.float64, torch.float16], ids=str)
def _default(request, expected):
    """Another default device or dtype, once the expected result is there."""
    if request.param == "meta":
        with torch.device("meta"):
            yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("_default")
@pytest.mark.parametrize("call", CALLS)
def test_other_defaults_of_pytorch_change_nothing(call, expected):
    for found, wanted in zip(flat(CALLS[call]()), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
