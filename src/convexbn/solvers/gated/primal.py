"""Weights that the method proposes, compared class by class."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Primal:
    """Weights of a System.

    Attributes
    ----------
    objective : Tensor, shape (c,) or (1,)
        Of each column, or of all where they are coupled.
    F : Tensor, shape (n, c)
        Their predictions.
    gates, columns : Tensor of int, shape (m,)
        Where the blocks belong that can be other than zero; columns are 0 if blocks have all.
    blocks : Tensor, shape (r + 1, m, width)
    """

    objective: Tensor
    F: Tensor
    gates: Tensor
    columns: Tensor
    blocks: Tensor

    def best(self, other: "Primal") -> "Primal":
        """Return the better of the two, for each column by itself where they are not coupled."""
        better = other.objective < self.objective
        which = better.tolist()
        if all(which):
            return other
        if not any(which):
            return self
        mine = (~better).index_select(0, self.columns).nonzero()[:, 0]
        theirs = better.index_select(0, other.columns).nonzero()[:, 0]
        parts = (self, mine), (other, theirs)
        return Primal(
            torch.where(better, other.objective, self.objective),
            torch.where(better, other.F, self.F),
            torch.cat([p.gates.index_select(0, index) for p, index in parts]),
            torch.cat([p.columns.index_select(0, index) for p, index in parts]),
            torch.cat([p.blocks.index_select(1, index) for p, index in parts], dim=1),
        )

    def of(self, columns: Tensor) -> "Primal":
        """Return those of some columns, which are not coupled with the others."""
        places = places_of(columns, len(self.objective)).index_select(0, self.columns)
        index = (places >= 0).nonzero()[:, 0]
        return Primal(
            self.objective.index_select(0, columns),
            self.F.index_select(1, columns),
            self.gates.index_select(0, index),
            places.index_select(0, index),
            self.blocks.index_select(1, index),
        )

    def put(self, W: Tensor, columns: Tensor) -> None:
        """Write the blocks into W (r + 1, P, C), in whose `columns` they belong."""
        if self.blocks.shape[2] == len(columns):
            W[:, self.gates[:, None], columns] = self.blocks.to(W.dtype)
        else:
            W[:, self.gates, columns[self.columns]] = self.blocks[:, :, 0].to(W.dtype)


def places_of(columns: Tensor, count: int) -> Tensor:
    """Return where each of `count` columns is among some of them, shape (count,); -1 if nowhere."""
    places = torch.full((count,), -1, device=columns.device)
    places[columns] = torch.arange(len(columns), device=columns.device)
    return places
