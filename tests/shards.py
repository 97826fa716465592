"""Programs whose samples are spread over threads, which take the place of processes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from convexbn.programs.processes import Processes


@dataclass
class Exchange:
    """What the threads have in common; one that does not come fails them all within a minute."""

    count: int
    slots: dict = field(default_factory=dict)

    def __post_init__(self):
        self.barrier = threading.Barrier(self.count, timeout=60)

    def size(self):
        return self.count

    def reduced(self, rank, x, op):
        self.slots[rank] = str(op), x
        self.barrier.wait()
        (op,) = {op for op, _ in self.slots.values()}  # all are at the same place
        parts = torch.stack([self.slots[rank][1] for rank in range(self.count)])
        self.barrier.wait()
        return parts.sum(dim=0) if "SUM" in op else parts.amax(dim=0)


@dataclass(frozen=True)
class Thread(Processes):
    """One of several threads, as if it were one of several processes."""

    rank: int = 0

    def _reduced(self, x, op):
        return self.group.reduced(self.rank, x, op) if x.numel() else x

    def _number(self, n):
        return torch.tensor(n)


def in_threads(sizes, work):
    """Return what `work(processes, rows)` returns or raises, for each of the `sizes` of shards."""
    exchange, ends = Exchange(len(sizes)), np.cumsum(sizes)

    def one(rank):
        try:
            return work(Thread(exchange, rank), slice(ends[rank] - sizes[rank], ends[rank]))
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(sizes)) as pool:
        return list(pool.map(one, range(len(sizes))))


def joined(parts):
    """Return the results of all threads, of which none may have failed."""
    for part in parts:
        if isinstance(part, Exception):
            raise part
    return parts
