"""What an interrupted job goes on from: the state of what was under way, and its finished parts.

Two processes may work on the same files, as where a job is started again while its first process
still runs: they write the same, and neither takes away what the other cannot do without.
"""

import hashlib
import logging
import pickle
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convexbn.files import atomic
from convexbn.imports import digest
from convexbn.inputs import ArrayLike, as_array

EVERY = 30.0  # seconds between two writes, at least
SHARE = 0.02  # of the time, at most, goes into writing: large states are written less often

_logger = logging.getLogger(__name__)


class Checkpoint:
    """The state of one piece of work in a file; without a path nothing is kept.

    Parameters
    ----------
    path : str or Path or None
    work : str
        Fingerprint of the work: a state is returned only to the work that saved it.

    Raises
    ------
    ValueError
        From :meth:`load`, if the file is not a checkpoint.
    """

    def __init__(self, path: str | Path | None, work: str) -> None:
        self.path, self.work = None if path is None else Path(path), work
        self._due = time.monotonic() + EVERY

    def load(self) -> dict | None:
        """Return the last saved state; None if there is none, or if it belongs to other work.

        The state of other work (the config, the data or the code of this package has changed since)
        is useless and will be overwritten.
        """
        saved = None if self.path is None else _read(self.path)
        if saved is None:
            return None
        if saved["work"] != self.work:
            _logger.warning("%s is of other settings, data or code: starting over", self.path)
            return None
        _logger.info("going on from %s", self.path)
        return saved["state"]

    def save(self, state: Callable[[], dict], last: bool = False) -> None:
        """Write the state that `state()` returns, unless the last write is too recent.

        The `last` state is written whenever that was: it is kept until the results are.
        """
        if self.path is None or (time.monotonic() < self._due and not last):
            return
        start = time.monotonic()
        _write(self.path, self.work, state())
        taken = time.monotonic() - start
        self._due = time.monotonic() + max(EVERY, taken / SHARE)

    def remove(self) -> None:
        """Remove the file, once the work is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Parts:
    """Finished parts of a job, each in a file of its own; without a folder nothing is kept.

    A part is found by a text that says what it rests on, such as its name and a
    :func:`fingerprint`: those of other settings, data or code are not found.

    Parameters
    ----------
    folder : str or Path, optional

    Attributes
    ----------
    running : Path or None
        File in which the part under way may keep its state.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.running = None if self.folder is None else self.folder / "running"

    @classmethod
    def beside(cls, output: str | Path) -> "Parts":
        """Return those of an output; Snakemake leaves their folder when a job is killed."""
        return cls(Path(output).with_suffix(".parts"))

    def load(self, work: str) -> Any:
        """Return the part of this work, None if it is not finished.

        Raises
        ------
        ValueError
            If its file is truncated, or of something else.
        """
        saved = None if self.folder is None else _read(self._path(self.folder, work))
        return None if saved is None else saved["state"]

    def running_of(self, work: str) -> Path | None:
        """Return a file in which the part of this work, and of no other, may keep its state."""
        return None if self.folder is None else self._path(self.folder, f"{work} running")

    def save(self, work: str, part: Any) -> None:
        """Keep a finished part: numbers, texts, tensors, and lists and dicts of these.

        The state that it kept while it was under way is removed.
        """
        if self.folder is not None:
            _write(self._path(self.folder, work), work, part)
            self._path(self.folder, f"{work} running").unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, work: str) -> Path:
        return folder / hashlib.blake2b(work.encode(), digest_size=16).hexdigest()

    def remove(self) -> None:
        """Remove the folder, once what was made of the parts is written."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)  # a twin may write into it


def _read(path: Path) -> dict | None:
    """Return what a file holds, `work` and `state`; None if there is none."""
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise EOFError("it has no end")
            file.seek(0)
            saved = torch.load(file, map_location="cpu", weights_only=True)
        return {key: saved[key] for key in ("work", "state")}
    except FileNotFoundError:
        return None
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a checkpoint, or not all of one ({error}); remove it, or name another "
            "file"
        ) from error


def _write(path: Path, work: str, state: Any) -> None:
    try:
        with atomic(path) as partial, open(partial, "wb") as file:
            torch.save({"work": work, "state": _plain(state)}, file)
    except FileNotFoundError:
        _logger.warning("%s is not kept: a twin of this job has ended and removed the folder", path)


def _plain(state: Any) -> Any:
    """Return a state whose numbers are Python's: those of NumPy would be refused when loaded."""
    if isinstance(state, dict):
        return {_plain(key): _plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_plain(value) for value in state)
    if isinstance(state, np.ndarray):
        raise TypeError(
            f"a state to resume from holds an array of shape {state.shape}; keep numbers, lists or "
            "tensors instead"
        )
    return state.item() if isinstance(state, np.generic) else state


def fingerprint(settings: str, arrays: Mapping[str, ArrayLike], code: str | Path) -> str:
    """Return a text that changes with the settings, the arrays, and the code that works on them.

    Parameters
    ----------
    settings : str
    arrays : dict of arrays
        Single numbers among them count as arrays of one.
    code : str or Path
        The module that does the work; the modules it imports count too (:mod:`convexbn.imports`).
    """
    found = hashlib.blake2b(f"{settings} {digest(code)}".encode(), digest_size=16)
    for name, values in sorted(arrays.items()):
        values = values if getattr(values, "ndim", 1) else [values]
        array = as_array(name, values, None, finite=False, copy=False)
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
