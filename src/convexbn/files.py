"""Files that are whole: written to a temporary neighbour first, and then renamed.

Each process has neighbours of its own, so that two of them may write one file: the later one stays.
"""

import errno
import glob
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The disk, or the user's share of it, is full.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it on success and removed on failure.

    Those that processes of this machine left when they were killed are removed, too.

    Raises
    ------
    OSError
        If the disk is full; the message names the file and the free space.
    """
    path = Path(path)
    _make(path.parent)
    _clear(path)
    partial = partial_of(path, os.getpid())
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # safetensors makes files that only their owner can read
        os.replace(partial, path)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        free = shutil.disk_usage(path.parent).free / 2**20
        message = (
            f"no space left to write {path} ({free:.0f} MiB free there); free some and run again"
        )
        raise OSError(error.errno, message) from error
    finally:
        partial.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make a folder, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if folder.exists() and not folder.is_dir():
            raise
        # A twin of this process has just removed it, and may have made it again.
        folder.mkdir(parents=True, exist_ok=True)


def partial_of(path: Path, pid: int | str) -> Path:
    """Return the temporary neighbour of a file to which a process of this machine writes."""
    return path.with_name(f".{path.name}.{platform.node()}.{pid}.part")


def _clear(path: Path) -> None:
    """Remove the temporary neighbours of processes of this machine that are no more."""
    folder, pattern = glob.escape(str(path.parent)), partial_of(Path(glob.escape(path.name)), "*")
    for left in map(Path, glob.glob(f"{folder}/{pattern}")):
        pid = left.suffixes[-2].removeprefix(".")
        if pid.isdecimal() and not _is_alive(int(pid)):
            left.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there the question would interrupt the process
        return True
    try:
        os.kill(pid, 0)  # asks only
    except ProcessLookupError:
        return False
    except OSError:  # someone else's
        return True
    return True
