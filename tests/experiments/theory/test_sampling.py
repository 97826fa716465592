"""The optimum comes down as more arrangements are sampled."""

from itertools import pairwise

from theory_cases import SAME, TOLERANCE, check_refusal, check_seed

from convexbn.experiments.theory.sampling import sample


def test_more_arrangements_never_hurt():
    settings = {"n": 7, "d": 1, "beta": 0.1, "gates": [2, 5, 9], "draws": 2, "tolerance": TOLERANCE}
    found = sample(settings, seed=0)
    assert (found["relative_excess"] >= -SAME).all()
    for _, draw in found[found["gates"] < 14].groupby(["model", "draw"]):
        values = draw.sort_values("gates")["objective"]
        assert all(more <= fewer * (1 + SAME) for fewer, more in pairwise(values))
    few = found[found["gates"] == 2]
    assert few["objective"].nunique() == len(few)  # each draw has its own gates
    whole = found[found["gates"] == 14].set_index("model")
    assert (whole["relative_excess"] == 0).all()
    # A block pair is a gated block of no larger norm, whose cone is no constraint.
    assert whole.loc["gated", "objective"] <= whole.loc["relu", "objective"]


def test_nothing_is_drawn_from_an_uncertified_solve():
    check_refusal(sample, {"n": 7, "d": 1, "beta": 0.1, "gates": [5], "draws": 1})


def test_the_seed_fixes_the_numbers():
    settings = {"n": 5, "d": 1, "beta": 0.1, "gates": [3], "draws": 1, "tolerance": 1e-3}
    check_seed(lambda seed: sample(settings, seed))
