"""The program and its referee against a dense design, CVXPY, and the theorems of duality."""

import math
from dataclasses import replace

import instances
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from convexbn.programs import memory
from convexbn.programs.certificates import certify, make_program
from convexbn.programs.gated import adjoint, forward

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one
NAMES = {"model": "gated", "loss": "squared", "penalty": "group"}

# r + 1 = 5: fewer gates than that, as many, more; the passes order their factors by it.
GATES = [1, 3, 5, 6, 17]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def tensors(*arrays):
    return tuple(torch.as_tensor(array) for array in arrays)


def program_of(problem):
    return make_program(*problem.data, **NAMES)


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
    """Nothing that a pass makes is larger, but for what it returns and the weights it is given."""
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
    """What a working set does: gates whose blocks are zero can be left out."""
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


# --- duality --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_beta_max_is_where_zero_stops_being_optimal(seed):
    problem = instances.make(seed)
    U, D, Y, _ = problem.data
    top = program_of(problem).beta_max()
    assert top == pytest.approx(instances.beta_max(U, D, Y), rel=ROUNDING)
    zero = np.zeros(problem.shape)
    above = certify(U, D, Y, top * (1 + 1e-9), zero, tol=ROUNDING)
    assert above.converged
    assert above.objective == pytest.approx(0.5 * (Y**2).sum(), rel=ROUNDING)
    below = certify(U, D, Y, top * (1 - 1e-3), zero, tol=ROUNDING)
    assert not below.converged
    # And indeed there is something better, along the block that first violates its constraint.
    T = adjoint(*tensors(U, D, Y))
    i, c = np.unravel_index(int(T.norm(dim=0).argmax()), T.shape[1:])
    W = zero.copy()
    W[:, i, c] = 1e-4 * T[:, i, c]
    assert instances.objective(U, D, Y, top * (1 - 1e-3), W) < below.objective


@given(st.integers(0, 10**6), st.floats(1e-3, 2), st.integers(1, 9), st.integers(1, 3))
def test_every_dual_value_is_below_every_objective(seed, share, P, C):
    problem = instances.make(seed, n=12, P=P, C=C, share=share)
    U, D, Y, beta = problem.data
    program = program_of(problem)
    bounds = []
    for scale in (0.01, 1, 100):
        V = torch.as_tensor(scale * normal(12, C, seed=seed) + Y)
        bounds.append(program.dual_objective(V, program.adjoint(V)))
    values = [
        instances.objective(U, D, Y, beta, scale * normal(*problem.shape, seed=seed))
        for scale in (0, 0.01, 0.1, 1)
    ]
    assert max(bounds) <= min(values) * (1 + ROUNDING)


@given(st.integers(0, 10**6))
def test_dual_point_is_feasible(seed):
    """The dual value is that of a V that obeys every constraint: checked by its definition."""
    problem = instances.make(seed, n=12)
    U, D, Y, beta = problem.data
    program, V = program_of(problem), normal(12, 2, seed=seed)
    value = program.dual_objective(torch.as_tensor(V), program.adjoint(torch.as_tensor(V)))
    best = 0.0
    for c in range(2):
        v = V[:, c]
        limit = beta / max(np.linalg.norm(U.T @ (D[:, i] * v)) for i in range(D.shape[1]))
        scale = np.clip(v @ Y[:, c] / (v @ v), 0, limit)
        best += scale * v @ Y[:, c] - (scale * v) @ (scale * v) / 2
    assert value == pytest.approx(best, rel=ROUNDING, abs=ROUNDING)


# --- the referee ----------------------------------------------------------------------------------


@pytest.mark.parametrize("P", [3, 8])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_referee_certifies_what_another_solver_found(P, share):
    problem = instances.make(1, P=P, share=share)
    value, W = instances.interior_point(*problem.data)
    certificate = certify(*problem.data, W, tol=1e-6)
    assert certificate.converged, certificate.reason
    # The interior point method stops at gaps of 1e-8, relative.
    assert certificate.objective == pytest.approx(value, rel=1e-7)
    assert certificate.dual_objective <= value * (1 + 1e-7)
    assert certificate.violation == 0


def test_certificate_says_what_the_paper_writes():
    problem, W = instances.make(2), normal(5, 6, 2)
    certificate = certify(*problem.data, W)
    assert certificate.objective == pytest.approx(
        instances.objective(*problem.data, W), rel=ROUNDING
    )
    assert certificate.gap == certificate.objective - certificate.dual_objective
    assert certificate.relative_gap == certificate.gap / certificate.objective
    assert not certificate.converged
    assert "above tolerance" in certificate.reason
    assert certificate.as_dict()["gap"] == certificate.gap


@pytest.mark.parametrize("size", [1e-2, 1e-1, 10])
def test_a_spoilt_solution_loses_its_certificate(size):
    problem = instances.make(3)
    value, W = instances.interior_point(*problem.data)
    spoilt = W + size * normal(*W.shape)
    certificate = certify(*problem.data, spoilt, tol=1e-6)
    assert not certificate.converged
    # The gap is at least what is really missing.
    missing = instances.objective(*problem.data, spoilt) - value
    assert certificate.gap >= missing * (1 - 1e-6)


@pytest.mark.parametrize("size", [1e160, 1e300, 1.7e308])
def test_weights_beyond_the_range_of_numbers_are_not_certified(size):
    """An objective of infinity, or of infinity minus infinity, is no optimum."""
    problem = instances.make(3)
    certificate = certify(*problem.data, size * np.sign(normal(*problem.shape)))
    assert not math.isfinite(certificate.objective)
    assert not certificate.converged


def test_referee_works_in_float64_whatever_it_is_given():
    problem = instances.make(4)
    _, W = instances.interior_point(*problem.data)
    reference = certify(*problem.data, W)
    U, D, Y, beta = problem.data
    assert certify(*tensors(U, D, Y), beta, torch.as_tensor(W)) == reference
    rough = certify(U, D, Y, beta, W.astype(np.float32))
    # Rounding of the weights: 6e-8 relative. The objective is flat at the optimum, the bound is
    # not.
    assert rough.objective == pytest.approx(reference.objective, rel=1e-7)
    assert rough.relative_gap < 1e-6


def test_a_single_target_may_be_a_vector():
    problem, W = instances.make(5, C=1), normal(5, 6, 1)
    U, D, Y, beta = problem.data
    assert certify(U, D, Y[:, 0], beta, W) == certify(U, D, Y, beta, W)


def test_zero_targets_are_met_by_zero_weights():
    problem = instances.make(6)
    zero = replace(problem, Y=np.zeros_like(problem.Y), beta=0.1)
    certificate = certify(*zero.data, np.zeros(zero.shape))
    assert certificate.converged
    assert certificate.objective == certificate.gap == certificate.relative_gap == 0


GOOD = instances.make(0)
NAN = np.where(np.arange(48).reshape(24, 2) == 5, np.nan, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 0}, "beta must be > 0 and finite, got 0"),
        ({"beta": -1.0}, "beta must be > 0 and finite, got -1.0"),
        ({"beta": math.nan}, "beta must be > 0 and finite, got nan"),
        ({"beta": math.inf}, "beta must be > 0 and finite, got inf"),
        ({"beta": "0.1"}, "beta must be a number > 0, got '0.1' of type str"),
        ({"beta": None}, "beta must be a number"),
        ({"model": "deep"}, "model must be one of 'gated', 'relu', 'relu_bn', got 'deep'"),
        ({"loss": "cubed"}, "loss must be one of 'squared'.*got 'cubed'"),
        ({"penalty": "ridge"}, "penalty must be one of 'group'.*got 'ridge'"),
        ({"Y": GOOD.Y[:-1]}, "U and Y must have one row per sample, got 24 and 23"),
        ({"D": GOOD.D[:-1]}, "U and D must have one row per sample, got 24 and 23"),
        ({"D": GOOD.D.astype(float)}, r"D \(n, P\) of bool.*torch.float64.*activation"),
        ({"D": GOOD.D[:, 0]}, r"D \(n, P\) of bool"),
        ({"D": GOOD.D[:, :0]}, r"non-empty.*\(24, 0\)"),
        ({"U": GOOD.U[:, 0]}, r"U \(n, r\+1\)"),
        ({"U": GOOD.U[:0], "D": GOOD.D[:0], "Y": GOOD.Y[:0]}, "non-empty"),
        ({"Y": GOOD.Y[:, :0]}, r"non-empty.*\(24, 0\)"),
        ({"Y": GOOD.Y[None]}, r"Y \(n,\) or \(n, C\)"),
        ({"Y": NAN}, "Y must be finite, but 1 of its 48 entries"),
        ({"U": np.full_like(GOOD.U, np.inf)}, "U must be finite, but 120 of its 120 entries"),
        ({"weights": np.zeros((5, 6, 3))}, r"weights must have shape \(5, 6, 2\), got \(5, 6, 3\)"),
        ({"weights": np.zeros((6, 5, 2))}, r"weights must have shape \(5, 6, 2\), got \(6, 5, 2\)"),
        ({"weights": np.full((5, 6, 2), np.nan)}, "weights must be finite, but 60 of its 60"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    good = {
        "U": GOOD.U,
        "D": GOOD.D,
        "Y": GOOD.Y,
        "beta": GOOD.beta,
        "weights": np.zeros((5, 6, 2)),
    }
    with pytest.raises(ValueError, match=message):
        certify(**good | change)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_weights_are_of_one_program_only(seed):
    """Swapping two gates' columns without their weights is seen."""
    problem = instances.make(seed)
    U, D, Y, beta = problem.data
    W = normal(*problem.shape, seed=seed)
    order = np.roll(np.arange(6), 1)
    same = certify(U, D[:, order], Y, beta, W[:, order])
    assert same.objective == pytest.approx(certify(U, D, Y, beta, W).objective, rel=ROUNDING)
    assert certify(U, D[:, order], Y, beta, W).objective != pytest.approx(same.objective, rel=1e-6)
