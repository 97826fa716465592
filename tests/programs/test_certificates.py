"""The referee against CVXPY, the paper's formulas, and weights that were spoilt."""

import math
from dataclasses import replace

import instances
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexbn.programs.certificates import certify

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def tensors(*arrays):
    return tuple(torch.as_tensor(array) for array in arrays)


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
    assert certificate.as_dict()["stopped"] == ""  # no solver ran


@pytest.mark.parametrize("size", [1e-2, 1e-1, 10])
def test_a_spoilt_solution_loses_its_certificate(size):
    problem = instances.make(3)
    value, W = instances.interior_point(*problem.data)
    spoilt = W + size * normal(*W.shape)
    certificate = certify(*problem.data, spoilt, tol=1e-6)
    assert not certificate.converged
    # The gap is at least the true distance from the optimum.
    missing = instances.objective(*problem.data, spoilt) - value
    assert certificate.gap >= missing * (1 - 1e-6)


@pytest.mark.parametrize("size", [1e160, 1e300, 1.7e308])
def test_weights_beyond_the_range_of_numbers_are_not_certified(size):
    """Infinity, or infinity minus infinity, is never an optimal objective."""
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
    # Weights are rounded by 6e-8, relative. The objective is flat at the optimum, the bound is not.
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


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_weights_are_of_one_program_only(seed):
    """The objective changes if gates are reordered without their weights."""
    problem = instances.make(seed)
    U, D, Y, beta = problem.data
    W = normal(*problem.shape, seed=seed)
    order = np.roll(np.arange(6), 1)
    same = certify(U, D[:, order], Y, beta, W[:, order])
    assert same.objective == pytest.approx(certify(U, D, Y, beta, W).objective, rel=ROUNDING)
    assert certify(U, D[:, order], Y, beta, W).objective != pytest.approx(same.objective, rel=1e-6)
