"""Raw images of every data set, in one form and one axis order.

An image is `(H, W, c)` here, whatever its source keeps: row 0 at the top, column 0 at the left,
channels red, green, blue (or one of gray).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convexbn.data.cifar import read_cifar
from convexbn.inputs import check_choice

SOURCES = ("digits", "cifar10", "cifar100", "image_folder")


@dataclass(frozen=True)
class Images:
    """A data set as it comes, before any preprocessing.

    Attributes
    ----------
    train_images, test_images : ndarray of uint8, shape (n, H, W, c)
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
    def from_tensors(cls, tensors, classes, white=255):
        """Build from the arrays of :meth:`tensors`; those of the test split may be absent."""
        images, labels = tensors["train_images"], tensors["train_labels"]
        test_images = tensors.get("test_images", images[:0])
        test_labels = tensors.get("test_labels", labels[:0])
        return cls(images, labels, test_images, test_labels, tuple(classes), white)

    def tensors(self) -> dict:
        """Return the arrays by name, those of the test split only where there is one."""
        tensors = {"train_images": self.train_images, "train_labels": self.train_labels}
        if len(self.test_labels):
            tensors |= {"test_images": self.test_images, "test_labels": self.test_labels}
        return tensors


def load_images(
    source, *, labels="fine", folder=None, download_to="results/data/raw", path=None, size=None
) -> Images:
    """Load a data set.

    Parameters
    ----------
    source : {"digits", "cifar10", "cifar100", "image_folder"}
        `digits` comes with scikit-learn: 1,797 images, 8 x 8, intensities 0 to 16, no official
        split. For CIFAR see :mod:`convexbn.data.cifar`.
    labels : {"fine", "coarse"}
        For cifar100, its 100 classes or its 20 superclasses.
    folder : path, optional
        For CIFAR, the folder that contains `cifar-10-batches-py` (or `cifar-100-python`); it is
        used as it lies there. None downloads.
    download_to : path
        Where CIFAR is downloaded if no `folder` is given; what is there and whole is kept.
    path : path, optional
        For image_folder, a tree `train/<class>/*` and, if there is a test split, `test/<class>/*`.
        Classes and files are taken in alphabetical order, hidden files are ignored, everything
        becomes RGB and transparency is dropped.
    size : (H, W), optional
        For image_folder, resize every image to this height and width in pixels (bilinear).

    Raises
    ------
    ValueError
        For an unknown source or kind of labels, an altered CIFAR file, an empty or unknown class,
        an image that cannot be read, or images of different sizes without `size`.
    OSError
        `FileNotFoundError` for a missing folder or file, `ConnectionError` for a download that
        failed after all tries, and a plain one for a full disk.
    """
    check_choice("source", source, SOURCES)
    kinds = ("fine", "coarse") if source == "cifar100" else ("fine",)
    check_choice(f"labels of {source}", labels, kinds)
    if source == "digits":
        return _load_digits()
    if source == "image_folder":
        return _load_image_folder(path, size)
    return Images.from_tensors(*read_cifar(source, labels, folder, download_to))


def _load_digits() -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    tensors = {
        "train_images": digits.images.astype(np.uint8)[..., None],  # (n, 8, 8, 1)
        "train_labels": digits.target.astype(np.int64),
    }
    return Images.from_tensors(tensors, map(str, digits.target_names), white=16)


def _load_image_folder(path, size) -> Images:
    if path is None:
        raise ValueError("image_folder needs path, the folder that contains train/; got None")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"size must be [height, width] in pixels, both at least 1, got {size!r}")
    train, test = Path(path).expanduser() / "train", Path(path).expanduser() / "test"
    if not train.is_dir():
        raise FileNotFoundError(
            f"{train} is missing; expected images in {train}/<class>/; correct path"
        )
    classes = _class_names(train)
    train_files, train_labels = _image_files(train, classes)
    test_files, test_labels = _image_files(test, classes) if test.is_dir() else ([], [])
    images = _read_images(train_files + test_files, size)
    n = len(train_files)
    labels = np.array(train_labels + test_labels, dtype=np.int64)
    return Images(images[:n], labels[:n], images[n:], labels[n:], tuple(classes))


def _entries(folder) -> list:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _class_names(split) -> list:
    """List the class folders of `train/` or `test/`."""
    entries = _entries(split)
    stray = [path.name for path in entries if not path.is_dir()]
    if stray or not entries:
        found = f"the file {stray[0]}" if stray else "nothing"
        raise ValueError(
            f"{split} must hold one folder per class and nothing else, found {found}; put each "
            "image in the folder of its class"
        )
    return [path.name for path in entries]


def _image_files(split, classes):
    """List the files of a split, class by class, and their labels."""
    files, labels = [], []
    for name in _class_names(split):
        if name not in classes:
            raise ValueError(
                f"{split / name} is a class that train/ does not have (it has "
                f"{', '.join(classes)}); rename it, or add training images of it"
            )
        members = _entries(split / name)
        if not members:
            raise ValueError(f"the class {split / name} has no images; add some or remove it")
        files += members
        labels += [classes.index(name)] * len(members)
    return files, labels


def _read_images(files, size) -> np.ndarray:
    images = [_read_image(file, size) for file in files]
    height, width = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != (height, width):
            raise ValueError(
                f"{file} is {image.shape[0]} x {image.shape[1]} pixels (height x width), but "
                f"{files[0]} is {height} x {width}; set size: [height, width] to resize them all"
            )
    return np.stack(images)  # (n, H, W, 3)


def _read_image(file, size) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):  # convert("RGB") would clip these
                raise OSError(f"its pixels are of mode {image.mode}, not of 8 bits")
            image = image.convert("RGB")
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise ValueError(
            f"{file} cannot be read as an 8-bit image: {error}; replace or remove it"
        ) from error
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
