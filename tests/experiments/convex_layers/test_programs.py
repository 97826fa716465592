"""The layers that are tried solve what their names say."""

import numpy as np
import pytest
import torch

from convexbn.experiments.convex_layers.engine import make_layer
from convexbn.experiments.convex_layers.programs import PROGRAMS

KNOWN = ["ReLU", "sigmoid", "softmax", "sparsemax", "ridge regression", "nuclear norm"]


def solved(name, seed=7):
    instance = PROGRAMS[name](np.random.default_rng(seed))
    layer = make_layer(instance.problem, instance.parameters, instance.variables)
    return instance, [part.numpy() for part in layer(*instance.values)]


@pytest.mark.parametrize("name", KNOWN)
def test_the_solution_is_the_closed_form(name):
    instance, found = solved(name)
    for one, exact in zip(found, instance.closed_form(*instance.values), strict=True):
        np.testing.assert_allclose(one, exact, rtol=0, atol=1e-6)  # the solver's, of order 1


def test_every_closed_form_is_tried():
    drawn = {name: make(np.random.default_rng(0)) for name, make in PROGRAMS.items()}
    assert [name for name, instance in drawn.items() if instance.closed_form] == KNOWN


def test_sparsemax_is_sparse_and_on_the_simplex():
    _, (y,) = solved("sparsemax")
    assert y.sum() == pytest.approx(1, abs=1e-8)
    assert 1 < (y > 1e-6).sum() < len(y)


def test_the_gated_bn_program_is_optimal_block_by_block():
    """B_i^T residual = beta s_i / ||s_i|| for active blocks, and at most beta in norm for all."""
    instance, (s,) = solved("gated BN program")
    B, y, beta = (value.numpy() for value in instance.values)
    slopes = (B.T @ (y - B @ s.ravel(order="F"))).reshape(s.shape, order="F")  # (p, P)
    norms = np.linalg.norm(s, axis=0)
    active = norms > 1e-5
    assert active.any()
    np.testing.assert_allclose(slopes[:, active], (beta * s / norms)[:, active], rtol=0, atol=1e-6)
    assert (np.linalg.norm(slopes, axis=0) <= beta + 1e-6).all()


def test_the_elastic_net_is_stationary():
    instance, (a, b) = solved("logistic, elastic net")
    (X,), labels = (value.numpy() for value in instance.values), np.arange(30) % 2
    error = 1 / (1 + np.exp(-(X @ a + b))) - labels
    assert abs(error.mean()) < 1e-7
    assert (np.abs(a) > 1e-3).all()
    np.testing.assert_allclose(X.T @ error / 30 + 0.1 * np.sign(a) + 0.2 * a, 0, atol=1e-7)


def test_instances_are_drawn_from_their_generator():
    for make in PROGRAMS.values():
        one, same, other = (make(np.random.default_rng(seed)).values for seed in (1, 1, 2))
        assert all(torch.equal(u, v) for u, v in zip(one, same, strict=True))
        assert not all(torch.equal(u, v) for u, v in zip(one, other, strict=True))
