"""Blocks of the weights by gate and class, one beside the other.

A penalty by column has a block for each pair of a gate and a class, of width one; the nuclear norm
one for each gate, as wide as there are classes. Either way blocks are a tensor (r + 1, m, width),
and what follows them (masks, bounds, thresholds) has m entries. Classes that share a design are so
solved side by side, each with candidates of its own, in products as large as all of them together.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Some of the blocks of a system of columns, ordered by their column, then by their gate.

    Attributes
    ----------
    gates : Tensor of int, shape (m,)
    columns : Tensor of int, shape (m,)
        The column of each block among those of the system; zeros if blocks have all columns.
    masks : Tensor of bool or float32, shape (m, K n)
        The activation pattern of each block's gate.
    parts : int
        Blocks of a gate: the columns of the system, or one if blocks have all columns.
    """

    gates: Tensor
    columns: Tensor
    masks: Tensor
    parts: int

    def __len__(self) -> int:
        return self.gates.shape[0]  # `len` of a tensor takes five times as long

    def numbers(self, like: Tensor) -> Tensor:
        """Return the masks in the precision of another tensor, if they are numbers."""
        double = like.dtype == torch.float64 and self.masks.dtype == torch.float32
        return self._doubled if double else self.masks

    @cached_property
    def _doubled(self) -> Tensor:
        return self.masks.double()

    def take(self, index: Tensor) -> "Pairs":
        """Return some of them, in the order of their indices."""
        gates, columns = self.gates.index_select(0, index), self.columns.index_select(0, index)
        return Pairs(gates, columns, self.masks.index_select(0, index), self.parts)

    @cached_property
    def owners(self) -> Tensor:
        """1 where a block belongs to a part, otherwise 0; float64, shape (parts, m)."""
        each = torch.eye(self.parts, dtype=torch.float64, device=self.columns.device)
        return each.index_select(1, self.columns)

    @cached_property
    def rounded_owners(self) -> Tensor:
        """The same in float32."""
        return self.owners.float()

    def owners_like(self, x: Tensor) -> Tensor:
        """Return the same in the precision of x."""
        return self.owners if x.dtype == torch.float64 else self.rounded_owners

    def totals(self, x: Tensor) -> Tensor:
        """Return the sums (parts,) of numbers (m,) over the blocks of each part."""
        return x.sum(dim=0, keepdim=True) if self.parts == 1 else self.owners_like(x) @ x

    def spread(self, x: Tensor) -> Tensor:
        """Return numbers of the parts (parts,), or of all of them (1,), for each block (m, 1)."""
        return x[:, None] if x.shape[0] == 1 else x.index_select(0, self.columns)[:, None]

    def padded(self, rows: Tensor) -> Tensor:
        """Return rows (m, n) by part, filled up with zeros, shape (parts, most, n)."""
        if self.parts == 1:
            return rows[None]
        counts = self.owners.sum(dim=1).long()
        first = counts.cumsum(0) - counts
        places = torch.arange(len(self), device=rows.device) - first.index_select(0, self.columns)
        out = rows.new_zeros(self.parts, int(counts.max()), rows.shape[1])
        out[self.columns, places] = rows
        return out
