"""The part of a weight that is orthogonal to the training inputs."""

import pytest
import torch

from convexbn.experiments.rescaling.networks import dense
from convexbn.experiments.rescaling.span import basis_of, beside, without_part_beside

X = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
ROUNDING = {"rtol": 0, "atol": 1e-6}  # of float32, in sums of seven terms


def test_a_basis_is_orthonormal_and_spans_the_inputs():
    """Inputs that are combinations of others add nothing."""
    basis = basis_of(torch.cat([X, X[:2].sum(0, keepdim=True)]))
    assert basis.shape == (7, 4)
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(X.double() @ basis @ basis.T, X.double(), **ROUNDING)


def test_the_part_beside_is_orthogonal_to_every_input_and_the_rest_is_none():
    W, basis = torch.randn(3, 7), basis_of(X)
    part = beside(W, basis)
    torch.testing.assert_close(part @ X.double().T, torch.zeros(3, 4).double(), **ROUNDING)
    rest = W.double() - part
    torch.testing.assert_close(beside(rest, basis), torch.zeros_like(rest), rtol=0, atol=1e-12)


def test_without_it_a_network_is_the_same_on_the_inputs_and_another_beside():
    network = dense(7, [5], 2, torch.Generator().manual_seed(0)).eval()
    other, basis = without_part_beside(network, basis_of(X)), basis_of(X)
    torch.testing.assert_close(other(X), network(X), rtol=1e-5, atol=1e-6)
    away = X + beside(torch.randn(4, 7), basis).float()
    torch.testing.assert_close(other(away), other(X), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network(away), network(X), atol=1e-2)


def test_inputs_that_span_everything_are_refused():
    with pytest.raises(ValueError, match="4 inputs of 3 features span all"):
        basis_of(torch.randn(4, 3))
