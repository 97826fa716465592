"""A data set in a folder of the user, with one folder of images per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convexbn.data.images import Images


def read_folder(path: str | Path | None = None, size: Sequence[int] | None = None) -> Images:
    """Read the images of a folder; everything becomes RGB and transparency is dropped.

    Parameters
    ----------
    path : path
        A tree `train/<class>/*` and, if there is a test split, `test/<class>/*`. Classes and files
        are taken in alphabetical order, hidden files are ignored.
    size : (H, W), optional
        Resize every image to this height and width in pixels (bilinear).

    Raises
    ------
    FileNotFoundError
        If there is no folder `train`.
    ValueError
        For a missing `path`, an empty or unknown class, an image that cannot be read, or images of
        different sizes without `size`.
    """
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


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _class_names(split: Path) -> list[str]:
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


def _image_files(split: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """List the files of a split, class by class, and their labels."""
    files: list[Path] = []
    labels: list[int] = []
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


def _read_images(files: list[Path], size: Sequence[int] | None) -> np.ndarray:
    images = [_read_image(file, size) for file in files]
    height, width = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != (height, width):
            raise ValueError(
                f"{file} is {image.shape[0]} x {image.shape[1]} pixels (height x width), but "
                f"{files[0]} is {height} x {width}; set size: [height, width] to resize them all"
            )
    return np.stack(images)  # (n, H, W, 3)


def _read_image(file: Path, size: Sequence[int] | None) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as opened:
            if opened.mode.startswith(("I", "F")):  # convert("RGB") would clip these
                raise OSError(f"its pixels are of mode {opened.mode}, not of 8 bits")
            image = opened.convert("RGB")
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise ValueError(
            f"{file} cannot be read as an 8-bit image: {error}; replace or remove it"
        ) from error
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
