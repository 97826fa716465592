"""The table of the measurements on a GPU: a csv, and a page of markdown that names the card."""

import logging
import math
import platform
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from convexbn.experiments.benchmark.random_images import POWER
from convexbn.files import atomic
from convexbn.pipeline.artifacts import provenance, write_table
from convexbn.pipeline.processors import cpu_name

# What a row is about, and what tells it from the others of its step.
_KEYS = ["step", "n", "r", "P", "C", "m", "networks", "epochs", "tolerance"]
COLUMNS = [
    *("step", "device", "n", "r", "P", "C", "m", "networks", "epochs", "tolerance", "beta"),
    *("seconds", "relative_gap", "rounds", "epochs_per_second", "gigaflops", "share"),
    *("peak_gib", "times_cpu", "words"),
]
_EXPLAINED = f"""\
Images are random: their i-th singular value is i^-{POWER} of the first, as the first hundred of
CIFAR-10 are within 3 percent, with random singular vectors; their classes are the largest outputs
of a random ReLU network on them, with noise added. A `solve` is of the gated program, squared loss
and group penalty, at a tenth of the beta at which the weights are zero, on the r leading
directions: `seconds` until the referee certifies the relative gap, without the making of the data.
Where the time ended before, `relative_gap` is the solver's own. A `sweep` trains BN networks of m
neurons on all r pixels side by side; `epochs_per_second` counts epochs of one network. `gigaflops`
are those of the matrix products, counted in another run (solve) or of the first layer alone
(sweep), and `share` is theirs in the rate of a large float32 product on the same device, without
TF32 (step `products`). `peak_gib` is the memory of the device in a step; on the CPU that of the
process so far. `times_cpu` is the time on the CPU of this machine over that on the device, of what
came to its end on both.
"""

_logger = logging.getLogger(__name__)


class Report:
    """Rows of measurements, written to gpu.csv and gpu.md in a folder after each of them.

    Parameters
    ----------
    folder : str or Path
    device : {"cuda", "cpu"}
        The device that is measured.
    """

    def __init__(self, folder: str | Path, device: str) -> None:
        self.folder, self.device = Path(folder), device
        self.rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, with some of `COLUMNS`, and write everything."""
        self.rows.append(row)
        _logger.info("%s", ", ".join(f"{name} {_said(value)}" for name, value in row.items()))
        table = self.table()
        write_table(self.folder / "gpu.csv", table, provenance(device=device_name(self.device)))
        with atomic(self.folder / "gpu.md") as partial:
            partial.write_text(self.page(table), encoding="utf-8")

    def table(self) -> pd.DataFrame:
        """Return the rows with how many times as fast as the CPU each is."""
        table = pd.DataFrame(self.rows).reindex(columns=COLUMNS)
        on_cpu = {
            tuple(map(str, row[_KEYS])): row["seconds"]
            for _, row in table.iterrows()
            if row["device"] == "cpu" and row["step"] in ("solve", "sweep") and _is_done(row)
        }
        keys = (tuple(map(str, row[_KEYS])) for _, row in table.iterrows())
        cpu = pd.Series([on_cpu.get(key, math.nan) for key in keys], table.index, dtype=float)
        ratio = cpu / table["seconds"].astype(float)
        done = table.apply(_is_done, axis=1).astype(bool)
        return table.assign(times_cpu=ratio.where((table["device"] == "cuda") & done))

    def page(self, table: pd.DataFrame) -> str:
        """Return the table as a page of markdown, without its empty columns."""
        table = table.dropna(axis=1, how="all")
        cells = [[_said(value) for value in row] for row in table.itertuples(index=False)]
        body = [list(table.columns), ["---"] * len(table.columns), *cells]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in body)
        about = f"PyTorch {torch.__version__}, Python {platform.python_version()}, on the CPU side"
        title = "a GPU" if self.device == "cuda" else "a CPU, as PyTorch finds no CUDA device"
        return (
            f"# convexbn on {title}\n\n{device_name(self.device)}; {about} {cpu_name()}, "
            f"{torch.get_num_threads()} threads.\n\n{_EXPLAINED}\n{lines}\n"
        )


def _is_done(row: pd.Series) -> bool:
    """Return whether a solve or sweep came to its end: `words` say why a solve has not."""
    return row["step"] == "sweep" or row["words"] == ""


def device_name(device: str) -> str:
    """Return the name of the card, or of the processor."""
    return torch.cuda.get_device_name() if device == "cuda" else cpu_name()


def _said(value: Any) -> str:
    """Return a value for a cell: four digits, and nothing for what is missing."""
    if not isinstance(value, float):
        return str(value).replace("|", "/")
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
