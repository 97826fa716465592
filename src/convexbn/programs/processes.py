"""The processes over which the samples of a program are spread.

Each process has some samples: its rows of U, D and Y, and of all that has a row per sample, such as
predictions and dual variables. What is made of sums over the samples (blocks, norms, numbers, and
every decision that rests on them) is the same in all processes, as each such sum goes through
:class:`Processes`. They must compute alike: on processors of one kind, with as many threads.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from convexbn.programs.norms import column_norms

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Processes:
    """This process and those that have the other samples.

    Attributes
    ----------
    group : torch.distributed.ProcessGroup, optional
        None where one process has all samples: nothing is sent then, and nothing computed besides.
    """

    group: dist.ProcessGroup | None = None

    @classmethod
    def running(cls) -> "Processes":
        """Return the processes of PyTorch's default group.

        Raises
        ------
        ValueError
            If there is no such group.
        """
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError(
                "distributed=True is for processes of one group, and this one is in none; start "
                "them by `torchrun --nproc-per-node 2 script.py`, and let the script begin with "
                "torch.distributed.init_process_group('gloo'), or 'nccl' with a GPU for each"
            )
        return cls(dist.group.WORLD)

    @property
    def size(self) -> int:
        """How many there are."""
        return 1 if self.group is None else self.group.size()

    def total(self, x: Tensor) -> Tensor:
        """Return the sum over the processes of a tensor that has one shape in all."""
        return self._reduced(x, dist.ReduceOp.SUM)

    def totals(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Return :meth:`total` of several tensors of one dtype, in one message."""
        if self.group is None:
            return parts
        flat = self.total(torch.cat([part.reshape(-1) for part in parts]))
        pieces = flat.split([part.numel() for part in parts])
        return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))

    def largest(self, x: Tensor) -> Tensor:
        """Return the largest that the processes have of each entry of a tensor."""
        return self._reduced(x, dist.ReduceOp.MAX)

    def _reduced(self, x: Tensor, op: dist.ReduceOp.RedOpType) -> Tensor:
        if self.group is None or x.numel() == 0:
            return x
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x, op, group=self.group)
        return x

    def sums(self, x: Tensor, apart: bool = True) -> Tensor:
        """Return the sum (c,) of each column of x (n, c), or that of all columns (1,)."""
        return self.total(x.sum(dim=0) if apart else x.sum().reshape(1))

    def lengths(self, x: Tensor, apart: bool = True) -> Tensor:
        """Return the length (c,) of each column of x (n, c), or that of all columns (1,)."""
        own = column_norms(x) if apart else torch.linalg.vector_norm(x).reshape(1)
        # In float64 no square of a float32 over- or underflows.
        return own if self.group is None else self.total(own.double().square()).sqrt().to(x.dtype)

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean (c,) of each column of x (n, c)."""
        if self.group is None:
            return x.mean(dim=0)
        total, rows = self.totals(x.sum(dim=0), x.new_full((1,), len(x)))
        return total / rows

    def every(self, flags: Tensor) -> Tensor:
        """Return whether the flags (n, ...) of all samples are set, shape (...)."""
        return flags.all(dim=0) if self.group is None else self.sums(~flags) == 0

    def count(self, n: int) -> int:
        """Return the sum of the processes' numbers."""
        return n if self.group is None else int(self.total(self._number(n)))

    def least(self, n: int) -> int:
        """Return the least of the processes' numbers."""
        return n if self.group is None else -int(self.largest(self._number(-n)))

    def together(self, make: Callable[[], _Made]) -> _Made:
        """Return what this process makes, once all have made theirs.

        Raises
        ------
        Exception
            What `make` raises here.
        ValueError
            If it raises in other processes alone, which would wait for this one.
        """
        if self.group is None:
            return make()
        try:
            made, error = make(), None
        except Exception as raised:
            made, error = None, raised
        failed = self.count(int(error is not None))
        if error is not None:
            raise error
        if failed:
            raise ValueError(
                f"{failed} of the {self.size} processes refused what they were given; see "
                "their own messages"
            )
        return made  # type: ignore[return-value]  # there was no error

    def check_same(self, settings: str) -> None:
        """Raise ValueError in all processes unless all are given the same settings, in words."""
        code = self._number(zlib.crc32(settings.encode()))
        if int(self.largest(code)) != -int(self.largest(-code)):
            raise ValueError(
                f"all processes must be given the same but for their samples, and this one has "
                f"{settings}; give each its rows of one program"
            )

    def _number(self, n: int) -> Tensor:
        """Return a number that can be sent."""
        return torch.tensor(n, device="cuda" if dist.get_backend(self.group) == "nccl" else "cpu")


ALONE = Processes()
