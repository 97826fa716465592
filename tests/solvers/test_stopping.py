"""The stopping rule on made-up errors, and the merging of parallel blocks."""

import math

import pytest
import torch

from convexbn.solvers.sparsity import merged
from convexbn.solvers.stopping import Stopping


def ended(errors, **fields):
    """Return the verdict that ends a solve with these errors, and its iteration."""
    stopping = Stopping(**{"max_iterations": 1000, "progress": 0.9, "patience": 5} | fields)
    for iteration, error in enumerate(errors):
        if stopped := stopping.verdict(error, iteration):
            return stopped, iteration
    return "", len(errors)


def test_enough_ends_at_once():
    errors = [0.5**k for k in range(40)]
    assert ended(errors, enough=1e-3, tol=1e-2, patience_within=3) == ("tolerance", 10)


def test_within_the_tolerance_a_solve_goes_on_while_it_makes_progress():
    errors = [1.0, 1e-3, 5e-4, *[4.9e-4] * 9]
    assert ended(errors, enough=1e-6, tol=1e-2, patience_within=3) == ("tolerance", 5)
    assert ended(errors, tol=1e-4) == ("precision", 7)


def test_patience_counts_from_the_last_progress():
    """Many small falls are progress as soon as together they make a tenth."""
    slow = [0.97**k for k in range(100)]
    assert ended(slow) == ("", 100)
    assert ended([0.99**k for k in range(100)]) == ("precision", 5)


def test_the_limit_of_iterations_is_kept_and_the_solver_may_know_better():
    assert ended([0.5**k for k in range(40)], max_iterations=7) == ("iterations", 7)
    assert Stopping(3, 0.9, 5).verdict(1.0, 3, done=True) == "tolerance"


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_what_is_no_number_is_no_progress(error):
    assert ended([error] * 20)[0] == "precision"


def test_parallel_blocks_are_summed_in_the_longest():
    S = torch.tensor([[1.0, 0], [3.0, 1e-9], [0, 0], [0, 2.0], [-1.0, 0]])
    expected = torch.tensor([[0.0, 0], [4.0, 1e-9], [0, 0], [0, 2.0], [-1.0, 0]])
    torch.testing.assert_close(merged(S, 1e-6), expected, rtol=0, atol=0)
    torch.testing.assert_close(merged(S, 0.0), S, rtol=0, atol=0)
    assert merged(S[:0], 0.1).shape == (0, 2)
