"""Files of tensors with some settings beside them: what alone in the library needs safetensors."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from convexbn.files import atomic
from convexbn.inputs import ArrayLike


def write_tensors(path: str | Path, tensors: dict[str, ArrayLike], **words: Any) -> None:
    """Write named arrays (numpy or torch, on any device) to a file, whole or not at all.

    Parameters
    ----------
    path : str or Path
    tensors : dict of array or tensor
    **words
        What is kept beside them, of types that JSON has.

    Raises
    ------
    ModuleNotFoundError
        If safetensors is not installed.
    """
    library = _safetensors()
    from safetensors.numpy import save_file

    arrays = {name: _to_numpy(tensor) for name, tensor in tensors.items()}
    with atomic(path) as partial:
        try:
            save_file(arrays, partial, {name: json.dumps(value) for name, value in words.items()})
        except library.SafetensorError as error:
            raise _system_error(error) from error


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a file, and what is kept beside them.

    Raises
    ------
    ModuleNotFoundError
        If safetensors is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, or of another kind.
    """
    library = _safetensors()
    try:
        with library.safe_open(path, framework="numpy") as file:
            words = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, words  # noqa: SIM118
    except (library.SafetensorError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is truncated, or no file of tensors that this package wrote ({error}); save "
            "it again"
        ) from error


def save_fields(path: str | Path, kind: str, arrays: dict[str, Any], **words: Any) -> None:
    """Write the fields of an object of some kind; arrays that are None are left out.

    Raises
    ------
    ModuleNotFoundError
        If safetensors is not installed.
    """
    there = {name: array for name, array in arrays.items() if array is not None}
    write_tensors(path, there, kind=kind, **words)


def load_fields(
    path: str | Path, kind: str, needed: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the fields of an object that :func:`save_fields` wrote, with those that it needs.

    Raises
    ------
    ModuleNotFoundError, FileNotFoundError, ValueError
        As :func:`read_tensors`, and ValueError if the file holds something else.
    """
    arrays, words = read_tensors(path)
    found = words.pop("kind", None)
    if found != kind:
        held = f"a {found}" if found else "tensors of another origin"
        raise ValueError(
            f"{path} holds {held}, not a {kind}; load what {kind}.save(path) has written"
        )
    missing = [name for name in needed if name not in arrays and name not in words]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)} of a {kind}; save it again, by this version"
        )
    return arrays, words


def _safetensors() -> Any:
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "saving and loading needs the package safetensors: pip install safetensors"
        ) from error
    return safetensors


def _system_error(error: Exception) -> Exception:
    """Return the OSError that a library's error only describes in words, or else the error."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), str(error)) if number else error


def _to_numpy(tensor: Any) -> np.ndarray:
    detach = getattr(tensor, "detach", None)
    return np.asarray(detach().cpu() if detach else tensor, order="C")
