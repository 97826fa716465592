"""Dynamic programming: the policy and its gradient against formulas that share no code."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexbn.experiments.convex_layers import control
from convexbn.experiments.convex_layers.control import (
    CONTROLS,
    NOISE,
    Policy,
    closed_form,
    closed_form_cost,
    draw_system,
    make_policy,
    regulator,
    rollout,
)

BATCH, HORIZON = 4, 5
SETTINGS = {
    **{"tolerance": 1e-7, "seeds": 2, "horizon": HORIZON, "batch": BATCH, "iterations": 3},
    **{"learning_rate": 0.02, "momentum": 0.9},
}


@pytest.fixture(scope="module")
def layer():
    return make_policy(BATCH, 1e-8)


@given(st.integers(0, 10**6), st.floats(-6, 6))
def test_the_trust_region_step_is_optimal(seed, power):
    """(H + mu I) u = -c with mu >= 0, and mu = 0 unless ||u|| = 1; for any length of c."""
    rng = np.random.default_rng(seed)
    L, C = np.eye(CONTROLS) + 0.5 * rng.normal(size=(3, 3)), 10**power * rng.normal(size=(3, 6))
    C[:, 0] = 0
    u = closed_form(L, C)
    norms, slope = np.linalg.norm(u, axis=0), -(L.T @ L @ u + C)
    mu = (slope * u).sum(axis=0) / np.maximum(norms**2, 1e-300)
    scale = 1 + np.abs(C).max()
    assert (norms <= 1 + 1e-12).all()
    assert (u[:, 0] == 0).all()
    np.testing.assert_allclose(slope / scale, mu * u / scale, rtol=0, atol=1e-11)
    assert (mu >= -1e-10 * scale).all()
    np.testing.assert_allclose((mu / scale)[norms < 1 - 1e-9], 0, atol=1e-9)


def test_the_layer_is_the_trust_region_step(layer):
    rng = np.random.default_rng(1)
    L, C = np.eye(3) + 0.2 * rng.normal(size=(3, 3)), rng.normal(size=(3, BATCH))
    C[:, 0] *= 0.1  # in the ball
    (u,) = layer(torch.as_tensor(L), torch.as_tensor(C))
    np.testing.assert_allclose(u, closed_form(L, C), rtol=0, atol=1e-7)


def test_the_regulator_is_the_limit_of_dynamic_programming():
    """Value iteration, which knows no Riccati equation."""
    A, B = draw_system(np.random.default_rng(0))
    S = np.eye(2)
    for _ in range(5000):  # hundreds of steps of memory: the controls are weak
        gain = np.linalg.solve(np.eye(3) + B.T @ S @ B, B.T @ S @ A)
        S = np.eye(2) + A.T @ S @ (A - B @ gain)
    L, K, q = (part.detach().numpy() for part in regulator(control.System(A, B)))
    np.testing.assert_allclose(np.linalg.solve(L.T @ L, K.T), gain, rtol=1e-8)
    assert not q.any()


def test_the_gradient_through_a_rollout_is_that_of_its_closed_form(layer):
    """Central differences of NumPy's rollout, along each parameter: 1e-5 of step and solver."""
    rng = np.random.default_rng(2)
    system, noise = draw_system(rng), NOISE * rng.normal(size=(HORIZON, 2, BATCH))
    start = regulator(system)
    policy = start._replace(q=torch.full((3,), 0.05).double().requires_grad_())
    cost, error = rollout(system, policy, layer, torch.as_tensor(noise))
    cost.backward()
    assert error < 1e-7
    assert cost.item() == pytest.approx(closed_form_cost(system, policy, noise), rel=1e-7)
    for name, part in policy._asdict().items():
        direction, step = torch.as_tensor(rng.normal(size=part.shape)), 1e-5
        ends = [
            closed_form_cost(system, policy._replace(**{name: part + s * direction}), noise)
            for s in (step, -step)
        ]
        slope = (part.grad * direction).sum().item()
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)


def test_learning_lowers_the_cost_on_noise_it_has_not_seen():
    table = control.measure(SETTINGS | {"horizon": 25}, seed=0)
    assert list(table.columns) == control.COLUMNS
    costs = table.pivot(index="iteration", columns="seed", values="cost")
    assert list(costs.index) == [0, 1, 2, 3]
    assert (costs.diff().iloc[1:] < 0).all(axis=None)
    assert table["training_cost"].isna().tolist() == [False, False, False, True] * 2
    assert table["control_error"].max() < 1e-6


def test_the_same_config_gives_the_same_numbers_and_more_iterations_begin_with_them():
    short = control.measure(SETTINGS | {"iterations": 2, "seeds": 1}, seed=4)
    long = control.measure(SETTINGS | {"seeds": 1}, seed=4)
    assert short["cost"].equals(long["cost"].iloc[:3])
    assert short["uncontrolled_cost"].iloc[0] == long["uncontrolled_cost"].iloc[0]


def test_no_control_is_the_cost_of_the_noise():
    """E ||x_t||^2 summed by hand, x_t = sum of A^k noise: within 5 standard errors."""
    table = control.measure(SETTINGS | {"iterations": 1, "seeds": 1, "horizon": 25}, seed=0)
    rng = np.random.default_rng(0)
    A, _ = draw_system(rng)
    covariance, expected = np.zeros((2, 2)), 0.0
    for _ in range(25):
        expected += np.trace(covariance) / 25
        covariance = A @ covariance @ A.T + NOISE**2 * np.eye(2)
    assert table["uncontrolled_cost"].iloc[0] == pytest.approx(expected, rel=0.25)


def test_a_policy_has_three_parts():
    assert [tuple(part.shape) for part in regulator(draw_system(np.random.default_rng(0)))] == [
        (3, 3),
        (2, 3),
        (3,),
    ]
    assert Policy._fields == ("L", "K", "q")
