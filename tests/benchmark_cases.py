"""A small problem of the benchmark, a judge that keeps what it is shown, and a made-up table."""

import time

import numpy as np
import pandas as pd

from convexbn import whiten
from convexbn.experiments.benchmark import tables
from convexbn.experiments.benchmark.problems import RaceProblem, build


def features(n=20, d=6, C=3):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return {"X_train": X, "Y_train": np.eye(C, dtype=np.float32)[rng.integers(C, size=n)]}


def built(**entry) -> RaceProblem:
    data = features()
    return build({"gates": 5, "beta": 0.3} | entry, data, whiten(data["X_train"]).tensors(), 0)


class Judge:
    """Keeps what a solver shows, and lets it go on for some seconds."""

    def __init__(self, patience=2.0):
        self.points, self.sent, self.until = [], [], time.monotonic() + patience

    def send(self, message):
        (points,) = message[1:]
        self.points += points
        self.sent.append(len(points))

    def recv(self):
        return time.monotonic() < self.until


def runs_of(points) -> pd.DataFrame:
    """Return a table of runs from (solver, repeat, seconds, objective, violation, status)."""
    columns = ["solver", "repeat", "seconds", "objective", "violation", "status"]
    frame = pd.DataFrame(points, columns=columns).assign(problem="toy", peak_memory=3e6)
    frame["dual_objective"] = np.where(frame["solver"] == "convexbn", 100.0, 50.0)
    return frame.reindex(columns=tables.RUNS)


TOY = runs_of(
    [
        ("convexbn", 0, 1.0, 110.0, 0, tables.ENDED),
        ("convexbn", 0, 2.0, 100.05, 0, tables.ENDED),
        ("convexbn", 1, 1.5, 100.05, 0, tables.ENDED),
        ("convexbn", 2, 4.0, 100.05, 0, tables.ENDED),
        ("pyscnn", 0, 6.0, 90.0, 0.5, "time limit 60 s"),  # below the optimum, outside of a cone
        ("pyscnn", 0, 20.0, 100.5, 0.001, "time limit 60 s"),
        ("scs", 0, np.nan, np.nan, np.nan, "out of memory"),
    ]
)
