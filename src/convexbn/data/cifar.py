"""The official CIFAR files: fetched or found, checked, and read with torchvision.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A file is read only if
its MD5 is in torchvision's lists, so that the remains of an interrupted download are never used.
"""

import errno
import logging
import pickle
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import numpy as np

from convexbn.data.images import Images
from convexbn.files import DISK_FULL

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

TRIES = 4
WAIT_SECONDS = 2.0  # before the second try; doubles after each
TIMEOUT_SECONDS = 60.0  # without a byte from the server

# Sizes of the official files, to tell a truncated file from an altered one.
OFFICIAL_BYTES = {
    "data_batch_1": 31_035_704,
    "data_batch_2": 31_035_320,
    "data_batch_3": 31_035_999,
    "data_batch_4": 31_035_696,
    "data_batch_5": 31_035_623,
    "test_batch": 31_035_526,
    "batches.meta": 158,
    "train": 155_249_918,
    "test": 31_049_707,
    "meta": 1_473,
}

_NETWORK_ERRORS = (URLError, TimeoutError, ConnectionError, HTTPException, ssl.SSLError)

logger = logging.getLogger(__name__)


def read_cifar(
    source: str, labels: str, folder: str | Path | None, download_to: str | Path
) -> Images:
    """Read CIFAR-10 or CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels.

    Parameters
    ----------
    source : {"cifar10", "cifar100"}
    labels : {"fine", "coarse"}
        "coarse" (cifar100 only) for the 20 superclasses.
    folder : path or None
        Folder that contains `cifar-10-batches-py` or `cifar-100-python`; it is used in place.
    download_to : path
        Folder to download to when `folder` is None; complete files are kept.

    Raises
    ------
    FileNotFoundError
        For a missing folder or file.
    ValueError
        For a truncated or altered file.
    ConnectionError
        If the download fails after all tries.
    OSError
        If the disk is full.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    dataset = {"cifar10": CIFAR10, "cifar100": CIFAR100}[source]
    root = Path(download_to if folder is None else folder).expanduser()
    if folder is None:
        _download(dataset, root)
    _check_folder(dataset, root)
    train, test = dataset(root, train=True), dataset(root, train=False)
    targets, classes = (train.targets, test.targets), train.classes
    if labels == "coarse":
        targets, classes = _coarse_labels(root / dataset.base_folder)
    return Images(
        train_images=np.ascontiguousarray(train.data),  # a transposed view until here
        train_labels=np.asarray(targets[0], dtype=np.int64),
        test_images=np.ascontiguousarray(test.data),
        test_labels=np.asarray(targets[1], dtype=np.int64),
        classes=tuple(classes),
    )


def _coarse_labels(batches: Path) -> tuple[tuple[list, list], list[str]]:
    """Read CIFAR-100's superclasses, which torchvision does not offer, from checked files."""
    train, test, meta = (
        pickle.loads((batches / name).read_bytes(), encoding="latin1")
        for name in ("train", "test", "meta")
    )
    return (train["coarse_labels"], test["coarse_labels"]), meta["coarse_label_names"]


def _official_files(dataset: "type[CIFAR10]") -> list[tuple[str, str]]:
    """List the name and MD5 of each file of a torchvision CIFAR class."""
    meta = (dataset.meta["filename"], dataset.meta["md5"])
    return [*dataset.train_list, *dataset.test_list, meta]


def _check_folder(dataset: "type[CIFAR10]", root: Path) -> None:
    """Raise unless `root` holds the complete official files."""
    wanted = f"expected a folder that contains {dataset.base_folder}/, from {dataset.filename}"
    advice = "correct data_dir in the config or CIFAR_DIR, or leave out both to download"
    if not root.is_dir():
        raise FileNotFoundError(f"the CIFAR folder {root} is missing; {wanted}; {advice}")
    if not (root / dataset.base_folder).is_dir():
        found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
        raise FileNotFoundError(
            f"the CIFAR folder {root} is not the right one: {wanted}, found {found}; {advice}"
        )
    for name, md5 in _official_files(dataset):
        _check_file(root / dataset.base_folder / name, md5, dataset.filename)


def _check_file(path: Path, md5: str, archive: str) -> None:
    from torchvision.datasets.utils import calculate_md5

    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: expected the file of {archive} with MD5 {md5}; unpack the archive "
            "there again"
        )
    found = calculate_md5(path)
    if found != md5:
        raise ValueError(
            f"{path} is truncated or altered: expected {OFFICIAL_BYTES[path.name]} bytes with MD5 "
            f"{md5}, got {path.stat().st_size} bytes with MD5 {found}; unpack {archive} there again"
        )


def _download(dataset: "type[CIFAR10]", root: Path) -> None:
    """Download the data set to `root`, unless it is there; mend an interrupted download.

    torchvision fetches the archive again unless its MD5 is right, and extraction overwrites. The
    lock keeps two jobs that need the same archive from writing it at once.
    """
    from filelock import FileLock
    from torchvision.datasets.utils import check_integrity

    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{dataset.base_folder}.lock"):
            folder = root / dataset.base_folder
            files = _official_files(dataset)
            if not all(check_integrity(folder / name, md5) for name, md5 in files):
                _fetch(dataset, root)
    except (OSError, HTTPException, RuntimeError) as error:
        if _disk_is_full(error):
            raise OSError(errno.ENOSPC, _full_disk_message(root)) from error
        if _is_network_error(error):
            raise ConnectionError(_network_message(dataset, root, error)) from error
        raise


def _fetch(dataset: "type[CIFAR10]", root: Path) -> None:
    """Download and extract with torchvision; try again after an error of the network."""
    import tenacity
    from torchvision.datasets.utils import download_and_extract_archive

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential(multiplier=WAIT_SECONDS),
        retry=tenacity.retry_if_exception(_is_network_error),
        before_sleep=tenacity.before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
    archive = {"filename": dataset.filename, "md5": dataset.tgz_md5}
    logger.info("downloading %s to %s", dataset.url, root)
    with _socket_timeout(TIMEOUT_SECONDS):
        retrying(download_and_extract_archive, dataset.url, root, **archive)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Give up on a silent server: torchvision opens its connections without a timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _disk_is_full(error: BaseException | None) -> bool:
    """Search the chain of errors: after one of the disk, torchvision tries once more over http."""
    while error is not None:
        if getattr(error, "errno", None) in DISK_FULL:
            return True
        error = error.__context__
    return False


def _is_network_error(error: BaseException) -> bool:
    wrong_md5 = isinstance(error, RuntimeError) and "corrupted" in str(error)
    return (wrong_md5 or isinstance(error, _NETWORK_ERRORS)) and not _disk_is_full(error)


def _full_disk_message(root: Path) -> str:
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e6
    return (
        f"no space left to download CIFAR to {root}: expected about 170 MB for the archive and "
        f"186 MB for its files, {free:.0f} MB are free; free some and run again, or put the files "
        "in a folder elsewhere and name it in data_dir in the config or in CIFAR_DIR"
    )


def _network_message(dataset: "type[CIFAR10]", root: Path, error: Exception) -> str:
    return (
        f"could not download {dataset.url} to {root} in {TRIES} tries: expected an archive with "
        f"MD5 {dataset.tgz_md5}, got {type(error).__name__}: {error}; run again with a network, or "
        f"unpack {dataset.filename} in a folder and name it in data_dir in the config or in "
        "CIFAR_DIR"
    )
