"""Flips and shifts of images, against NumPy's on images that are taken apart."""

import numpy as np
import pytest
import torch

from convexbn.training.augmentation import Augmentation

H, W, CHANNELS = 3, 5, 2


def shifted(image, down, right):
    """Move an image within a wide frame of zeros."""
    frame = np.zeros((3 * H, 3 * W, CHANNELS))
    frame[H + down : 2 * H + down, W + right : 2 * W + right] = image
    return frame[H : 2 * H, W : 2 * W]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_every_flip_and_shift_is_there_once(flip, shift):
    augmentation = Augmentation(H, W, CHANNELS, flip=flip, shift=shift)
    image = np.random.default_rng(0).standard_normal((H, W, CHANNELS))
    moves = range(-shift, shift + 1)
    views = [image, image[:, ::-1]] if flip else [image]
    expected = {
        shifted(view, down, right).tobytes() for view in views for down in moves for right in moves
    }
    X = torch.as_tensor(image).flatten().repeat(len(augmentation.table), 1)
    found = augmentation(X, torch.arange(len(augmentation.table))).numpy()
    assert {row.tobytes() for row in found} == expected
    assert len(expected) == len(found) == (1 + flip) * (2 * shift + 1) ** 2


def test_all_ways_are_equally_likely_and_come_from_the_generator():
    augmentation = Augmentation(H, W, CHANNELS, flip=True, shift=1)
    draws = [augmentation.draw(18000, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=0)
    assert not torch.equal(draws[0], draws[2])
    # 18 ways, 1,000 times each on average; 5 standard deviations of that are 154.
    assert (torch.bincount(draws[0], minlength=18) - 1000).abs().max() < 154


def test_a_shift_leaves_something_of_an_image():
    with pytest.raises(ValueError, match="shift must be from 0 to 2"):
        Augmentation(H, W, CHANNELS, shift=3)
