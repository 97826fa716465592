"""Samples for deep networks: images as they were, in the format that convolutions like."""

import numpy as np
import pytest
import torch
from torch import nn

from convexbn.training.samples import Samples, accuracy_of, scores_of


def _features(n=5):
    X = np.arange(n * 24, dtype=np.float32).reshape(n, 24)
    return {"X_train": X, "labels_train": np.arange(n) % 3, "image": np.array([2, 4, 3])}


def test_images_have_channels_first_and_lie_in_memory_as_they_were():
    features = _features()
    samples = Samples.of(features)
    assert len(samples) == 5
    expected = features["X_train"].reshape(5, 2, 4, 3).transpose(0, 3, 1, 2)
    assert np.array_equal(samples.X, expected)
    assert samples.X.is_contiguous(memory_format=torch.channels_last)
    batch = samples.X[torch.tensor([3, 1])]
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_vectors_are_the_features():
    features = _features()
    assert np.array_equal(Samples.of(features, flat=True).X, features["X_train"])


def test_patches_and_missing_labels_are_refused():
    features = _features()
    with pytest.raises(ValueError, match=r"images of 2 x 4 x 3, one per row, got shape \(5, 20\)"):
        Samples.of(features | {"X_train": features["X_train"][:, :20]})
    with pytest.raises(ValueError, match="labels_train"):
        Samples.of(features | {"labels_train": np.arange(4)})


def test_scores_do_not_depend_on_blocks_or_on_the_mode():
    """1,100 samples take three blocks; in training mode they would be normalized by each block."""
    X = torch.randn(1100, 3, generator=torch.Generator().manual_seed(0))
    network = nn.BatchNorm1d(3)
    network.running_mean += 1
    expected = network.eval()(X)
    network.train()
    # The same operations on the same rows: equal to rounding of float32.
    torch.testing.assert_close(scores_of(network, Samples(X, X.argmax(1))), expected)
    assert network.training
    assert accuracy_of(network, Samples(X, X.argmax(1))) == 1


def test_every_sample_has_a_label():
    with pytest.raises(ValueError, match=r"X and labels"):
        Samples(torch.zeros(5, 3), torch.zeros(4, dtype=torch.int64))
