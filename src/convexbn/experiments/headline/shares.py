"""The training samples of a run, shared by the processes that solve it.

Each process reads its share of the rows from the artifacts. Labels, validation and test samples are
few numbers beside the design, and all have them: so all take the same decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from convexbn.pipeline.artifacts import load_tensors
from convexbn.programs.processes import ALONE, Processes


@dataclass(frozen=True)
class Share:
    """The share of one process; all samples by default.

    Attributes
    ----------
    processes : Processes
    number : int
        From 0; the first process writes what all have found.
    """

    processes: Processes = ALONE
    number: int = 0

    @classmethod
    def of_group(cls) -> "Share":
        """Return the share of this process in PyTorch's default group; all samples without one."""
        return cls(Processes.running(), dist.get_rank()) if dist.is_initialized() else cls()

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.number == 0

    def rows(self, n: int) -> slice:
        """Return the share of n samples."""
        size = self.processes.size
        return slice(n * self.number // size, n * (self.number + 1) // size)

    def gathered(self, x: torch.Tensor, n: int) -> torch.Tensor:
        """Return the rows (n, C) of all processes, of which x has this one's."""
        if self.processes == ALONE:
            return x
        out = x.new_zeros(n, *x.shape[1:])
        out[self.rows(n)] = x
        return self.processes.total(out)

    def from_first(self, value: Any) -> Any:
        """Return what the first process has."""
        box = [value]
        if self.processes != ALONE:
            dist.broadcast_object_list(box, src=0, group=self.processes.group)
        return box[0]

    def of_each(self, value: Any) -> list:
        """Return what each of the processes has."""
        if self.processes == ALONE:
            return [value]
        box = [None] * self.processes.size
        dist.all_gather_object(box, value, group=self.processes.group)
        return box

    def read(self, features: str | Path, whitening: str | Path) -> tuple[dict, dict]:
        """Read the features and the whitening, with the rows of this share in X_train and U."""
        from safetensors import safe_open

        if self.processes == ALONE:
            return load_tensors(features), load_tensors(whitening)
        with safe_open(features, framework="numpy") as file:
            shape = file.get_slice("X_train").get_shape()
        K, n = (shape[0] if len(shape) == 3 else 1), shape[-2]
        rows = self.rows(n)
        blocks = [slice(k * n + rows.start, k * n + rows.stop) for k in range(K)]
        inner = (slice(None), rows) if len(shape) == 3 else rows
        return _read(features, "X_train", [inner]), _read(whitening, "U", blocks)


def _read(path: str | Path, name: str, parts: Sequence) -> dict[str, np.ndarray]:
    """Read the arrays of a .safetensors file; of one of them only some parts, one below another."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        rest = {key: file.get_tensor(key) for key in file.keys() if key != name}  # noqa: SIM118
        return rest | {name: np.concatenate([file.get_slice(name)[part] for part in parts])}
