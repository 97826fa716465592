"""What a run has computed, without what the clock says: equal for equal settings."""

from pathlib import Path

import numpy as np
import pandas as pd

from convexbn.pipeline import artifacts

CLOCK = {"seconds", "seconds_mean", "seconds_std"}  # columns, tensors and keys
TIME_AXES = {"panel": "time", "against": "seconds"}  # rows that lie on an axis of time


def check_same_numbers(first: Path, second: Path) -> int:
    """Check that two folders of results hold the same files, bit for bit; return their number."""
    paths = results_in(first)
    assert paths == results_in(second)
    for path in paths:
        one, other = (READERS[path.suffix](folder / path) for folder in (first, second))
        assert one.keys() == other.keys(), path
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{path}: {key}")
    return len(paths)


def results_in(folder: Path) -> set[Path]:
    """Return the files with numbers in a folder, but for what is measured of the machine."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix in READERS)
    return {path for path in paths if path.parts[0] not in ("benchmarks", "logs")}


def of_table(path: Path) -> dict[str, pd.Series]:
    table = artifacts.read_table(path)
    for column in TIME_AXES.keys() & set(table.columns):
        table = table[table[column] != TIME_AXES[column]]
    # Of words, which NumPy compares one by one, a missing one would not equal itself.
    words = table.select_dtypes(exclude="number").columns
    table = table.assign(**{name: table[name].astype(object).fillna("missing") for name in words})
    return {name: table[name].to_numpy() for name in table.columns if name not in CLOCK}


def of_tensors(path: Path) -> dict[str, np.ndarray]:
    tensors = artifacts.load_tensors(path)
    return {name: tensors[name] for name in tensors.keys() - CLOCK}


def of_document(path: Path) -> dict:
    document = artifacts.read_document(path)
    return {"content": without_clock(document)}


def without_clock(value):
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in CLOCK | {"provenance"}}
    return [without_clock(entry) for entry in value] if isinstance(value, list) else value


READERS = {".csv": of_table, ".safetensors": of_tensors, ".json": of_document}
