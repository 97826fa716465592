"""Raw images of a data set, in one form and one axis order.

An image is `(H, W, c)`, whatever its source keeps: row 0 at the top, column 0 at the left, channels
red, green, blue (or one of gray).
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """A data set before any preprocessing.

    Attributes
    ----------
    train_images, test_images : ndarray of uint8 or uint16, shape (n, H, W, c)
        Test arrays have zero rows where the source has no official split.
    train_labels, test_labels : ndarray of int64, shape (n,)
        Positions in `classes`.
    classes : tuple of str
    white : int
        The intensity of white; black is 0.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    white: int = 255

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], classes: Iterable[str], white: int = 255
    ) -> "Images":
        """Build from the arrays of :meth:`tensors`; the arrays of the test split may be absent."""
        images, labels = tensors["train_images"], tensors["train_labels"]
        test_images = tensors.get("test_images", images[:0])
        test_labels = tensors.get("test_labels", labels[:0])
        return cls(images, labels, test_images, test_labels, tuple(classes), white)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, with the test split only where there is one."""
        tensors = {"train_images": self.train_images, "train_labels": self.train_labels}
        if len(self.test_labels):
            tensors |= {"test_images": self.test_images, "test_labels": self.test_labels}
        return tensors


def composed(name: str) -> str:
    """Return a name in composed Unicode (NFC): file systems and editors write one name in two ways.

    "é" is one character in most files, and "e" with an accent after it in names from a Mac.
    """
    return unicodedata.normalize("NFC", name)
