"""The machine, the threads and the versions of all packages that the benchmark timed."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import torch
from threadpoolctl import threadpool_info

from convexbn.pipeline.processors import cpu_name

_PEERS = ("pyscnn", "skglm", "celer", "adelie", "cvxpy", "clarabel", "scs")
_PACKAGES = ("numpy", "scipy", "torch", *_PEERS)


def versions() -> pd.DataFrame:
    """Return a table of names and values, columns name and value."""
    found = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "torch threads": torch.get_num_threads(),
    }
    for library in threadpool_info():
        label = f"{library['internal_api']} ({Path(library['filepath']).name})"
        found[label] = f"{library['version']}, {library['num_threads']} threads"
    return pd.DataFrame((found | {name: _version(name) for name in _PACKAGES}).items()).set_axis(
        ["name", "value"], axis=1
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
