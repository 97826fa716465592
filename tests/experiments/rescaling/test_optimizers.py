"""What each method does to the filters that batch normalization follows."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from convexbn.experiments.rescaling.networks import NO_EPS, dense
from convexbn.experiments.rescaling.optimizers import (
    effective_rate,
    filters_of,
    mean_squared_norm,
    optimizer_of,
    squared_norms,
)
from convexbn.experiments.rescaling.settings import (
    DECAY,
    METHODS,
    NONE,
    RESCALING,
    SCALED,
    Run,
)

SETTINGS = Run(
    epochs=1,
    batch_size=4,
    learning_rates=[0.1],
    weight_decays=[0.05],
    classifier_decay=0.01,
    momentum=0.0,
)
X = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3


def network_of(scale=1.0):
    network = dense(6, [5, 4], 3, torch.Generator().manual_seed(0), eps=NO_EPS).double()
    with torch.no_grad():
        for weight in filters_of(network):
            weight.mul_(scale)
    return network


def trained(method, network, steps=3, every=2, settings=SETTINGS, decay=0.05):
    optimizer = optimizer_of(network, method, 0.1, decay, settings, every)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(network(X), LABELS).backward()
        optimizer.step()
    return network


def test_one_step_of_each_method_is_that_of_its_definition():
    start = network_of(2.0)
    loss = cross_entropy(start(X), LABELS)
    w, head = filters_of(start)[0], start[-1].weight
    gradients = torch.autograd.grad(loss, [w, head])
    moved = w - 0.1 * gradients[0]
    expected = {
        NONE: moved,
        DECAY: moved - 0.1 * 0.05 * w,
        RESCALING: moved / moved.norm(dim=1, keepdim=True),
        SCALED: w - 0.1 * squared_norms(w)[:, None] * gradients[0],
    }
    for method in METHODS:
        network = trained(method, copy.deepcopy(start), steps=1, every=1)
        torch.testing.assert_close(filters_of(network)[0], expected[method])
        torch.testing.assert_close(network[-1].weight, head - 0.1 * (gradients[1] + 0.01 * head))


def test_a_scaled_rate_forgets_the_scale_of_the_filters():
    """The function of the network does not depend on the scale at the start, as it does without."""
    outputs = {}
    for method in (NONE, SCALED):
        outputs[method] = [trained(method, network_of(scale))(X) for scale in (1.0, 3.0)]
    torch.testing.assert_close(*outputs[SCALED])
    assert not torch.allclose(*outputs[NONE], rtol=1e-3)


def test_rescaling_at_every_step_is_nearly_a_scaled_rate():
    """With filters of norm 1 at the start both have the same first step, up to the scale."""
    network = network_of()
    with torch.no_grad():
        for weight in filters_of(network):
            weight.div_(weight.norm(dim=1, keepdim=True))
    both = [trained(m, copy.deepcopy(network), every=1) for m in (RESCALING, SCALED)]
    torch.testing.assert_close(both[0](X), both[1](X))


def test_adam_has_weight_decay_and_rescaling_too():
    adam = replace(SETTINGS, optimizer="adam")
    assert {method for method, *_ in adam.trainings} == {NONE, DECAY, RESCALING}
    network = trained(RESCALING, network_of(2.0), steps=2, settings=adam)
    assert mean_squared_norm(network) == pytest.approx(1)


def test_effective_rates_are_those_of_directions():
    """A step of w = c u along the gradient at u over c moves u by the rate over c^2."""
    assert effective_rate(NONE, "sgd", 0.1, 4.0) == pytest.approx(0.025)
    assert effective_rate(NONE, "adam", 0.1, 4.0) == pytest.approx(0.05)
    assert effective_rate(SCALED, "sgd", 0.1, 4.0) == 0.1
