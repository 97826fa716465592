"""Inputs that do not fit are refused with a message that says why."""

import math

import instances
import numpy as np
import pytest

from convexbn import solve
from convexbn.programs import memory
from convexbn.programs.certificates import certify
from convexbn.programs.instances import beta_max

GOOD = instances.make(0)
NAN = np.where(np.arange(48).reshape(24, 2) == 5, np.nan, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta": 0}, "beta must be > 0 and finite, got 0"),
        ({"beta": -1.0}, "beta must be > 0 and finite, got -1.0"),
        ({"beta": math.nan}, "beta must be > 0 and finite, got nan"),
        ({"beta": math.inf}, "beta must be > 0 and finite, got inf"),
        ({"beta": "0.1"}, "beta must be .*number"),
        ({"beta": None}, "beta must"),
        ({"model": "deep"}, "model must be one of 'gated', 'relu', 'relu_bn', got 'deep'"),
        ({"loss": "cubed"}, "loss must be one of 'squared'.*got 'cubed'"),
        ({"penalty": "ridge"}, "penalty must be one of 'group'.*got 'ridge'"),
        ({"Y": GOOD.Y[:-1]}, "the same n samples, got 24 in U and D, and 23 in Y"),
        ({"D": GOOD.D[:-1]}, r"the same n samples.* U \(24, 5\), D \(23, 6\) and Y \(24, 2\)"),
        ({"D": GOOD.D.astype(float)}, "D must be of bool, got float64; make it with activation"),
        ({"D": GOOD.D[:, 0]}, r"D \(n, P\).* got .*D \(24,\)"),
        ({"D": GOOD.D[:, :0]}, r"nothing may be empty; got .*\(24, 0\)"),
        ({"U": GOOD.U[:, 0]}, r"U must have shape \(n, r \+ 1\).* got U \(24,\)"),
        ({"U": GOOD.U[:0], "D": GOOD.D[:0], "Y": GOOD.Y[:0]}, "nothing may be empty"),
        ({"Y": GOOD.Y[:, :0]}, r"nothing may be empty; got .*\(24, 0\)"),
        ({"Y": GOOD.Y[None]}, r"Y \(n,\) or \(n, C\)"),
        ({"Y": NAN}, "Y must be finite, but 1 of its 48 entries"),
        ({"U": np.full_like(GOOD.U, np.inf)}, "U must be finite, but 120 of its 120 entries"),
        ({"weights": np.zeros((5, 6, 3))}, r"weights must have shape \(5, 6, 2\), got \(5, 6, 3\)"),
        ({"weights": np.zeros((6, 5, 2))}, r"weights must have shape \(5, 6, 2\), got \(6, 5, 2\)"),
        ({"weights": np.full((5, 6, 2), np.nan)}, "weights must be finite, but 60 of its 60"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    good = {
        "U": GOOD.U,
        "D": GOOD.D,
        "Y": GOOD.Y,
        "beta": GOOD.beta,
        "weights": np.zeros((5, 6, 2)),
    }
    with pytest.raises(ValueError, match=message):
        certify(**good | change)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_optimum_is_zero_from_beta_max_on_and_not_below(loss):
    problem = instances.make(0, C=1)
    U, D, Y = problem.U, problem.D, problem.Y
    Y = np.sign(Y) if loss == "logistic" else Y
    top = beta_max(U, D, Y, loss=loss)
    zero = np.zeros((U.shape[1], D.shape[1], 1))
    at, below = (certify(U, D, Y, share * top, zero, loss=loss) for share in (1 + 1e-9, 0.9))
    assert at.relative_gap < 1e-12  # rounding
    assert below.relative_gap > 1e-3
    if loss == "squared":
        assert top == pytest.approx(instances.beta_max(U, D, Y), rel=1e-12)


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_beta_max_is_in_the_units_of_the_targets(unit):
    terms = GOOD.U, GOOD.D
    # A product of each number with the unit is rounded once, and so is the result.
    assert beta_max(*terms, GOOD.Y * unit) == pytest.approx(unit * beta_max(*terms, GOOD.Y))


def test_only_a_solve_needs_the_memory_of_a_solve(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 10**6)
    assert beta_max(GOOD.U, GOOD.D, GOOD.Y) > 0
    zero = np.zeros((GOOD.U.shape[1], GOOD.D.shape[1], GOOD.Y.shape[1]))
    assert certify(GOOD.U, GOOD.D, GOOD.Y, 1.0, zero).objective > 0
    with pytest.raises(ValueError, match="are free on cpu"):
        solve(GOOD.U, GOOD.D, GOOD.Y, 1.0)
