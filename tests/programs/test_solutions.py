"""Solutions: what is printed of one."""

import numpy as np

from convexbn import activation, solve, whiten

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
