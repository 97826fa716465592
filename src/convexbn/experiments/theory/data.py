"""Small synthetic data for the experiments, each fixed by its sizes and a seed.

Features are standard normal, hence in general position. Targets are independent of them, which
makes the hardest problem of its size: every sample needs arrangements of its own.
"""

import numpy as np


def gates_of(seed: int) -> np.random.SeedSequence:
    """Return the seed of gates beside the data of a seed, which they do not depend on."""
    return np.random.SeedSequence([seed, 2])


def regression(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features X (n, d) and targets y (n,), all of them standard normal."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, d)), generator.standard_normal(n)


def signs(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features X (n, d) and labels y (n,) in {-1, +1}."""
    X, y = regression(n, d, seed)
    return X, np.where(y >= 0, 1.0, -1.0)


def one_hot(n: int, d: int, C: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features X (n, d) and one-hot Y (n, C); every class has a sample if n >= C."""
    X, _ = regression(n, d, seed)
    labels = np.random.default_rng([seed, 1]).permutation(np.arange(n) % C)
    return X, np.eye(C)[labels]


def images(n: int, size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gray images (n, 1, height, width) and targets y (n,), all of them standard normal."""
    height, width = size
    X, y = regression(n, height * width, seed)
    return X.reshape(n, 1, height, width), y


def curve(n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of a wave: X (n, 1) ascending in [-1, 1], y = sin(pi x) + noise."""
    generator = np.random.default_rng(seed)
    x = np.sort(generator.uniform(-1, 1, n))
    y = np.sin(np.pi * x) + noise * generator.standard_normal(n)
    return x[:, None], y
