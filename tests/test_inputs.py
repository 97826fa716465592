"""Checks of what callers hand in: what is refused, and in which words."""

import math

import numpy as np
import pytest
import torch

from convexbn import inputs


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_finite(kind):
    inputs.check_finite("X", kind(np.ones((2, 3))))
    inputs.check_finite("X", kind(np.empty((0, 3))))
    inputs.check_finite("X", kind(np.arange(3)))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="X must be finite, but 1 of its 6 entries"):
            inputs.check_finite("X", kind(np.array([[1, 2, 3], [4, bad, 6.0]])))


@pytest.mark.parametrize("value", [1, 0.5, 1e-300, np.float32(2), np.int64(3)])
def test_positive(value):
    inputs.check_positive("beta", value)


@pytest.mark.parametrize("value", [0, -1, 0.0, math.nan, math.inf, True, "1e-3", None, [1.0]])
def test_not_positive(value):
    with pytest.raises(ValueError, match=r"beta must be (a number )?> 0.*got"):
        inputs.check_positive("beta", value)


@pytest.mark.parametrize("value", [1, 5, np.int32(3)])
def test_between(value):
    inputs.check_between("rank", value, 1, 5)


@pytest.mark.parametrize("value", [0, 6, -1, 2.0, True, "2", None])
def test_not_between(value):
    with pytest.raises(ValueError, match=r"rank must be .*from 1 to 5.*got"):
        inputs.check_between("rank", value, 1, 5)


def test_choice_and_length():
    inputs.check_choice("loss", "a", {"a": 1})
    with pytest.raises(ValueError, match="loss must be one of 'a', 'b', got 'c'"):
        inputs.check_choice("loss", "c", ["a", "b"])
    inputs.check_same_length("U", [1], "Y", np.ones((1, 3)))
    with pytest.raises(ValueError, match="U and Y must have one row per sample, got 1 and 2 rows"):
        inputs.check_same_length("U", [1], "Y", [1, 2])
