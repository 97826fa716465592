"""The problems of the benchmark."""

import numpy as np
import pytest
import torch
from benchmark_cases import built, features

from convexbn import solve, whiten
from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.pipeline import artifacts
from convexbn.programs.design import forward


@pytest.mark.parametrize("entry", [{}, {"n": 12, "rank": 3, "outputs": 2}])
def test_beta_is_a_share_of_the_one_at_which_the_weights_are_zero(entry):
    at_most, below = (built(**entry, beta=share) for share in (1.0001, 0.9))
    for problem, is_zero in ((at_most, True), (below, False)):
        W = solve(problem.U, problem.D, problem.Y, problem.beta).weights
        assert np.allclose(W, 0, atol=1e-9) == is_zero


def test_a_problem_takes_the_first_samples_directions_and_outputs():
    problem, data = built(n=12, rank=3, outputs=2), features()
    assert problem.shape == (12, 4, 5, 2)
    expected = whiten(data["X_train"][:12], rank=3).U
    np.testing.assert_array_equal(problem.U, expected)
    np.testing.assert_array_equal(problem.Y, data["Y_train"][:12, :2])


@pytest.mark.parametrize("entry", [{"n": 21}, {"outputs": 4}, {"rank": 7}])
def test_a_problem_larger_than_its_data_is_refused(entry):
    with pytest.raises(ValueError, match="must be from"):
        built(**entry)


def test_a_problem_survives_its_file(tmp_path):
    problem = built()
    artifacts.save_tensors(tmp_path / "problem.safetensors", problem.tensors(), {})
    again = RaceProblem.read(tmp_path / "problem.safetensors", "gated")
    assert again.beta == problem.beta
    np.testing.assert_array_equal(again.D, problem.D)


def test_the_formed_design_is_that_of_the_program():
    problem = built()
    _, p, P, _ = problem.shape
    W = np.random.default_rng(1).standard_normal((p, P, 1))
    expected = forward(*map(torch.as_tensor, (problem.U, problem.D, W))).numpy()
    # A flat vector of blocks, one after the other.
    np.testing.assert_allclose(problem.design() @ W.transpose(1, 0, 2).reshape(-1, 1), expected)
