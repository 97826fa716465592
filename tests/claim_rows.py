"""Rows of the table of runs, made by hand for the tests of statements."""

import numpy as np
import pandas as pd

from convexbn.reporting import selection
from convexbn.reporting.methods import NETWORKS

CIFAR = {"source": "cifar10", "pool": 2, "n": 1000}


def rows_of(method, accuracies, dataset="d", **columns) -> list[dict]:
    """One setting of a method, one test accuracy per seed."""
    by_sgd = "SGD" in method
    row = {
        **{"dataset": dataset, "run": method, "method": method, "candidate": True, "beta": 1.0},
        **{"learning_rate": 0.1 if by_sgd else np.nan, "gates": 8, "filter_kind": ""},
        **{"rank": np.nan if method in NETWORKS else 9, "train_accuracy": 1.0},
        **{"validation_accuracy": 0.5, "objective": 1.0, "relative_gap": 0.0, "test_ece": 0.1},
        "certified": np.nan if by_sgd else True,
        **({} if by_sgd else {"loss": "squared", "penalty": "group"}),
    }
    return [
        row | {"seed": seed, "test_accuracy": accuracy} | columns
        for seed, accuracy in enumerate(accuracies)
    ]


def table_of(*rows) -> pd.DataFrame:
    return pd.DataFrame([row for some in rows for row in some]).reindex(columns=selection.RUNS)


def runs_of(sgd, full, truncated, train=1.0, certified=True, dataset="d") -> pd.DataFrame:
    """One setting per method, one test accuracy per seed."""
    columns = {"train_accuracy": train, "dataset": dataset}
    solved = columns | {"certified": certified}
    return table_of(
        rows_of("SGD", sgd, **columns),
        rows_of("convex", full, **solved),
        rows_of("convex-truncated", truncated, **solved),
    )
