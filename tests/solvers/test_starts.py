"""Initial weights of any size lead to the optimum."""

import numpy as np
import pytest
import torch
from instances import make, make_cones, with_targets

from convexbn import solve, solve_path
from convexbn.programs.instances import make_program
from convexbn.solvers.starts import scaled_start

LOSSES = ["squared", "logistic", "squared_hinge"]


def problem_of(model, loss):
    if model == "gated":
        return with_targets(make(3, C=1), loss).data
    return make_cones("relu", 3, n=20, d=3, P=12, loss=loss).data


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", ["gated", "relu"])
def test_initial_weights_of_any_size_are_a_start(model, loss):
    data = problem_of(model, loss)
    first = solve(*data, model=model, loss=loss)
    W = np.asarray(first.weights, dtype=np.float64)
    noise = np.random.default_rng(0).standard_normal(W.shape)
    for initial in (1e4 * W, 1e10 * W, 1e-10 * W, -W, 1e8 * noise, np.full(W.shape, 1e300)):
        found = solve(*data, model=model, loss=loss, initial=initial).certificate
        assert found.converged
        assert found.iterations <= 2 * first.certificate.iterations
        assert found.objective == pytest.approx(first.certificate.objective, rel=2e-6)


@pytest.mark.parametrize("model", ["gated", "relu"])
def test_a_path_takes_far_and_repeated_betas(model):
    U, D, Y, beta = problem_of(model, "squared")
    betas = [1e3 * beta, beta, beta, 1e-3 * beta, 1e-5 * beta]
    assert all(s.certificate.converged for s in solve_path(U, D, Y, betas, model=model))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_best_multiple_has_the_least_objective(loss):
    U, D, Y, beta = problem_of("gated", loss)
    program = make_program(U, D, Y, beta, model="gated", loss=loss, penalty="group")
    V = program.loss.negative_gradient(torch.zeros_like(program.Y), program.Y)
    W = 1e5 * program.adjoint(V)
    F, penalty = program.forward(W), beta * float(program.penalty.value(W))
    best = scaled_start(program, W, F, penalty)
    scale = float(best.abs().max() / W.abs().max())
    least = program.objective(best, scale * F)
    assert 0 < scale < 0.1
    for factor in (0.0, 0.99, 1.01, 1e3):
        assert least <= program.objective(factor * best, factor * scale * F)


def test_a_multiple_near_the_best_is_left_alone():
    data = problem_of("gated", "squared")
    program = make_program(*data, model="gated", loss="squared", penalty="group")
    W = torch.as_tensor(solve(*data).weights).double()
    penalty = data[3] * float(program.penalty.value(W))
    assert scaled_start(program, W, program.forward(W), penalty) is W
