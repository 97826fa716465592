"""Programs whose samples are spread over threads, which take the place of processes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from convexbn.programs.processes import Processes


@dataclass
class Exchange:
    """What the threads have in common; messages and bytes that one of them has sent."""

    size: int
    messages: int = 0
    sent: int = 0
    barrier: threading.Barrier = field(init=False)
    slots: dict = field(default_factory=dict)

    def __post_init__(self):
        self.barrier = threading.Barrier(self.size, timeout=60)

    def reduced(self, rank, x, op):
        self.slots[rank] = op, x
        if self.barrier.wait() == 0:
            self.messages, self.sent = self.messages + 1, self.sent + x.numel() * x.element_size()
        (op,) = {op for op, _ in self.slots.values()}  # all are at the same place
        parts = torch.stack([self.slots[rank][1] for rank in range(self.size)])
        self.barrier.wait()
        return parts.sum(dim=0) if "SUM" in str(op) else parts.amax(dim=0)


@dataclass(frozen=True)
class Threads(Processes):
    """One of several threads, as if it were one of several processes."""

    rank: int = 0

    def _reduced(self, x, op):
        return self.group.reduced(self.rank, x, op) if x.numel() else x

    def _number(self, n):
        return torch.tensor(n)


def spread(sizes, work):
    """Return what `work(processes, rows)` makes in each thread, and the exchange.

    The threads have as many samples as `sizes` says, one after the other.
    """
    exchange, ends = Exchange(len(sizes)), np.cumsum(sizes)

    def one(rank):
        rows = slice(ends[rank] - sizes[rank], ends[rank])
        try:
            return work(Threads(exchange, rank), rows)
        except Exception as error:
            exchange.barrier.abort() if "processes" not in str(error) else None
            return error

    with ThreadPoolExecutor(len(sizes)) as pool:
        return list(pool.map(one, range(len(sizes)))), exchange
