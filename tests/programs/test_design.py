"""Passes over the design against a dense one."""

import instances
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from convexbn.programs import memory
from convexbn.programs.design import adjoint, adjoint_pairs, design_gradient, forward, forward_pairs

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one

# r + 1 = 5: fewer gates than that, as many, more; the passes order their factors by it.
GATES = [1, 3, 5, 6, 17]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def tensors(*arrays):
    return tuple(torch.as_tensor(array) for array in arrays)


@pytest.mark.parametrize("P", GATES)
@pytest.mark.parametrize("rows", [1, 7, 24, 512])
@pytest.mark.parametrize("C", [1, 3])
def test_passes_are_products_with_the_dense_design(monkeypatch, P, rows, C):
    monkeypatch.setattr(memory, "PASS_BYTES", 0)
    monkeypatch.setattr(memory, "PASS_ROWS", rows)  # 24 samples: one at a time to all at once
    problem = instances.make(0, P=P, C=C)
    A = instances.dense(problem.U, problem.D)
    W, V = normal(*problem.shape), normal(24, C)
    U, D, W_, V_ = tensors(problem.U, problem.D, W, V)
    np.testing.assert_allclose(forward(U, D, W_), A @ instances.flat(W), atol=ROUNDING)
    np.testing.assert_allclose(instances.flat(adjoint(U, D, V_)), A.T @ V, atol=ROUNDING)


class Largest(TorchDispatchMode):
    """Notes the largest storage that an operation makes, in bytes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation."""
        out = func(*args, **(kwargs or {}))
        if torch.is_tensor(out):
            self.bytes = max(self.bytes, out.untyped_storage().nbytes())
        return out


@pytest.mark.parametrize(("p", "P", "C"), [(5, 40, 3), (40, 5, 3), (40, 5, 1), (5, 40, 1)])
def test_passes_stay_within_their_budget(monkeypatch, p, P, C):
    """Only the result of a pass and the weights it is given may be larger."""
    n, budget = 3000, 2**17
    monkeypatch.setattr(memory, "PASS_BYTES", budget)
    monkeypatch.setattr(memory, "PASS_ROWS", 1)
    U, W, V = torch.ones(n, p), torch.ones(p, P, C), torch.ones(n, C)
    D = torch.ones(n, P, dtype=torch.bool)
    results = 4 * max(n * C, p * P * C)
    with Largest() as largest:
        forward(U, D, W), adjoint(U, D, V)
        # A view of an input is a storage too.
    inputs = max(a.untyped_storage().nbytes() for a in (U, D, W, V))
    assert largest.bytes <= max(inputs, results)
    assert memory.pass_bytes(n, p, P, C, size=4) <= budget
    assert memory.pass_bytes(10**9, p, P, C, size=4) <= budget


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_active_gates_are_the_columns_of_the_masks(share):
    """Gates whose blocks are zero can be left out, as a working set does."""
    problem = instances.make(0, P=17)
    U, D, W = tensors(problem.U, problem.D, normal(*problem.shape))
    active = torch.arange(17)[: max(1, int(share * 17))]
    sparse = torch.zeros_like(W).index_copy(1, active, W[:, active])
    few = forward(U, D[:, active], W[:, active])
    np.testing.assert_allclose(forward(U, D, sparse), few, atol=ROUNDING)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 12),
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(1, 3),
)
def test_adjoint_is_the_adjoint(seed, n, p, P, C):
    U, W, V = tensors(normal(n, p, seed=seed), normal(p, P, C, seed=seed), normal(n, C, seed=seed))
    D = torch.as_tensor(normal(n, P, seed=seed + 1) > 0)
    left, right = (forward(U, D, W) * V).sum(), (W * adjoint(U, D, V)).sum()
    scale = torch.linalg.vector_norm(W) * torch.linalg.vector_norm(adjoint(U, D, V))
    assert float(left - right) == pytest.approx(0, abs=ROUNDING * max(1, float(scale)))


@pytest.mark.parametrize("P", [3, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_passes_keep_the_precision_and_leave_their_inputs(P, dtype):
    problem = instances.make(0, P=P)
    U, D = tensors(problem.U, problem.D)
    U, W, V = U.to(dtype), torch.ones(problem.shape, dtype=dtype), torch.ones(24, 2, dtype=dtype)
    assert forward(U, D, W).dtype == adjoint(U, D, V).dtype == dtype
    assert adjoint(U, D, V).is_contiguous()
    assert (W == 1).all()
    assert (V == 1).all()


@pytest.mark.parametrize("P", [3, 17])
def test_no_samples_have_no_predictions(P):
    W = torch.ones(5, P, 2)
    assert forward(torch.ones(0, 5), torch.ones(0, P, dtype=torch.bool), W).shape == (0, 2)


@pytest.mark.parametrize("rows", [1, 7, 512])
@pytest.mark.parametrize("C", [1, 3])
def test_design_gradient_is_that_of_autograd(monkeypatch, rows, C):
    monkeypatch.setattr(memory, "PASS_BYTES", 0)
    monkeypatch.setattr(memory, "PASS_ROWS", rows)
    problem = instances.make(0, C=C)
    U, D, W, V = tensors(problem.U, problem.D, normal(*problem.shape), normal(24, C))
    U.requires_grad_()
    (V * torch.einsum("na,ni,aic->nc", U, D.double(), W)).sum().backward()
    torch.testing.assert_close(design_gradient(D, V, W), U.grad, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("rows", [512, 3])
@pytest.mark.parametrize("numbers", [False, True])
def test_passes_of_pairs_are_those_of_whole_weights(monkeypatch, rows, numbers):
    """Of blocks that are zero but for some pairs of a gate and an output; also in pieces."""
    monkeypatch.setattr("convexbn.programs.memory.PASS_ROWS", rows)
    monkeypatch.setattr("convexbn.programs.memory.PASS_BYTES", 1)
    rng = np.random.default_rng(0)
    U, V = (torch.as_tensor(rng.standard_normal((10, k))) for k in (4, 3))
    D = torch.as_tensor(rng.random((10, 5)) < 0.5)
    gates, columns = torch.tensor([0, 3, 3, 4]), torch.tensor([0, 0, 2, 2])
    masks = D.T[gates].float() if numbers else D.T[gates]
    blocks, W = torch.as_tensor(rng.standard_normal((4, 4))), torch.zeros(4, 5, 3).double()
    W[:, gates, columns] = blocks
    owners = (columns == torch.arange(3)[:, None]).double()
    # Sums of up to 20 products of numbers of size one.
    within = {"rtol": 0, "atol": 1e-13}
    torch.testing.assert_close(forward_pairs(U, masks, blocks, owners), forward(U, D, W), **within)
    found, expected = adjoint_pairs(U, masks, V, columns), adjoint(U, D, V)[:, gates, columns]
    torch.testing.assert_close(found, expected, **within)
