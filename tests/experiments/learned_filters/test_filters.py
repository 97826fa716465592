"""Families of learned filters contain those of the grid, and fall monotonely."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexbn.experiments.learned_filters.filters import falls_of, free, soft_step
from convexbn.whitening import FILTERS

RATIOS = torch.tensor([1.0, 0.7, 0.3, 0.1, 0.01], dtype=torch.float64)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("c", [1e-4, 0.01, 0.5])
def test_a_soft_step_of_power_one_is_the_ridge_filter(c):
    expected = FILTERS["ridge"](RATIOS.numpy(), c)
    np.testing.assert_allclose(soft_step(RATIOS, number(c), number(1.0)), expected, rtol=1e-12)


def test_a_soft_step_of_a_large_power_is_a_truncation():
    gains = soft_step(RATIOS, number(0.05), number(300.0))
    np.testing.assert_allclose(gains, [1, 1, 1, 0, 0], atol=1e-12)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=8))
def test_free_gains_fall_within_zero_and_one(falls):
    gains = free(torch.tensor(falls, dtype=torch.float64))
    assert (gains.diff() <= 0).all()
    assert (gains <= 1).all()
    assert (gains > 0).all()


def test_every_falling_sequence_is_one_of_free_gains():
    for gains in (soft_step(RATIOS, number(0.02), number(1.3)), number([1.0, 0.5, 0.5, 1e-6])):
        np.testing.assert_allclose(free(falls_of(gains)), gains, rtol=1e-12)
