"""The state of a long training in a file, from which an interrupted training goes on."""

import hashlib
import logging
import pickle
import time
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
        if self.path is None or not self.path.exists():
            return None
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            work, state = saved["work"], saved["state"]
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} is not a checkpoint ({error}); remove it, or name another file"
            ) from error
        if work != self.work:
            _logger.warning("%s is of other settings, data or code: starting over", self.path)
            return None
        _logger.info("going on from %s", self.path)
        return state

    def save(self, state: Callable[[], dict]) -> None:
        """Write the state that `state()` returns, unless the last write is too recent."""
        if self.path is None or time.monotonic() < self._due:
            return
        start = time.monotonic()
        with atomic(self.path) as partial:
            torch.save({"work": self.work, "state": _plain(state())}, partial)
        taken = time.monotonic() - start
        self._due = time.monotonic() + max(EVERY, taken / SHARE)

    def remove(self) -> None:
        """Remove the file, once the work is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


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
    code : str or Path
        The module that does the work; the modules it imports count too (:mod:`convexbn.imports`).
    """
    found = hashlib.blake2b(f"{settings} {digest(code)}".encode(), digest_size=16)
    for name, values in sorted(arrays.items()):
        array = as_array(name, values, None, finite=False, copy=False)
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
