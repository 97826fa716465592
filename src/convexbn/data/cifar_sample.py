"""A sample of CIFAR-10 that comes with the package, in 16 x 16 colour pixels.

3,500 of the official training images and 2,000 of the official test images, as many of each class:
Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, University of
Toronto, 2009, https://www.cs.toronto.edu/~kriz/cifar.html, which asks to be cited where the images
are used. They are drawn by the seed 0 (:func:`convexbn.data.subsets.draw_stratified`).

A pixel is the sum of a block of 2 x 2 pixels, from 0 to 1,020, so that nothing is rounded: the
features are those that `pool: 2` makes of the official images. The file was made from these by

    python -m convexbn.data.cifar_sample FOLDER

where FOLDER contains `cifar-10-batches-py`. It holds, in bzip2, which has a checksum: the labels,
one byte each, then the images as differences (:func:`encoded`), two bytes each, the larger first.
What is in the file does not depend on the version of bzip2; how it is compressed may.
"""

import bz2
import sys
from pathlib import Path

import numpy as np

from convexbn.data.images import Images
from convexbn.data.subsets import draw_stratified

FILE = Path(__file__).with_suffix(".bz2")
TRAIN, TEST = 3_500, 2_000
SHAPE = (16, 16, 3)
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
POOL = 2  # side in pixels of the blocks that are summed
_WHITE = 255 * POOL**2
_LEVELS = 1024  # differences are taken modulo this, which is larger than white


def read_cifar_sample() -> Images:
    """Read the sample: images of uint16, shape (n, 16, 16, 3), whose white is 1,020.

    Raises
    ------
    OSError
        If the file is missing or damaged.
    """
    return unpacked(bz2.decompress(FILE.read_bytes()))


def drawn(cifar10: Images) -> Images:
    """Draw the sample from the official images, and sum their blocks of pixels."""
    generator = np.random.default_rng(0)
    splits = {
        "train": (cifar10.train_images, cifar10.train_labels, TRAIN),
        "test": (cifar10.test_images, cifar10.test_labels, TEST),
    }
    tensors: dict[str, np.ndarray] = {}
    for name, (images, labels, size) in splits.items():
        rows = draw_stratified(labels, {name: size}, cifar10.classes, generator)[name]
        tensors |= {f"{name}_images": _summed(images[rows]), f"{name}_labels": labels[rows]}
    return Images.from_tensors(tensors, cifar10.classes, _WHITE)


def packed(sample: Images) -> bytes:
    """Return the content of the file, before compression."""
    labels = np.concatenate([sample.train_labels, sample.test_labels]).astype(np.uint8)
    images = np.concatenate([sample.train_images, sample.test_images])
    return labels.tobytes() + encoded(images).astype(">u2").tobytes()


def unpacked(content: bytes) -> Images:
    """Return the sample from the content of the file, the inverse of :func:`packed`."""
    labels = np.frombuffer(content, np.uint8, TRAIN + TEST).astype(np.int64)
    images = decoded(np.frombuffer(content, ">u2", offset=TRAIN + TEST))
    tensors = {
        "train_images": images[:TRAIN],
        "train_labels": labels[:TRAIN],
        "test_images": images[TRAIN:],
        "test_labels": labels[TRAIN:],
    }
    return Images.from_tensors(tensors, CLASSES, _WHITE)


def encoded(images: np.ndarray) -> np.ndarray:
    """Return images (n, H, W, 3) as differences (3, n, H, W), which compress better.

    Red and blue minus green, and green itself, each minus its left neighbour, modulo `_LEVELS`.
    """
    red, green, blue = np.moveaxis(images.astype(np.int64), -1, 0)
    colours = np.stack([red - green, green, blue - green])  # (3, n, H, W)
    return np.diff(colours, axis=-1, prepend=0) % _LEVELS


def decoded(differences: np.ndarray) -> np.ndarray:
    """Return the images, uint16 (n, 16, 16, 3), the inverse of :func:`encoded`."""
    colours = differences.reshape(3, -1, *SHAPE[:2]).astype(np.int64).cumsum(axis=-1)
    red, green, blue = colours
    images = np.stack([red + green, green, blue + green], axis=-1) % _LEVELS
    return images.astype(np.uint16)


def _summed(images: np.ndarray) -> np.ndarray:
    """Return the sums over blocks of pixels (n, H, W, 3): uint16 (n, H / POOL, W / POOL, 3)."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // POOL, POOL, width // POOL, POOL, channels)
    return blocks.sum(axis=(2, 4), dtype=np.uint16)


def main(folder: str) -> None:
    """Make the file again from the official files in a folder."""
    from convexbn.data.cifar import read_cifar

    FILE.write_bytes(bz2.compress(packed(drawn(read_cifar("cifar10", "fine", folder, folder)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
