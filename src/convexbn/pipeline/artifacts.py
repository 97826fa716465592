"""Artifacts of the stages: tensors (.safetensors), tables (.csv) and documents (.json).

Each artifact carries its provenance inside the file, and is written whole or not at all
(:mod:`convexbn.files`).
"""

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexbn.files import atomic
from convexbn.inputs import ArrayLike
from convexbn.pipeline import tables
from convexbn.storage import write_tensors

if TYPE_CHECKING:
    import pandas as pd

_logger = logging.getLogger(__name__)

_OF_THE_TABLE = ("columns", "checksum")  # in the line of provenance, beside the provenance
_VERSIONS = ("convexbn", "numpy", "torch")
# This file in a checkout of the project. A copy in an environment lies elsewhere, or is not tracked
# by the repository that it lies in.
_HERE = "src/convexbn/pipeline/artifacts.py"


def provenance(
    seed: int | Sequence[int] | None = None, device: str = "cpu", **parameters: Any
) -> dict[str, Any]:
    """Return the origin of a result: code, versions, machine, seed and parameters.

    Parameters
    ----------
    seed : int or sequence of int, optional
        The seed or seeds that the result depends on.
    device : str
        The device of the computation.
    **parameters
        Settings of the stage that wrote the result, of types that JSON has.
    """
    return {
        **_commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _VERSIONS},
        "machine": platform.machine(),
        "device": str(device),
        "seed": seed,
        "parameters": parameters,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # this package, from a folder on PYTHONPATH
        return sys.modules[name].__version__


def _commit() -> dict[str, Any]:
    """Return the commit of this project's checkout, None for an installed copy or without git."""
    if _git("ls-files", "--full-name", Path(__file__).name) != _HERE:
        return {"commit": None, "dirty": False}
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(changes)}


def _git(*arguments: str) -> str | None:
    """Return git's answer about the folder of this file; None if it has none.

    Variables of git, as its hooks set them, would make it speak of another repository.
    """
    if shutil.which("git") is None:
        return None
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    run = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env=environment
    )
    return run.stdout.strip() if run.returncode == 0 else None


def save_tensors(path: str | Path, tensors: dict[str, ArrayLike], provenance: dict) -> None:
    """Write named arrays (numpy or torch, on any device) to a .safetensors file."""
    write_tensors(path, tensors, provenance=provenance)


def load_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a .safetensors file as numpy arrays.

    Raises
    ------
    ValueError
        If the file is truncated, or no such file.
    """
    from safetensors.numpy import load_file

    with _whole(path):
        return load_file(path)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Return the provenance that an artifact (.safetensors, .csv or .json) carries.

    Raises
    ------
    ValueError
        If the file is truncated, or no artifact.
    """
    suffix = Path(path).suffix
    if suffix == ".json":
        return read_document(path)["provenance"]
    with _whole(path):
        if suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as file:
                return json.loads(file.metadata()["provenance"])
        record = tables.provenance(path)
        if not record:
            raise ValueError("the first line, its provenance, is missing")
        return {key: value for key, value in record.items() if key not in _OF_THE_TABLE}


def write_table(path: str | Path, frame: "pd.DataFrame", provenance: dict) -> None:
    """Write a pandas DataFrame as .csv, its provenance in a comment on the first line.

    The names of the columns stand there too, so that one which gets lost is missed, and a checksum
    of what will be read, so that an edited or truncated table is.
    """
    record, text = (
        provenance | {"columns": list(map(str, frame.columns))},
        frame.to_csv(index=False),
    )
    with atomic(path) as partial:
        _write_noted(partial, record, text)
        if len(frame.columns):
            record["checksum"] = tables.checksum(tables.parse(partial))
        _write_noted(partial, record, text)


def _write_noted(path: Path, record: dict, text: str) -> None:
    note = f"{tables.NOTE}{json.dumps(record)}\n"
    path.write_text(note + text, encoding="utf-8", newline="")


def read_table(path: str | Path) -> "pd.DataFrame":
    """Read a .csv of :func:`write_table`, or any other (:func:`convexbn.pipeline.tables.parse`)."""
    table = tables.parse(path)
    # Without a filter its kind is "", which pandas takes for a missing value.
    return _without_missing(table, "filter_kind") if "filter_kind" in table else table


def unchecked(paths: Iterable[str | Path]) -> list[str]:
    """Return those of some tables that carry no checksum, and log them: they may be edited.

    Tables that an older version wrote have none, nor has one without a line of provenance.
    """
    found = [str(path) for path in paths if not tables.is_checked(path)]
    for path in found:
        _logger.warning("%s carries no checksum: it may have been edited since it was made", path)
    return found


def _without_missing(table: "pd.DataFrame", column: str) -> "pd.DataFrame":
    return table.assign(**{column: table[column].astype(object).fillna("")})


def read_all(paths: Iterable[str | Path]) -> "pd.DataFrame":
    """Read tables of one schema and stack them; no paths give an empty table."""
    frames = [read_table(path) for path in paths]
    return frames[0] if len(frames) == 1 else stack(frames)


def stack(frames: Iterable["pd.DataFrame"]) -> "pd.DataFrame":
    """Return tables of one schema as one; empty ones are left out, and none give an empty one."""
    import pandas as pd

    # Empty frames have untyped columns, which would change the types of the others.
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def rounded(frame: "pd.DataFrame", digits: int = 6) -> "pd.DataFrame":
    """Return a table with its numbers rounded to significant digits, more than a figure can show.

    Files that are kept beside the figures stay small and readable.
    """
    floats = frame.select_dtypes("float")
    columns = {
        name: [float(f"{value:.{digits}g}") for value in floats[name]] for name in floats.columns
    }
    return frame.assign(**columns)


def write_document(path: str | Path, content: dict, provenance: dict) -> None:
    """Write a JSON document with its provenance."""
    with atomic(path) as partial:
        text = json.dumps({"provenance": provenance, **content}, indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_document(path: str | Path) -> dict[str, Any]:
    """Read a JSON document of :func:`write_document`, provenance included.

    Raises
    ------
    ValueError
        If the file is truncated, or no such document.
    """
    with _whole(path):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        content["provenance"]
        return content


@contextmanager
def _whole(path: str | Path) -> Iterator[None]:
    """Name a file that cannot be read as an artifact, and what to do."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is truncated, or no artifact of this project ({error}); remove the file and "
            "run again, and it is made anew"
        ) from error
