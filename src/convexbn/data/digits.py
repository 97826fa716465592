"""The digits that come with scikit-learn: 8 x 8 pixels, intensities 0 to 16, no official split."""

import numpy as np

from convexbn.data.images import Images


def read_digits() -> Images:
    """Read all 1,797 images as training images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    tensors = {
        "train_images": digits.images.astype(np.uint8)[..., None],  # (n, 8, 8, 1)
        "train_labels": digits.target.astype(np.int64),
    }
    return Images.from_tensors(tensors, map(str, digits.target_names), white=16)
