"""Predictions of dual variables against the losses themselves."""

import numpy as np
import pytest
import torch

from convexbn.programs.losses import LOSSES
from convexbn.solvers.relu_bn.dual_losses import DUAL_LOSSES, dual_loss_of


def drawn(name, seed=0, n=8):
    """Return a dual variable inside its domain, targets and slacks."""
    rng = np.random.default_rng(seed)
    Y = rng.standard_normal((n, 1))
    Y = Y if name == "squared" else np.sign(Y)
    share = rng.uniform(1e-6, 1 - 1e-6, (n, 1))
    slack = rng.exponential(size=(n, 1)) if DUAL_LOSSES[name].slack else np.zeros((n, 1))
    return tuple(torch.as_tensor(a) for a in (Y * share, Y, slack))


@pytest.mark.parametrize("name", DUAL_LOSSES)
def test_predictions_are_those_whose_negative_gradient_is_the_dual_variable(name):
    V, Y, _ = drawn(name)
    F = DUAL_LOSSES[name].predictions(V, Y)
    # log and exponential, of shares of 1e-6 and up.
    torch.testing.assert_close(LOSSES[name].negative_gradient(F, Y), V, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", DUAL_LOSSES)
def test_compliance_is_minus_the_derivative_of_the_predictions(name):
    V, Y, _ = drawn(name, 1)
    loss = DUAL_LOSSES[name]
    jacobian = torch.autograd.functional.jacobian(lambda V: loss.predictions(V, Y), V)
    torch.testing.assert_close(-jacobian.view(8, 8), loss.compliance(V, Y).flatten().diag())


@pytest.mark.parametrize("name", DUAL_LOSSES)
def test_start_has_predictions_of_zero(name):
    _, Y, _ = drawn(name, 2)
    loss = DUAL_LOSSES[name]
    torch.testing.assert_close(loss.predictions(loss.start(Y), Y), 0 * Y)
    torch.testing.assert_close(loss.start(Y), LOSSES[name].negative_gradient(0 * Y, Y))


@pytest.mark.parametrize("name", DUAL_LOSSES)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_steps_stay_inside_the_domain(name, size):
    """The part of a step that `rate` allows leads to a dual variable that has a dual value."""
    V, Y, _ = drawn(name, 3)
    loss = dual_loss_of(LOSSES[name])
    step = torch.as_tensor(size * np.random.default_rng(4).standard_normal((8, 1)))
    longest = 1 / max(float(loss.rate(V, step, Y)), 1e-300)
    there = loss.moved(V, min(1.0, 0.99 * longest) * step, Y)
    assert bool(LOSSES[name].dual_value(there, Y).isfinite())


def test_a_short_step_is_taken_as_it_is():
    V, Y, _ = drawn("logistic", 5)
    step = 0.5 * (Y / 2 - V)  # to where all shares are closer to 1/2
    torch.testing.assert_close(DUAL_LOSSES["logistic"].moved(V, step, Y), V + step)
