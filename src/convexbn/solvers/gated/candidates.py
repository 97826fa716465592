"""The blocks that can take part in a subproblem, and bounds of the dual norms of the others.

Of all blocks of `A^T V` only those with a dual norm above beta, here or at the end of a step, or in
the centre of the subproblem, matter (:mod:`convexbn.solvers.gated.semismooth`). These candidates
are kept exactly; of the others an upper bound of the norm is enough.
"""

import torch
from torch import Tensor

from convexbn.programs.gated import GatedProgram
from convexbn.solvers.gated.pairs import Pairs
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.primal import places_of

_IDLE = 0.2  # share of blocks that may be carried along idly before all norms are recomputed


class Candidates:
    """The candidate blocks of some columns of a program.

    Attributes
    ----------
    columns : Tensor of int, shape (c,)
        Columns among those of the program.
    V : Tensor, shape (n, c)
        Dual variable.
    pairs : Pairs
        The m candidates.
    center, T, blocks : Tensor, shape (r + 1, m, width)
        W^k, `A^T V` and `prox(W^k + sigma T)`.
    active : Tensor of int, shape (a,)
        Which of the candidates have blocks other than zero.
    acting : Pairs
        These.
    bounds, ends : Tensor, shape (c, P) or (1, P)
        Bounds of the dual norms of all blocks of `A^T V`, here and at the end of a direction.
    """

    pairs: Pairs
    V: Tensor
    center: Tensor
    T: Tensor
    blocks: Tensor
    active: Tensor
    acting: Pairs
    bounds: Tensor
    ends: Tensor
    _places: Tensor  # of the active ones in the flat (parts, P)

    def __init__(self, program: GatedProgram, passes: Passes, columns: Tensor):
        self.passes, self.processes, self.columns = passes, passes.processes, columns
        self.beta, self.penalty = program.beta, program.penalty

    def state(self) -> dict:
        """Return the tensors but the targets: all else is made of the program and of these."""
        tensors = {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}
        return {name: x for name, x in tensors.items() if name != "Y"}

    def resume(self, state: dict) -> None:
        """Go on from a :meth:`state`."""
        for name, value in state.items():
            setattr(self, name, value)
        self._take(self._flat)
        self.acting = self.pairs.take(self.active)

    @property
    def parts(self) -> int:
        """Blocks of each gate: one for each column, or one for all."""
        return len(self.columns) if self.penalty.by_column else 1

    def _take(self, index: Tensor) -> None:
        """Make candidates of the blocks at some places of the flat (parts, P)."""
        P = self.bounds.shape[1]
        self._flat = index
        self.pairs = self.passes.pairs(index % P, index // P, self.parts)

    def _have(self, blocks: Tensor, *, anew: bool = False) -> None:
        self.blocks = blocks
        self.active = blocks.any(dim=(0, 2)).nonzero()[:, 0]
        places = self._flat.index_select(0, self.active)
        # Often those of before: their masks need not be picked again.
        if anew or not torch.equal(places, self._places):
            self.acting, self._places = self.pairs.take(self.active), places

    def _know_norms(self) -> None:
        """Replace the bounds by the norms of the candidates, which are known."""
        norms = self.penalty.block_norms(self.T)[:, 0].to(self.bounds.dtype)
        self.bounds.view(-1)[self._flat] = norms

    def _reach(self, direction: Tensor) -> None:
        """Bound the norms at the end of a direction, and take in the blocks that it can reach.

        Norms are convex: between two points they are at most as large as at the worse of the two.
        """
        # A block left out here would be missing from the slopes all along the line, and the
        # step would solve another problem. The Lipschitz bound costs nothing; only where it
        # lets in too many idle blocks does a pass over the whole design pay.
        reached = self.processes.lengths(direction, self.penalty.by_column)
        reached = reached.double()[:, None]
        self.ends = self.bounds + self.passes.norm * reached
        idle = int((self.ends > self.beta).sum()) - len(self.active)
        if idle > _IDLE * self.bounds.numel():
            self.ends = self.passes.bounds(self.V + direction)
        self._select()

    def _select(self) -> None:
        """Keep the blocks with a dual norm above beta, here or there, and let go of the others."""
        held = self.center.any(dim=(0, 2)) | self.blocks.any(dim=(0, 2))
        wanted = (torch.maximum(self.bounds, self.ends) > self.beta).flatten()
        wanted[self._flat] |= held
        index = wanted.nonzero()[:, 0]
        if torch.equal(index, self._flat):
            return
        at = places_of(self._flat, len(wanted)).index_select(0, index)
        new = (at < 0).nonzero()[:, 0]
        self._take(index)
        at = at.clamp_min(0)
        kept = self.T, self.center, self.blocks
        if len(new) < len(index):
            self.T, self.center, self.blocks = (x.index_select(1, at) for x in kept)
        else:
            none = self.T.new_zeros(len(self.T), len(new), self.T.shape[2])
            self.T = self.center = self.blocks = none
        if len(new) > 0:
            T = self.passes.adjoint(self.pairs.take(new), self.V)
            self.T = self.T.index_copy(1, new, T)
            self.center, self.blocks = (x.index_fill(1, new, 0) for x in (self.center, self.blocks))


def columns_of(x: Tensor, columns: Tensor) -> Tensor:
    """Return some columns of x (n, C), each in one piece of memory."""
    return x.T.index_select(0, columns).T


def blocks_of(W: Tensor, pairs: Pairs, width: int) -> Tensor:
    """Return the blocks of some pairs of W (r + 1, P, c), shape (r + 1, m, width)."""
    if width == W.shape[2]:
        return W.index_select(1, pairs.gates)
    return W[:, pairs.gates, pairs.columns][:, :, None]
