"""Passes over the design for some of the gates, in the two precisions of Newton's method.

Iterates and gradients are in float64. Newton's directions and the bounds of the dual norms need no
more than float32.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from convexbn.programs.design import adjoint, adjoint_pairs, forward, forward_pairs, numbers, pooled
from convexbn.programs.gated import GatedProgram
from convexbn.programs.memory import FEW
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.relu import ReLUProgram
from convexbn.solvers.gated.loss_prox import Diagonal, Shares
from convexbn.solvers.gated.mean_field import LARGEST, MeanField, Spectrum
from convexbn.solvers.gated.pairs import Pairs

_ROUNDING = 1e-5  # what float32 can be wrong by in the norm of a block
_TINY = 2**16  # entries of masks up to which starting an operation takes longer than it does
_GATES = 32  # masks that are numbers at once
_EDGE = 1.1  # largest dual norm to start from, in units of beta
_PULL = 40.0  # first guess of s, relative to what is to be gained, of a design of norm 1
_NEAR = 0.05  # relative accuracy of what is to be gained
_SECANTS = 8
_LEAST, _MOST = 1e-6, 1e30  # what s can be seen to gain
_FARTHEST = 1e12  # s of a design of norm 1: float32 sees no more


class Passes:
    """Passes over the design, in float64 and in float32; the same for every beta of a path.

    Attributes
    ----------
    processes : Processes
        Those that have the samples.
    norm : float
        Lipschitz constant of each block of `A^T V` in V.
    spectrum : Spectrum
    open_share : Tensor, shape (P,)
        Share of the samples on which each gate is open.
    """

    def __init__(self, program: GatedProgram):
        self.program, self.processes = program, program.processes
        self.norm = norm_bound(program, program.processes)
        small = program.D.numel() <= FEW
        D = program.D.float() if small else program.D  # converted once, not in every pass
        self.rounded = replace(program, U=program.U.float(), D=D)
        # Some of the gates are picked at every step: rows are copied ten times as fast as columns.
        self._masks = D.T.contiguous()
        self.spectrum = Spectrum.of(self.rounded)
        opened = self.processes.total(program.D.sum(dim=0, dtype=torch.float32))
        self.open_share = opened / self.processes.count(len(program.D))

    def pairs(self, gates: Tensor, columns: Tensor, parts: int) -> Pairs:
        """Return the blocks of some gates and columns, with their masks."""
        return Pairs(gates, columns, self._masks.index_select(0, gates), parts)

    def whole(self, dtype: torch.dtype) -> GatedProgram:
        """Return the program of all gates, with its design in float64 or float32."""
        return self.program if dtype == torch.float64 else self.rounded

    def _flat(self, pairs: Pairs, width: int) -> bool:
        """Return whether blocks are the columns of one product: all, if more than one per gate."""
        # A single class has a smaller intermediate with the other order; few numbers have none.
        return pairs.parts > 1 or (width == 1 and pairs.masks.numel() <= _TINY)

    def forward(self, pairs: Pairs, W: Tensor) -> Tensor:
        """Return the predictions (n, c) of blocks W (r + 1, m, width)."""
        if len(pairs) == 0:
            return W.new_zeros(len(self.program.Y), pairs.parts * W.shape[2])
        U = self.whole(W.dtype).U
        if self._flat(pairs, W.shape[2]):
            F = forward_pairs(U, pairs.numbers(W), W[:, :, 0], pairs.owners_like(W))
        else:
            F = forward(U, pairs.numbers(W).T, W)
        return pooled(F, self.program.patches)

    def adjoint(self, pairs: Pairs, V: Tensor) -> Tensor:
        """Return the blocks `A_i^T V`, shape (r + 1, m, width), of V (n, c)."""
        patches = self.program.patches
        if len(pairs) == 0:
            return V.new_zeros(self.program.U.shape[1], 0, V.shape[1] // pairs.parts)
        V = V.repeat(patches, 1) if patches > 1 else V
        U, masks = self.whole(V.dtype).U, pairs.numbers(V)
        if self._flat(pairs, V.shape[1] // pairs.parts):
            return self.processes.total(adjoint_pairs(U, masks, V, pairs.columns)[:, :, None])
        return self.processes.total(adjoint(U, masks.T, V))

    def single(self, pairs: Pairs, directions: Tensor) -> Tensor:
        """Return each block's own predictions (m, n) of its direction (r + 1, m)."""
        single = directions.T @ self.whole(directions.dtype).U.T  # (m, K n)
        for out, some in zip(single.split(_GATES), pairs.masks.split(_GATES), strict=True):
            out.mul_(numbers(some, out))
        patches = self.program.patches
        return single.unflatten(1, (patches, -1)).sum(dim=1) if patches > 1 else single

    def mean_field_dual(
        self,
        V: Tensor,
        bounds: Tensor,
        inverse_hessian: Diagonal | Shares,
        beta: float,
        apart: bool = False,
    ) -> Tensor:
        """Return a dual variable nearer to the optimum than V, the dual variable of zero weights.

        It is that of weights `W_i = s A_i^T V`, with the same s for all, in the mean field:
        `(C + s sum_i A_i A_i^T) V' = C V`. As s grows V' shrinks, first along the large directions
        of the design. The s taken brings the largest dual norm down to `_EDGE` beta.

        Parameters
        ----------
        V : Tensor, shape (n, c)
        bounds : Tensor
            Those of V (:meth:`bounds`).
        inverse_hessian : Diagonal or Shares of :mod:`convexbn.solvers.gated.loss_prox`
            C.
        beta : float
        apart : bool
            Whether each column has an s of its own. One that needs none stays as it is.
        """
        size = self.excess(bounds, beta, apart)
        settled, found = size <= 1, V.double()
        if bool(settled.all()):
            return V
        right, diagonal = inverse_hessian(V).float(), inverse_hessian.diagonal.float()
        # size / (size at s) - 1 is nearly a power of s: secants of its logarithm find the goal, but
        # bounded ones, as rounding can hide what is gained.
        farthest = math.log(_FARTHEST / self.norm**2)
        goal = (size.clamp_max(_MOST) - 1).clamp_min(torch.finfo(size.dtype).tiny).log()
        x, slope, last = goal + math.log(_PULL / self.norm**2), torch.full_like(goal, 0.9), None
        for _ in range(_SECANTS):
            x = x.clamp_max(farthest)
            new = self._mean_field(diagonal, x.exp().float())(right).double()
            found = torch.where(settled, found, new)
            left = self.excess(self.bounds(new), beta, apart)
            y = (size / left - 1).clamp(_LEAST, _MOST).log()  # of no excess at all it is _MOST
            settled = settled | ((y - goal).abs() < _NEAR) | ((x == farthest) & (y < goal))
            if bool(settled.all()):
                break
            if last is not None:
                rise = ((y - last[1]) / (x - last[0])).clamp(0.3, 2.0)
                slope = torch.where(x == last[0], slope, rise)
            last, x = (x, y), x + (goal - y) / slope
        return found

    def excess(self, bounds: Tensor, beta: float, apart: bool = False) -> Tensor:
        """Return the largest dual norm in units of the one to start from, shape (c,) or (1,).

        Of each column, if they are `apart`; `bounds` are those of :meth:`bounds`.
        """
        return (bounds.amax(dim=1) if apart else bounds.amax().reshape(1)) / (_EDGE * beta)

    def _mean_field(self, diagonal: Tensor, s: Tensor) -> MeanField:
        """Return the inverse of `C + s sum_i A_i A_i^T`, s (c,) or (1,) summed over the gates."""
        share, left = self.open_share, diagonal.new_zeros(1, 0, len(self.program.Y))
        mean, rest = share.square().mean(), (share * (1 - share)).mean()
        shared = not self.program.penalty.by_column
        right = diagonal.new_zeros(diagonal.shape[1], 0) if shared else None
        return MeanField(self.spectrum, diagonal, s * mean, s * rest, left, right)

    def bounds(self, V: Tensor) -> Tensor:
        """Return upper bounds of the dual norms of all blocks of `A^T V`, found in float32.

        For V (n, c) their shape is (c, P), or (1, P) with a penalty that couples the columns.
        """
        size = self.processes.lengths(V, self.program.penalty.by_column)
        unit = (V / size.clamp_min(torch.finfo(V.dtype).tiny)).float()
        norms = self.program.penalty.block_norms(self.rounded.adjoint(unit)).T
        return (norms.double().contiguous() + _ROUNDING * self.norm) * size[:, None]


def norm_bound(program: GatedProgram | ReLUProgram, processes: Processes = ALONE) -> float:
    """Bound the spectral norm of every `A_i`: by `sqrt(K)` times that of the U_k stacked.

    The latter is exact where the columns of U are few, or orthonormal up to a factor.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    p, dtype = program.U.shape[1], torch.float64
    x = torch.randn(p, generator=generator, dtype=dtype, device="cpu").to(program.U)
    image = processes.total(program.U.T @ (program.U @ x))
    size = float(torch.linalg.vector_norm(image) / torch.linalg.vector_norm(x))
    if float(torch.linalg.vector_norm(image - size * x)) > 1e-6 * float(x.norm()) * size:
        few = program.U.shape[1] <= LARGEST
        gram = processes.total(program.U.T @ program.U)
        size = float(torch.linalg.matrix_norm(gram, 2 if few else torch.inf))
    return math.sqrt(size * program.patches) or 1.0
