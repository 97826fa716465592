"""What the stages hand to each other: tensors (.safetensors), tables (.csv), documents (.json).

Each artifact carries its provenance inside the file, and each is written whole or not at all
(:mod:`convexbn.files`).
"""

import json
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convexbn.files import atomic

if TYPE_CHECKING:
    import pandas as pd

_VERSIONS = ("convexbn", "numpy", "torch")


def provenance(seed=None, device="cpu", **parameters) -> dict:
    """Return where a result comes from: code, versions, machine, seed and parameters.

    Parameters
    ----------
    seed : int or list of int, optional
        The seed or seeds the result depends on.
    device : str
        The device the work was done on.
    **parameters
        JSON-able settings of the stage that wrote the result.
    """
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
        "machine": platform.machine(),
        "device": str(device),
        "seed": seed,
        "parameters": parameters,
    }


def _git(*arguments) -> str | None:
    """Ask git about the checkout this package is in; None for an installed copy or without git."""
    if shutil.which("git") is None:
        return None
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else None


def save_tensors(path, tensors: dict, provenance: dict) -> None:
    """Write named arrays (numpy or torch, on any device) to a .safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: _to_numpy(tensor) for name, tensor in tensors.items()}
    with atomic(path) as partial:
        try:
            save_file(arrays, partial, metadata={"provenance": json.dumps(provenance)})
        except SafetensorError as error:
            raise _system_error(error) from error


def load_tensors(path) -> dict:
    """Read the arrays of a .safetensors file as numpy arrays."""
    from safetensors.numpy import load_file

    return load_file(path)


def read_provenance(path) -> dict:
    """Return the provenance that an artifact (.safetensors, .csv or .json) carries."""
    suffix = Path(path).suffix
    if suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return json.loads(file.metadata()["provenance"])
    with open(path, encoding="utf-8") as file:
        if suffix == ".json":
            return json.load(file)["provenance"]
        return json.loads(file.readline().removeprefix("# "))


def write_table(path, frame, provenance: dict) -> None:
    """Write a pandas DataFrame as .csv, its provenance in a comment on the first line."""
    with atomic(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        file.write(f"# {json.dumps(provenance)}\n")
        frame.to_csv(file, index=False)


def read_table(path) -> "pd.DataFrame":
    """Read a .csv of :func:`write_table` (or any plain .csv) as a DataFrame."""
    import pandas as pd

    with open(path, encoding="utf-8") as file:
        has_provenance = file.readline().startswith("# ")
    table = pd.read_csv(path, skiprows=int(has_provenance))
    # Without a filter its kind is "", which pandas takes for a missing value.
    return _without_missing(table, "filter_kind") if "filter_kind" in table else table


def _without_missing(table: "pd.DataFrame", column: str) -> "pd.DataFrame":
    return table.assign(**{column: table[column].astype(object).fillna("")})


def read_all(paths) -> "pd.DataFrame":
    """Read tables of one schema and stack them; no paths give an empty table."""
    return stack([read_table(path) for path in paths])


def stack(frames) -> "pd.DataFrame":
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


def write_document(path, content: dict, provenance: dict) -> None:
    """Write a JSON document with its provenance."""
    with atomic(path) as partial:
        text = json.dumps({"provenance": provenance, **content}, indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_document(path) -> dict:
    """Read a JSON document of :func:`write_document`, provenance included."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _system_error(error: Exception) -> Exception:
    """Return the OSError that a library's error tells of in words only, or else the error."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), str(error)) if number else error


def _to_numpy(tensor) -> np.ndarray:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
    return np.asarray(tensor, order="C")
