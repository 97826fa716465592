"""Functions that interpolate few samples, and the one of the convex program."""

import numpy as np
import pytest
from theory_cases import COMMON, SAME, check_refusal, check_seed

from convexbn.experiments.theory import data
from convexbn.experiments.theory.interpolation import interpolate

INTERPOLATION = {"n": 6, "noise": 0.1, "beta": 0.05, "width": 10, "points": 2001}


def test_no_function_has_a_lower_objective_than_the_convex_one():
    rates = {"adam": 0.1, "momentum": 0.01}
    found = interpolate(COMMON | INTERPOLATION | {"learning_rates": rates}, seed=4)
    curves = dict(list(found.groupby("kind")))
    best = curves["convex"]["objective"].iloc[0]
    assert set(curves) == {"data", "convex", "adam", "momentum"}
    for optimizer in rates:
        assert curves[optimizer]["trial"].nunique() == 3
        assert curves[optimizer]["objective"].min() >= best * (1 - SAME)
    assert curves["adam"]["objective"].min() <= best * 1.02
    X, y = data.curve(6, 0.1, seed=4)
    assert curves["data"]["x"].tolist() == X.ravel().tolist()
    assert curves["data"]["y"].tolist() == y.tolist()


def test_functions_are_those_of_the_objective():
    """At a stationary point the sum of norms pulls as the misfit pushes along the scale of f.

    So `beta sum ||.|| = f^T (y - f)`, and the objective is `(||y||^2 - ||f||^2) / 2`.
    """
    found = interpolate(COMMON | INTERPOLATION | {"learning_rates": {"adam": 0.1}}, seed=4)
    X, y = data.curve(6, 0.1, seed=4)
    for (kind, _), curve in found[found["kind"] != "data"].groupby(["kind", "trial"], dropna=False):
        f = np.interp(X.ravel(), curve["x"], curve["y"])
        # The grid's steps are a thousandth of the range, and 400 steps of Adam not quite the end.
        close = {"convex": 1e-3, "adam": 5e-3}[kind]
        assert curve["objective"].iloc[0] == pytest.approx((y @ y - f @ f) / 2, rel=close)


def test_nothing_is_drawn_from_an_uncertified_solve():
    settings = {"n": 6, "noise": 0.1, "beta": 0.01, "points": 3, "learning_rates": {}}
    check_refusal(interpolate, COMMON | settings)


def test_the_seed_fixes_the_numbers():
    settings = COMMON | INTERPOLATION | {"points": 5, "learning_rates": {"adam": 0.1}}
    check_seed(lambda seed: interpolate(settings, seed))
