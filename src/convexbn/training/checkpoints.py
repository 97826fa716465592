"""Where a long training stands, kept in a file, so that a killed one goes on where it was."""

import hashlib
import logging
import pickle
import time
from pathlib import Path

import numpy as np
import torch

from convexbn.files import atomic
from convexbn.imports import PACKAGE, closure

EVERY = 30.0  # seconds between two writes, at least
SHARE = 0.02  # of the time, at most, goes into writing: large states are written less often

_logger = logging.getLogger(__name__)


class Checkpoint:
    """The state of one piece of work, in a file or, without a path, nowhere.

    Parameters
    ----------
    path : str or Path or None
    work : str
        Tells the work from any other: a state is only given back to the work that saved it.

    Raises
    ------
    ValueError
        From :meth:`load`, if there is a file that is no checkpoint.
    """

    def __init__(self, path, work: str):
        self.path, self.work = None if path is None else Path(path), work
        self._due = time.monotonic() + EVERY

    def load(self) -> dict | None:
        """Return the state last saved; None if there is none, or that of other work.

        The state of other work (the config, the data or this package's code have changed since) is
        of no use to anyone, and will be overwritten.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            work, state = saved["work"], saved["state"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} is no checkpoint ({error}); remove it, or name another file"
            ) from error
        if work != self.work:
            _logger.warning("%s is of other settings, data or code: starting anew", self.path)
            return None
        _logger.info("going on from %s", self.path)
        return state

    def save(self, state) -> None:
        """Write the state that `state()` returns, unless the last write is too recent."""
        if self.path is None or time.monotonic() < self._due:
            return
        start = time.monotonic()
        with atomic(self.path) as partial:
            torch.save({"work": self.work, "state": state()}, partial)
        taken = time.monotonic() - start
        self._due = time.monotonic() + max(EVERY, taken / SHARE)

    def remove(self) -> None:
        """Remove the file: the work is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def fingerprint(settings: str, arrays: dict, code) -> str:
    """Return a text that tells settings, arrays and the code that works on them from any others.

    Parameters
    ----------
    settings : str
    arrays : dict of arrays
    code : str or Path
        The module whose work it is, with all that it rests on (:mod:`convexbn.imports`).
    """
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for module in closure(code):
        digest.update(str(module.relative_to(PACKAGE)).encode() + module.read_bytes())
    for name, values in sorted(arrays.items()):
        array = np.ascontiguousarray(values)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()
