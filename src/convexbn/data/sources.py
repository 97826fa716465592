"""The table of data sources: what is known of each before it is read, and its reader.

A new source takes a row of `SOURCES`, a function below that calls its reader, the reader in a
module of its own, and its name in the schema of the config (`tests/data/test_sources.py` adds a toy
source). Nothing heavy is imported before images are read: every Snakemake process reads the sizes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convexbn.data.images import Images


@dataclass(frozen=True)
class Source:
    """A source of images.

    Attributes
    ----------
    train, test : int
        Number of training images, and of official test images (0 where there is no such split).
    shape : (H, W, c)
        Height, width and channels of an image.
    classes : dict of str to int
        Number of classes by kind of labels; most sources have one kind, "fine".
    read : callable
        Reader of the images; it is given the options of :func:`load_images` as keywords.
    words : str
        What figures call the images; "" for those that the config names.
    """

    train: int
    test: int
    shape: tuple[int, int, int]
    classes: dict[str, int]
    read: Callable[..., "Images"]
    words: str = ""


def _digits(**_) -> "Images":
    from convexbn.data.digits import read_digits

    return read_digits()


def _cifar10(*, labels, folder, download_to, **_) -> "Images":
    from convexbn.data.cifar import read_cifar

    return read_cifar("cifar10", labels, folder, download_to)


def _cifar100(*, labels, folder, download_to, **_) -> "Images":
    from convexbn.data.cifar import read_cifar

    return read_cifar("cifar100", labels, folder, download_to)


def _cifar10_sample(**_) -> "Images":
    from convexbn.data.cifar_sample import read_cifar_sample

    return read_cifar_sample()


def _folder(*, path, size, **_) -> "Images":
    from convexbn.data.folders import read_folder

    return read_folder(path, size)


SOURCES = {
    "digits": Source(1_797, 0, (8, 8, 1), {"fine": 10}, _digits, "handwritten digits"),
    "cifar10": Source(50_000, 10_000, (32, 32, 3), {"fine": 10}, _cifar10, "CIFAR-10"),
    "cifar100": Source(
        50_000, 10_000, (32, 32, 3), {"fine": 100, "coarse": 20}, _cifar100, "CIFAR-100"
    ),
    "cifar10_sample": Source(
        3_500, 2_000, (16, 16, 3), {"fine": 10}, _cifar10_sample, "a sample of CIFAR-10"
    ),
    # Not known before it is read: the sizes of a large one, unless the config says otherwise.
    "image_folder": Source(50_000, 10_000, (64, 64, 3), {"fine": 100}, _folder),
}


def source_of(name: str) -> Source:
    """Return the row of a source.

    Raises
    ------
    ValueError
        If there is no source of this name.
    """
    if name not in SOURCES:
        known = ", ".join(map(repr, SOURCES))
        raise ValueError(f"source must be one of {known}, got {name!r}")
    return SOURCES[name]


def load_images(
    source: str,
    *,
    labels: str = "fine",
    folder: str | Path | None = None,
    download_to: str | Path = "results/data/raw",
    path: str | Path | None = None,
    size: Sequence[int] | None = None,
) -> "Images":
    """Load a data set.

    Parameters
    ----------
    source : str
        A key of `SOURCES`: "digits" (:mod:`convexbn.data.digits`), "cifar10" or "cifar100"
        (:mod:`convexbn.data.cifar`), "cifar10_sample" (:mod:`convexbn.data.cifar_sample`), or
        "image_folder" (:mod:`convexbn.data.folders`).
    labels : {"fine", "coarse"}
        For cifar100, its 100 classes or its 20 superclasses.
    folder : path, optional
        For CIFAR, the folder that contains `cifar-10-batches-py` (or `cifar-100-python`); it is
        used in place. None downloads.
    download_to : path
        For CIFAR, where it is downloaded if no `folder` is given; complete files are kept.
    path, size : optional
        For image_folder, see :func:`convexbn.data.folders.read_folder`.

    Raises
    ------
    ValueError
        For an unknown source or kind of labels, an altered CIFAR file, an empty or unknown class,
        an image that cannot be read, or images of different sizes without `size`.
    OSError
        `FileNotFoundError` for a missing folder or file, `ConnectionError` for a download that
        failed after all tries, and a plain one for a full disk.
    """
    from convexbn.choices import check_choice

    row = source_of(source)
    check_choice(f"labels of {source}", labels, row.classes)
    options = {"labels": labels, "folder": folder, "download_to": download_to}
    return row.read(**options, path=path, size=size)
