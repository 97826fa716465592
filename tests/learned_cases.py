"""A small classification problem with a decaying spectrum, for the tests of learned filters."""

import numpy as np

from convexbn.experiments.learned_filters.problem import Problem
from convexbn.experiments.learned_filters.settings import Settings
from convexbn.whitening import whiten

n, m, d, C = 40, 30, 6, 3
SETTINGS = Settings(
    betas=[1.0, 0.5], ranks=[2, 4], ridge=[0.01, 0.1], gates=4, tolerance=1e-8, evaluations=8
)


def features(seed=0) -> dict:
    """Return images whose classes depend on the leading directions, with noise in the others."""
    rng = np.random.default_rng(seed)
    made: dict = {}
    sizes = {"train": n, "validation": m, "test": m}
    weights = rng.standard_normal((3, C))
    for split, size in sizes.items():
        X = rng.standard_normal((size, d)) * np.logspace(0, -1.5, d)
        labels = (X[:, :3] @ weights + 0.3 * rng.standard_normal((size, C))).argmax(1)
        made |= {f"X_{split}": X, f"labels_{split}": labels}
    return made | {"Y_train": np.eye(C)[made["labels_train"]]}


def problem(P=4, seed=0) -> Problem:
    data = features()
    return Problem.of(data, whiten(data["X_train"]), P, seed)
