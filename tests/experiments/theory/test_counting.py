"""Arrangements of small data are counted, and are as many as the formula says."""

import numpy as np
from theory_cases import check_seed

from convexbn.experiments.theory.counting import count, distinct


def test_counts_are_the_formula_s():
    settings = {"ranks": [1, 2], "samples": [2, 3, 6, 12], "limit": 100, "draws": [5, 400]}
    found = count(settings, seed=0)
    counts = found.pivot_table(index=["rank", "n"], columns="kind", values="arrangements")
    # By hand: 2n on the line, n(n-1)+2 in the plane; 134 for n = 12 are over the limit, and two
    # samples do not have rank 2.
    by_hand = {(1, 2): 4, (1, 3): 6, (1, 6): 12, (1, 12): 24, (2, 3): 8, (2, 6): 32}
    assert counts["enumerated"].to_dict() == counts["formula"].to_dict() == by_hand


def test_sampled_patterns_are_counted_cumulatively():
    U = np.array([[1.0, 0], [0, 1], [1, 1]])  # six cells
    found = distinct(U, [1, 3, 2000, 2001], seed=0)
    assert found[1] == 1
    assert found[1] <= found[3] <= 3
    assert found[2000] == found[2001] == 6


def test_the_seed_fixes_the_numbers():
    settings = {"ranks": [2], "samples": [9], "limit": 99, "draws": [20]}
    check_seed(lambda seed: count(settings, seed))
