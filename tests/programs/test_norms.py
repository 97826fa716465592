"""Norms of numbers of any size, and fast ones."""

import math

import pytest
import torch

from convexbn.programs.norms import column_norms, norm


@pytest.mark.parametrize("size", [2.0**-1070, 2.0**-560, 1.0, 2.0**560, 2.0**1022])
def test_no_square_under_or_overflows(size):
    x = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64) / 8
    assert norm(size * x, dim=0).tolist() == [0.625 * size, 0.0]
    assert norm(size * x.T, dim=1).tolist() == [0.625 * size, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_near_one_it_is_that_of_torch(dtype):
    x = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    # A power of two rounds nothing.
    assert torch.equal(norm(x, dim=0), torch.linalg.vector_norm(x, dim=0))
    assert norm(x[:, :0], dim=0).shape == (0, 3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays_so(bad):
    assert not norm(torch.tensor([1.0, bad]), dim=0).isfinite()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3072, 5), (21, 30, 10), (7,), (4, 0)])
def test_fast_norms_are_those_of_columns(dtype, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    expected = torch.linalg.vector_norm(x.double(), dim=0)
    # Sums of up to 3,072 squares, added in pairs of pairs.
    rtol = 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(column_norms(x).double(), expected, rtol=rtol, atol=0)
    assert column_norms(x).dtype == dtype
    assert not column_norms(torch.zeros_like(x)).any()
