"""Fingerprints of the user's own data: a rule that has one as a parameter sees a change of content.

As inputs of the rule they would count by their paths and times.
"""

import hashlib
from pathlib import Path


def of_images(folder: str | Path | None) -> str | None:
    """Return a digest of the images of a data set in a folder; None without a folder.

    The content of each file counts and its name, but neither its time nor how Unicode writes the
    name: images that were replaced, added or removed are other images, and touched or copied ones
    are the same.

    Parameters
    ----------
    folder : path or None
        As in :func:`convexbn.data.folders.read_folder`; what it does not read does not count.

    Raises
    ------
    OSError
        If a file cannot be read, or `train` is missing, as on a drive that is not there: what was
        made from it is not to be lost.
    """
    if folder is None:
        return None
    from convexbn.data.images import composed

    found = hashlib.blake2b(digest_size=16)
    for path in _files(Path(folder)):
        name = composed(path.relative_to(folder).as_posix())
        found.update(f"{name}\0{of_file(path)}\0".encode(errors="surrogateescape"))
    return found.hexdigest()


def _files(folder: Path) -> list[Path]:
    from convexbn.data.folders import visible, with_train

    with_train(folder)
    splits = [folder / split for split in ("train", "test")]
    classes = [path for split in splits if split.is_dir() for path in visible(split)]
    paths = [path for name in classes if name.is_dir() for path in visible(name)]
    return [path for path in paths if path.is_file()]


def of_file(path: str | Path) -> str:
    """Return a digest of what is in a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
