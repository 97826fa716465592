"""Fingerprints of the user's own data: a rule that has one as a parameter sees a change of content.

As inputs of the rule they would count by their paths and times.
"""

import hashlib
from pathlib import Path


def of_images(folder: str | Path | None) -> str | None:
    """Return a digest of the images of a data set in a folder; None without a folder.

    The content of each file counts and its name, but not its time: images that were replaced, added
    or removed are other images, and touched or copied ones are the same.

    Parameters
    ----------
    folder : path or None
        As in :func:`convexbn.data.folders.read_folder`; what it does not read does not count.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    if folder is None:
        return None
    found = hashlib.blake2b(digest_size=16)
    for split in ("train", "test"):
        for path in sorted((Path(folder) / split).glob("*/*")):
            if path.is_file() and not path.name.startswith("."):
                name = path.relative_to(folder).as_posix()
                found.update(f"{name}\0{of_file(path)}\0".encode(errors="surrogateescape"))
    return found.hexdigest()


def of_file(path: str | Path) -> str:
    """Return a digest of what is in a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
