"""Small cases of the theory's experiments, and the checks that all experiments share."""

import numpy as np
import pandas as pd
import pytest

from convexbn.programs.solutions import UncertifiedError

# The relative gap that the solver is asked for, and the differences that it then allows.
TOLERANCE = 1e-7
SAME = 1e-6

TRAINED = {"trials": 3, "iterations": 400, "learning_rate": 0.1}
COMMON = {"tolerance": TOLERANCE, "descent": TRAINED}

PROBLEMS = {
    "relu": {"program": "relu", "n": 7, "d": 1, "beta": 0.1},
    "logistic": {"program": "relu", "n": 7, "d": 1, "beta": 0.1, "loss": "logistic"},
    "hinge": {"program": "relu", "n": 7, "d": 1, "beta": 0.1, "loss": "squared_hinge"},
    "group": {"program": "gated", "n": 12, "d": 2, "C": 2, "gates": 3, "beta": 0.5},
    "cnn": {"program": "cnn", "n": 4, "size": [1, 3], "kernel": [1, 1], "beta": 0.1},
    "bn_after_relu": {"program": "bn_after_relu", "n": 7, "d": 2, "beta": 0.1},
    "closed": {"program": "closed_form", "n": 5, "d": 6, "beta": 0.1},
}
PROBLEMS |= {
    "nuclear": PROBLEMS["group"] | {"penalty": "nuclear"},
    "group_entropy": PROBLEMS["group"] | {"loss": "cross_entropy"},
    "nuclear_entropy": PROBLEMS["group"] | {"penalty": "nuclear", "loss": "cross_entropy"},
    "cnn_average": PROBLEMS["cnn"] | {"pooling": "average"},
    "cnn_gated": PROBLEMS["cnn"] | {"n": 8, "size": [2, 2], "kernel": [1, 2], "gates": 4},
    "one_hot": PROBLEMS["closed"] | {"C": 2},
    "deep": PROBLEMS["closed"] | {"depth": 3},
}


def formula(y, beta) -> float:
    """Return the optimum of high-dimensional data, from its two norms."""
    norms = (np.linalg.norm(z) for z in (np.maximum(y, 0), np.maximum(-y, 0)))
    return sum(beta * z - beta**2 / 2 if z > beta else z**2 / 2 for z in norms)


def check_seed(experiment):
    """Check that the seed, the experiment's one argument, fixes its numbers."""
    first, again, other = (experiment(seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


def check_refusal(experiment, settings):
    """Check that no table is made from an uncertified solve."""
    # No float64 gap is as small as this tolerance.
    with pytest.raises(UncertifiedError, match="stopped by precision"):
        experiment(settings | {"tolerance": 1e-18}, seed=0)
