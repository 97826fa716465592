"""Runs of the convex program on a few random samples."""

import numpy as np

from convexbn.arrangements.gates import sample_gates
from convexbn.experiments.headline.run import Run, Settings
from convexbn.pipeline.designs import filter_columns, truncated
from convexbn.whitening import whiten

n, d, C, P = 60, 5, 3, 8
BETAS, SEEDS = (0.5, 2.0, 1.0), [7, 3]
SETUP = np.array([10.0, 20.0])


def make_features(validation=15):
    """The label is the largest of the first features."""
    rng, features = np.random.default_rng(0), {}
    for split, rows in (("train", n), ("validation", validation), ("test", 25)):
        X = rng.standard_normal((rows, d)).astype(np.float32)
        features[f"X_{split}"] = X
        features[f"labels_{split}"] = X[:, :C].argmax(axis=1)
    features["Y_train"] = np.eye(C, dtype=np.float32)[features["labels_train"]]
    return features


def make_run(features=None, filtered=None, **settings) -> Run:
    features = features or make_features()
    whitening = whiten(features["X_train"].reshape(-1, features["X_train"].shape[-1]))
    entry = {"rank": settings.pop("rank", None)} | ({"filter": filtered} if filtered else {})
    whitening = truncated(whitening.tensors(), entry)
    gates = np.stack([sample_gates(whitening.U, P, seed) for seed in SEEDS])
    settings = Settings(**{"betas": BETAS, "tolerance": 1e-6} | settings)
    return Run(settings, features, whitening, SEEDS, gates, SETUP, **filter_columns(entry))
