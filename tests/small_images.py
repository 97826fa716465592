"""Small images of three classes, for networks that are measured or trained in a test."""

import numpy as np

CLASSES = 3


def features(n=24, side=8, channels=1) -> dict[str, np.ndarray]:
    """Return a features artifact: training, validation and test images, `n` of each."""
    generator = np.random.default_rng(0)
    found = {"image": np.array([side, side, channels])}
    for split in ("train", "validation", "test"):
        labels = np.arange(n) % CLASSES
        X = generator.normal(size=(n, side * side * channels)) + labels[:, None]
        found |= {f"X_{split}": X.astype(np.float32), f"labels_{split}": labels}
    return found
