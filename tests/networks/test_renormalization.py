"""Batch Renormalization between BN by the batch and BN by the running statistics."""

import copy

import pytest
import torch
from torch import nn

from convexbn.networks.renormalization import (
    BatchRenormalization1d,
    BatchRenormalization2d,
    batch_renormalization,
)


@pytest.fixture(autouse=True)
def _in_float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def warmed(**options):
    """Return a module that has seen some batches."""
    norm = BatchRenormalization2d(3, **options)
    for _ in range(5):
        norm(2 + 3 * torch.randn(4, 3, 2, 2))
    return norm


def test_the_tightest_bounds_are_bn():
    bn, ours = nn.BatchNorm2d(3), BatchRenormalization2d(3, r_max=1, d_max=0)
    for _ in range(3):
        X = torch.randn(4, 3, 2, 2)
        torch.testing.assert_close(bn(X), ours(X))
    torch.testing.assert_close(bn.running_var, ours.running_var)


def test_within_wide_bounds_a_batch_is_normalized_by_the_running_statistics():
    norm = warmed(r_max=1e9, d_max=1e9)
    X = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(copy.deepcopy(norm)(X), norm.eval()(X))


def test_gradients_are_those_with_both_corrections_held_fixed():
    norm = warmed()
    X = torch.randn(4, 3, 2, 2, requires_grad=True)
    torch.manual_seed(1)
    factors = torch.randn_like(X)
    (found,) = torch.autograd.grad((copy.deepcopy(norm)(X) * factors).sum(), X)
    sigma = (X.detach().var((0, 2, 3), correction=0) + norm.eps).sqrt()
    r = (sigma / (norm.running_var + norm.eps).sqrt()).clamp(1 / 3, 3).reshape(-1, 1, 1)
    xhat = nn.functional.batch_norm(X, None, None, training=True)
    (expected,) = torch.autograd.grad((xhat * r * factors).sum(), X)
    torch.testing.assert_close(found, expected)


def test_bounds_are_of_bn_first_and_then_grow_linearly():
    norm = BatchRenormalization1d(3, r_max=3, d_max=4, burn_in=2, ramp=4)
    bounds = []
    for _ in range(8):
        bounds.append(norm.bounds())
        norm(torch.randn(5, 3))
    assert bounds[:3] == [(1, 0)] * 3
    assert bounds[3:6] == [(1.5, 1), (2, 2), (2.5, 3)]
    assert bounds[6:] == [(3, 4)] * 2
    assert BatchRenormalization1d(3, burn_in=1).bounds() == (1, 0)
    assert BatchRenormalization1d(3).bounds() == (3, 5)


def test_without_gradients_a_batch_is_normalized_by_itself():
    norm = warmed()
    with torch.no_grad():
        z = norm(torch.randn(4, 3, 2, 2))
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3))


def test_the_normalization_of_a_layer_has_its_channels():
    assert batch_renormalization()(nn.Linear(4, 5)).num_features == 5
    assert isinstance(batch_renormalization()(nn.Conv2d(3, 6, 1)), BatchRenormalization2d)


def test_bounds_and_batches_out_of_range_are_refused():
    for options in ({"r_max": 0.5}, {"d_max": -1}, {"r_max": float("nan")}, {"ramp": -1}):
        with pytest.raises(ValueError, match="must be"):
            BatchRenormalization1d(3, **options)
    with pytest.raises(ValueError, match="at least 2 values per channel"):
        BatchRenormalization1d(3)(torch.randn(1, 3))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_is_that_of_single_precision_rounded(half):
    mixed, full = (BatchRenormalization1d(3, dtype=torch.float32) for _ in range(2))
    own = BatchRenormalization1d(3, dtype=half)
    for _ in range(3):
        X = (2 + 300 * torch.randn(64, 3)).to(half)  # float16 does not hold the variance
        found, expected = mixed(X), full(X.float())
        assert found.dtype == own(X).dtype == half
        assert expected.isfinite().all()
        rounding = {"rtol": torch.finfo(half).eps, "atol": 1e-4}  # of the output alone
        torch.testing.assert_close(found.float(), expected, **rounding)
    torch.testing.assert_close(mixed.running_var, full.running_var)
