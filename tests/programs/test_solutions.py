"""Solutions: what is printed of one."""

import numpy as np

from convexbn import activation, certify, solve, whiten
from convexbn.programs.solutions import Solution

rng = np.random.default_rng(0)


def test_it_is_printed_in_one_line_that_says_how_good_it_is():
    U = whiten(rng.standard_normal((200, 5))).U
    D, y = activation(U, rng.standard_normal((6, 30))), rng.standard_normal(200)
    solution = solve(U, D, y, 0.5)
    words = repr(solution)
    assert "\n" not in words
    assert len(words) < 200
    assert words.startswith("Solution(beta=0.5, model='gated', loss='squared', penalty='group', ")
    assert f"neurons={solution.neurons}, objective={solution.certificate.objective:.6g}" in words
    assert words.endswith("converged)")
    assert "not converged" not in words


def test_neurons_of_any_size_are_counted():
    """The square of the smallest is zero in float64."""
    W = np.zeros((3, 4, 2))
    W[1, :2, 0] = 1e-170, 1.0
    U = np.eye(3)
    certificate = certify(U, np.ones((3, 4), dtype=bool), np.ones((3, 2)), 1.0, W)
    assert Solution(W, certificate, 1.0).neurons == 2
    assert Solution(W.transpose(2, 0, 1), certificate, 1.0, model="relu").neurons == 2


def test_solutions_and_whitenings_are_compared_as_objects():
    X = np.random.default_rng(0).standard_normal((6, 2))
    first, second = (whiten(X) for _ in range(2))
    assert first == first
    assert first != second
    assert len({first, second}) == 2
