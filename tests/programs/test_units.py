"""Units of designs and targets, which are powers of two and round nothing."""

from dataclasses import replace

import instances
import numpy as np
import pytest
import torch

from convexbn import certify, enumerate_arrangements, solve, solve_path, whiten
from convexbn.programs.instances import make_program
from convexbn.programs.units import Units, scaled

TERMS = {"model": "gated", "loss": "squared", "penalty": "group"}


def program(size_U=1.0, size_Y=1.0, loss="squared"):
    problem = instances.with_targets(instances.make(0), loss)
    U, D, Y, beta = problem.data
    return make_program(size_U * U, D, size_Y * Y, size_U * size_Y * beta, **TERMS | {"loss": loss})


@pytest.mark.parametrize("exponent", [-2100, -1074, -3, 0, 5, 1023, 2100])
def test_scaling_is_exact_and_leads_back(exponent):
    values = torch.as_tensor(np.random.default_rng(0).standard_normal(9))
    there = scaled(values, exponent)
    if abs(exponent) < 1000:
        assert torch.equal(scaled(there, -exponent), values)
    elif exponent > 1100:
        assert bool(there.isinf().all())
    elif exponent < -1200:
        assert not there.any()


def test_whitened_designs_and_labels_are_left_as_they_are():
    here = program(loss="cross_entropy")
    assert Units.of(here) == Units()
    assert Units().taken_off(here).U.data_ptr() == here.U.data_ptr()


@pytest.mark.parametrize("size_U", [1e-300, 1e-20, 1.0, 1e150])
@pytest.mark.parametrize("size_Y", [1e-300, 1.0, 1e100])
def test_numbers_are_near_one_without_their_units(size_U, size_Y):
    here = program(size_U, size_Y) if size_U * size_Y > 1e-305 else program(size_U, 1 / size_U)
    plain = Units.of(here).taken_off(here)
    assert 0.7 < float(plain.Y.abs().max()) < 1.5
    assert 0.7 < float(torch.linalg.vector_norm(plain.U)) / np.sqrt(plain.U.shape[1]) < 1.5
    assert 1e-4 < plain.beta < 10


def test_labels_have_no_unit():
    assert Units.of(program(size_U=4.0, loss="logistic")) == Units(design=2)


def test_a_beta_that_does_not_compare_is_refused():
    here = replace(program(size_Y=1e200), beta=1e-300)
    with pytest.raises(ValueError, match=r"beta must be comparable .* got 1e-300 for 1 times"):
        Units.of(here).taken_off(here)


def test_a_beta_for_targets_beyond_the_numbers_is_refused_too():
    here = replace(program(), Y=torch.full_like(program().Y, 1.7e308), beta=1e-20)
    with pytest.raises(ValueError, match=r"beta must be comparable .* times inf"):
        Units.of(here).taken_off(here)


def test_a_path_goes_on_from_weights_near_the_smallest_of_float32():
    """The first solution is within its tolerance in float32, where its unit is 2^-130."""
    U, D, Y, beta = instances.make(0).data
    betas = [2 * beta, beta]
    solutions = list(solve_path(U, D, 1e-39 * Y, [1e-39 * b for b in betas], tol=1e-3))
    assert all(solution.certificate.converged for solution in solutions)
    assert solutions[0].weights.dtype == np.float32
    for solution, plain in zip(solutions, solve_path(U, D, Y, betas, tol=1e-3), strict=True):
        # Both are within their tolerance; objectives are squares.
        ratio = solution.certificate.dual_objective / plain.certificate.dual_objective
        assert ratio == pytest.approx(1e-78, rel=1e-3)


@pytest.mark.parametrize("model", ["gated", "relu"])
@pytest.mark.parametrize("size", [1e-300, 1e-20, 3e3, 1e15, 1e150])
def test_designs_have_any_unit(model, size):
    """`U` and `beta` in another unit make the same network; average pooling makes such designs."""
    problem = instances.make_cones("relu", 3)
    U, D, y, beta = problem.data
    one = solve(U, D, y, beta, model=model, tol=1e-8).certificate
    solution = solve(size * U, D, y, size * beta, model=model, tol=1e-8)
    assert solution.certificate.converged
    # Both are within 1e-8 of the optimum.
    assert solution.certificate.objective == pytest.approx(one.objective, rel=2e-8)
    witness = {"dual": solution.dual} if model == "gated" else {"multipliers": solution.multipliers}
    judged = certify(size * U, D, y, size * beta, solution.weights, model=model, **witness)
    assert judged.objective == solution.certificate.objective
    assert judged.dual_objective == solution.certificate.dual_objective


@pytest.mark.parametrize(
    ("model", "size"), [("relu", 1e-100), ("relu", 1e-170), ("relu", 1e-300), ("relu_bn", 1e-100)]
)
def test_a_sample_next_to_the_origin_costs_nothing(model, size):
    """Squares of 1e-170 underflow; BN after the ReLU would still bring that sample to size 1."""
    U = whiten(np.random.default_rng(0).standard_normal((7, 2))).U
    U[3] *= size
    y = np.random.default_rng(1).standard_normal(7)
    D = enumerate_arrangements(U)
    assert solve(U, D, y, 0.1, model=model).certificate.converged
