"""A data set in a folder of the user, with one folder of images per class."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convexbn.data.decoding import read_image
from convexbn.data.images import Images, composed
from convexbn.inputs import check_between

# What systems leave in folders, besides hidden files.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"}
# Folders that someone would expect to be read as a split of the data, like "Test" or "val_2".
_SPLIT = re.compile(
    r"(train(ing)?|tests?|testing|val|valid(ation)?|dev|eval(uation)?|hold[-_ ]?out)([\W\d_].*)?",
    re.I,
)

logger = logging.getLogger(__name__)


def read_folder(path: str | Path | None = None, size: Sequence[int] | None = None) -> Images:
    """Read the images of a folder, each as :func:`convexbn.data.decoding.read_image` does.

    Parameters
    ----------
    path : path
        A tree `train/<class>/*` and, if there is a test split, `test/<class>/*`. Classes and files
        are taken in alphabetical order; hidden files and those that systems leave are ignored.
        Names of classes are in composed Unicode, whatever the file system makes of them.
    size : (H, W), optional
        Resize every image to this height and width in pixels (bilinear).

    Raises
    ------
    FileNotFoundError
        If there is no folder `train`.
    ValueError
        For a missing `path`, a folder beside `train` that looks like a split but is not read, an
        empty or unknown class, an image that cannot be read, or images of different sizes without
        `size`.
    """
    if path is None:
        raise ValueError("image_folder needs path, the folder that contains train/; got None")
    _check_size(size)
    root = Path(path).expanduser()
    splits = _check_splits(root)
    train = _class_folders(root / "train")
    test = _class_folders(root / "test") if "test" in splits else {}
    _check_classes(root / "test", test, train)
    train_files, train_labels = _image_files(train, list(train))
    test_files, test_labels = _image_files(test, list(train))
    images = _read_images(train_files + test_files, size)
    n = len(train_files)
    labels = np.array(train_labels + test_labels, dtype=np.int64)
    return Images(images[:n], labels[:n], images[n:], labels[n:], tuple(train))


def _check_size(size: Sequence[int] | None) -> None:
    if size is not None and (isinstance(size, str) or len(size) != 2 or min(size) < 1):
        raise ValueError(f"size must be [height, width] in pixels, both at least 1, got {size!r}")
    for side in size or ():
        check_between("size", side, 1, 2**16)


def _check_splits(root: Path) -> set[str]:
    """Return the names of what `root` holds, with `train`; raise if it holds a split not read."""
    found = with_train(root)
    for entry in found:
        if entry.is_dir() and entry.name not in ("train", "test"):
            _check_beside(entry)
    return {entry.name for entry in found}


def with_train(root: Path) -> list[Path]:
    """List what `root` holds; raise FileNotFoundError unless a folder `train` is among it."""
    found = visible(root) if root.is_dir() else []
    if not any(entry.name == "train" and entry.is_dir() for entry in found):
        names = ", ".join(entry.name for entry in found[:8]) or "nothing"
        raise FileNotFoundError(
            f"{root / 'train'} is missing; expected images in {root / 'train'}/<class>/, but "
            f"{root} holds {names}; correct path, or rename the folder of training images"
        )
    return found


def _check_beside(folder: Path) -> None:
    """Raise for a folder beside `train` that looks like a split, and warn of any other."""
    if _SPLIT.fullmatch(composed(folder.name).strip()):
        raise ValueError(
            f"{folder} would not be read: training and validation images are drawn from train/, "
            "test images from test/ (from train/ where it is missing); rename it, move its images "
            "into one of these, or move it elsewhere"
        )
    logger.warning("%s is not read: of its neighbours, train/ and test/ are", folder)


def visible(folder: Path) -> list[Path]:
    """List a folder without hidden files and litter, in an order that all file systems share."""
    paths = (path for path in folder.iterdir() if not path.name.startswith("."))
    kept = [path for path in paths if path.name.casefold() not in _LITTER]
    return sorted(kept, key=lambda path: (composed(path.name), path.name))


def _class_folders(split: Path) -> dict[str, Path]:
    """Return the folder of each class of `train/` or `test/`, by the name of the class."""
    entries = visible(split) if split.is_dir() else []
    stray = [path.name for path in entries if not path.is_dir()]
    if stray or not entries:
        kind = "broken link" if stray and not (split / stray[0]).exists() else "file"
        found = f"the {kind} {stray[0]}" if stray else "nothing"
        raise ValueError(
            f"{split} must hold one folder per class and nothing else, found {found}; put each "
            "image in the folder of its class"
        )
    return _by_class(split, entries)


def _by_class(split: Path, entries: list[Path]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for entry in entries:
        name = composed(entry.name)
        if re.search("[\ud800-\udfff]", name):  # bytes that are no UTF-8
            raise ValueError(f"{split} has a class {name!r} whose name is not UTF-8; rename it")
        if name in folders:
            forms = ascii(folders[name].name), ascii(entry.name)
            raise ValueError(
                f"{split} has two folders for the class {name!r}, which differ only in how Unicode "
                f"writes it, {forms[0]} and {forms[1]}; put their images into one"
            )
        folders[name] = entry
    return folders


def _check_classes(split: Path, found: dict[str, Path], known: dict[str, Path]) -> None:
    """Raise unless every class of the test split is one of the training images."""
    for name in found:
        if name not in known:
            raise ValueError(
                f"{split / name} is a class that train/ does not have (it has "
                f"{', '.join(known)}); rename it, or add training images of it"
            )


def _image_files(folders: dict[str, Path], classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """List the files of a split, class by class, and their labels."""
    files: list[Path] = []
    labels: list[int] = []
    for name, folder in folders.items():
        members = visible(folder)
        if not members:
            raise ValueError(f"the class {folder} has no images; add some or remove it")
        files += members
        labels += [classes.index(name)] * len(members)
    return files, labels


def _read_images(files: list[Path], size: Sequence[int] | None) -> np.ndarray:
    images, remarks = [], defaultdict(list)
    for file in files:
        _check_file(file)
        pixels, told = read_image(file, size)
        images.append(pixels)
        for remark in told:
            remarks[remark].append(file)
    _check_alike(files, images)
    for remark, found in remarks.items():
        others = f" (and {len(found) - 1} other images)" if len(found) > 1 else ""
        logger.warning("%s%s: %s", found[0], others, remark)
    return np.stack(images)  # (n, H, W, 3)


def _check_file(file: Path) -> None:
    if not file.is_file():
        kind = "folder" if file.is_dir() else "broken link or no ordinary file"
        raise ValueError(
            f"{file} is a {kind}; expected the images of a class directly in its folder; move or "
            "remove it"
        )


def _check_alike(files: list[Path], images: list[np.ndarray]) -> None:
    height, width = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != (height, width):
            raise ValueError(
                f"{file} is {image.shape[0]} x {image.shape[1]} pixels (height x width), but "
                f"{files[0]} is {height} x {width}; set size: [height, width] to resize them all"
            )
