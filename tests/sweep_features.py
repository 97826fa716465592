"""Small features for training, and a sweep that is trained on them."""

import numpy as np

from convexbn import whiten
from convexbn.pipeline.designs import whitened
from convexbn.training.sweeps import Sweep

n, d, C, K = 70, 5, 3, 4


def make_features(dtype=np.float32, classes=C):
    """Separable classes: the label is the largest of the first features."""
    rng = np.random.default_rng(0)
    features = {}
    for split, rows in (("train", n), ("validation", 20), ("test", 40)):
        X = rng.standard_normal((rows, d)).astype(dtype)
        features[f"X_{split}"] = X
        features[f"labels_{split}"] = X[:, :classes].argmax(axis=1)
    features["Y_train"] = np.eye(classes, dtype=dtype)[features["labels_train"]]
    return features


SWEEP = Sweep(
    network="bn",
    width=16,
    epochs=3,
    batch_size=16,
    learning_rates=(0.05, 0.01),
    betas=(0.5, 0.1),
    seeds=(0, 1),
)


def make_patches(dtype=np.float32):
    """K patches of d entries each, whose sum tells the class."""
    features, rng = make_features(dtype), np.random.default_rng(1)
    for split in ("train", "validation", "test"):
        X = features[f"X_{split}"]
        noise = rng.standard_normal((K, *X.shape)).astype(dtype)
        features[f"X_{split}"] = X / K + noise - noise.mean(axis=0)
    return features


def make_images(dtype=np.float32):
    """Images of 2 x 3 pixels in two channels, the class in the sum of the second."""
    features, rng = make_features(dtype, classes=2), np.random.default_rng(2)
    for split in ("train", "validation", "test"):
        X = rng.standard_normal((len(features[f"labels_{split}"]), 12)).astype(dtype)
        X[:, 1::2] += 2 * features[f"labels_{split}"][:, None] - 1
        features[f"X_{split}"] = X
    return features | {"image": np.array([2, 3, 2])}


P = 6


def design_of(features):
    X = features["X_train"]
    return whiten(X.reshape(-1, X.shape[-1]))


def whitened_features(features=None, seeds=SWEEP.seeds):
    features = make_features() if features is None else features
    return whitened(features, design_of(features), P, seeds)
