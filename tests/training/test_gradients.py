"""The measurement of the SGD engine, and what the engine's parts promise."""

import math

import numpy as np
import pytest
import torch
from footprints import check, measured
from sweep_features import make_features, make_patches

from convexbn.experiments.benchmark import engine
from convexbn.networks.architectures import ConvolutionalNetwork
from convexbn.networks.objectives import batch_objective
from convexbn.networks.two_layer import BNNetwork, stack
from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import size_of
from convexbn.training.gradients import BNGradient
from convexbn.training.optimizers import zeros_like

SETTINGS = {"width": 8, "batch_size": 16, "epochs": 1, "networks": [1, 3]}


def test_every_way_is_measured_and_compared_with_two_of_them():
    table = engine.compare("tiny", SETTINGS, make_features(), repeats=2)
    assert list(table.columns) == engine.COLUMNS
    assert table["networks"].tolist() == [1, 1, 1, 1, 1, 3]
    rates = table.set_index(["method", "networks"])["epochs_per_second"]
    assert (table["least"] <= table["epochs_per_second"]).all()
    assert (table["epochs_per_second"] <= table["most"]).all()
    expected = rates[engine.ENGINE, 3] / rates[engine.LOADER, 1]
    assert table["ratio_to_loader"].iloc[-1] == pytest.approx(expected)
    # 4 steps of 16 samples: two products with the 5 features, three with the 3 outputs.
    operations = 4 * 2 * 16 * 8 * (2 * 5 + 3 * 3)
    expected = rates[engine.MULTIPLY, 1] * operations / 1e9
    assert table["gigaflops"].iloc[0] == pytest.approx(expected)


def test_the_loops_batches_are_the_data_once_in_a_new_order():
    X = torch.arange(70.0)[:, None]
    case = engine.Case(X, -X, width=1, batch_size=16, epochs=1)
    for batches in (engine._Gathered(case), engine._loaded(case)):
        first, second = (torch.cat([rows for rows, _ in batches]) for _ in range(2))
        assert len(first) == 64
        assert len(first.unique()) == 64
        assert not torch.equal(first, second)
        assert all(torch.equal(Y, -rows) for rows, Y in batches)


def gradient_at(network, X, Y, beta, patches=1):
    """Return the gradients that are written over whatever there was."""
    betas = torch.full((len(network.w),), beta, dtype=X.dtype)
    parameters = dict(network.named_parameters())
    into = {name: values * math.nan for name, values in zeros_like(parameters).items()}
    BNGradient(network, betas, patches)(X, Y, into)
    return into


def full_batch(members=2, patches=1):
    features = make_features(np.float64) if patches == 1 else make_patches(np.float64)
    X, Y = (torch.as_tensor(features[name]) for name in ("X_train", "Y_train"))
    X = X if patches == 1 else X.transpose(0, 1).flatten(0, 1)
    networks = [
        BNNetwork(5, 7, 3, len(X), torch.Generator().manual_seed(seed)) for seed in range(members)
    ]
    return stack(networks).double(), X[None], Y[None]


def test_a_gradient_is_that_of_the_objective():
    network, X, Y = full_batch()
    objective = batch_objective(network, X[0], Y[0], 0.3).sum() / len(Y[0])
    expected = torch.autograd.grad(objective, list(network.parameters()))
    for gradient, found in zip(expected, gradient_at(network, X, Y, 0.3).values(), strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-11)  # float64


def test_a_convolutional_networks_decay_is_that_of_its_objective_per_sample():
    top = BNNetwork(5, 7, 3, 40, torch.Generator().manual_seed(0)).double()
    network = ConvolutionalNetwork(top, 4, "average")  # 10 samples
    (gradient,) = torch.autograd.grad(0.3 / 2 * network.squares() / 10, [top.output])
    torch.testing.assert_close(gradient, network.decay(0.3) * top.output.detach())


@pytest.mark.parametrize("patches", [1, 4])
def test_one_batch_for_all_members_is_the_same_as_one_each(patches):
    network, X, Y = full_batch(3, patches)
    shared = gradient_at(network, X, Y, 0.3, patches)
    each = gradient_at(network, X.repeat(3, 1, 1), Y.repeat(3, 1, 1), 0.3, patches)
    for name in shared:
        torch.testing.assert_close(shared[name], each[name], rtol=1e-12, atol=1e-13)


def test_a_constant_pre_activation_has_no_gradient_to_blow_up():
    network, X, Y = full_batch()
    X = torch.cat([X, torch.full_like(X[..., :1], 3.0)], dim=-1)  # a constant feature
    w = torch.zeros(2, 6, 7, dtype=X.dtype)
    w[:, -1] = 1.0  # which is all that the neurons see
    network.w = torch.nn.Parameter(w)
    found = gradient_at(network, X, Y, 0.3)
    assert all(values.isfinite().all() for values in found.values())
    assert found["w"].abs().max() == 0


TRAIN = """
from convexbn.pipeline.designs import whitened_run
from convexbn.training.sweeps import Sweep
from convexbn.training.engine import train
shape = (lambda rows: (rows, d)) if {K} == 1 else (lambda rows: ({K}, rows, d))
features = {{"Y_train": np.eye(C, dtype=np.float32)[np.arange(n) % C]}}
for split, rows in (("train", n), ("validation", 0), ("test", m)):
    features["X_" + split] = rng.standard_normal(shape(rows), dtype=np.float32)
    features["labels_" + split] = np.arange(rows) % C
if {entry}["network"] == "convex":
    tensors = whiten(features["X_train"].reshape(-1, d)).tensors()
    tensors = {{name: np.asarray(values) for name, values in tensors.items()}}
    base = mb()  # the singular value decomposition is another job's
    features, _ = whitened_run(features, tensors | {{"seconds": np.array(0.0)}}, {entry}, range(2))
train(features, Sweep.of({entry}, range(2)))
"""

NOISE = {"source": "cifar10", "train": 2000, "validation": 0, "test": 500, "pool": 2}
RUN = {"network": "bn", "width": 512, "epochs": 1, "batch_size": 250, "seeds": 2}
RUN |= {"learning_rates": [0.01, 0.005], "betas": [1.0, 0.5], "evaluations": 1}
CONVEX = {key: value for key, value in RUN.items() if key != "width"}
CONVEX |= {"network": "convex", "gates": 64}


@pytest.mark.parametrize(
    ("change", "run"),
    [
        ({}, RUN | {"optimizer": "adam", "max_members": 8}),
        ({"patches": {"size": 4, "stride": 4}}, RUN | {"width": 128, "max_members": 2}),
        ({}, CONVEX),
    ],
    ids=["adam", "patches", "convex"],
)
def test_estimate_for_a_sweep_holds(change, run):
    size = size_of(NOISE | change)
    work = TRAIN.format(entry=run, K=size.K)
    check(footprint.sgd(NOISE | change, run), *measured(size, work))


def test_a_larger_sweep_takes_more_memory():
    for run in (RUN, CONVEX):
        for more in ({"seeds": 20}, {"max_members": 8}, {"batch_size": 1000}):
            larger = run | {"max_members": 4} | more
            assert footprint.sgd(NOISE, larger) > footprint.sgd(NOISE, run | {"max_members": 4})
