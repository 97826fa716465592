"""Passes over the design for some of the gates, in the two precisions of Newton's method.

Iterates and gradients are in float64. Newton's directions and the bounds of the dual norms need no
more than float32.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from convexbn.programs.gated import GatedProgram, numbers, pooled
from convexbn.programs.relu import ReLUProgram
from convexbn.solvers.gated.loss_prox import Diagonal, Shares
from convexbn.solvers.gated.mean_field import LARGEST, MeanField, Spectrum

_ROUNDING = 1e-5  # what float32 can be wrong by in the norm of a block
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
    norm : float
        Lipschitz constant of each block of `A^T V` in V.
    spectrum : Spectrum
    open_share : Tensor, shape (P,)
        Share of the samples on which each gate is open.
    """

    def __init__(self, program: GatedProgram):
        self.program, self.norm = program, norm_bound(program)
        self.rounded = replace(program, U=program.U.float())
        # Some of the gates are picked at every step: rows are copied ten times as fast as columns.
        self._masks = program.D.T.contiguous()
        self.spectrum = Spectrum.of(self.rounded)
        self.open_share = program.D.sum(dim=0, dtype=torch.float32) / len(program.D)

    def _of(self, D: Tensor | None, dtype: torch.dtype) -> GatedProgram:
        program = self.program if dtype == torch.float64 else self.rounded
        return program if D is None else replace(program, D=D)

    def forward(self, D: Tensor | None, W: Tensor) -> Tensor:
        """Return the predictions of blocks W (r + 1, a, c) of gates with masks D (K n, a).

        All gates if D is None.
        """
        if W.shape[1] == 0:
            return W.new_zeros(len(self.program.Y), W.shape[2])
        return self._of(D, W.dtype).forward(W)

    def adjoint(self, D: Tensor, V: Tensor) -> Tensor:
        """Return the blocks `A_i^T V` of gates with masks D (K n, a)."""
        if D.shape[1] == 0:
            return V.new_zeros(self.program.U.shape[1], 0, V.shape[1])
        return self._of(D, V.dtype).adjoint(V)

    def masks(self, gates: Tensor) -> Tensor:
        """Return the masks (K n, a) of some gates, each gate's side by side in memory."""
        return self._masks[gates].T

    def single(self, gates: Tensor, directions: Tensor) -> Tensor:
        """Return each gate's own predictions (n, m) of its direction (r + 1, m)."""
        single = directions.T @ self._of(None, directions.dtype).U.T  # (m, K n)
        for out, some in zip(single.split(_GATES), gates.split(_GATES), strict=True):
            out.mul_(numbers(self._masks[some], out))
        return pooled(single.T, self.program.patches)

    def mean_field_dual(self, V: Tensor, inverse_hessian: Diagonal | Shares, beta: float) -> Tensor:
        """Return a dual variable nearer to the optimum than V, the dual variable of zero weights.

        It is that of weights `W_i = s A_i^T V`, with the same s for all, in the mean field:
        `(C + s sum_i A_i A_i^T) V' = C V`. As s grows V' shrinks, first along the large directions
        of the design. The s taken brings the largest dual norm down to `_EDGE` beta.

        Parameters
        ----------
        V : Tensor, shape (n, c)
        inverse_hessian : Diagonal or Shares of :mod:`convexbn.solvers.gated.loss_prox`
            C.
        beta : float
        """
        size = self.excess(V, beta)
        if size <= 1:
            return V
        right, diagonal = inverse_hessian(V).float(), inverse_hessian.diagonal.float()
        # size / (size at s) - 1 is nearly a power of s: secants of its logarithm find the goal, but
        # bounded ones, as rounding can hide what is gained.
        farthest = math.log(_FARTHEST / self.norm**2)
        goal = math.log(min(size, _MOST) - 1)
        x, slope, points = goal + math.log(_PULL / self.norm**2), 0.9, []
        for _ in range(_SECANTS):
            x = min(x, farthest)
            found = self._mean_field(diagonal, math.exp(x))(right).double()
            left = self.excess(found, beta)
            gained = min(size / left - 1, _MOST) if left > 0 else _MOST
            points.append((x, math.log(max(gained, _LEAST))))
            if abs(points[-1][1] - goal) < _NEAR or (x == farthest and points[-1][1] < goal):
                break
            if len(points) > 1:
                (x0, y0), (x1, y1) = points[-2:]
                slope = min(2.0, max(0.3, (y1 - y0) / (x1 - x0))) if x0 != x1 else slope
            x += (goal - points[-1][1]) / slope
        return found

    def excess(self, V: Tensor, beta: float) -> float:
        """Return the largest dual norm of V (n, c) in units of the one to start from."""
        return float(self.bounds(V).amax()) / (_EDGE * beta)

    def _mean_field(self, diagonal: Tensor, s: float) -> MeanField:
        """Return the inverse of `C + s sum_i A_i A_i^T`, s summed over the gates."""
        n, c = diagonal.shape
        shares = diagonal.new_full((self.program.shape[1],), s / self.program.shape[1])
        none = diagonal.new_zeros(n, 0), diagonal.new_zeros(c, 0)
        return MeanField(self.spectrum, diagonal, shares, self.open_share, *none)

    def bounds(self, V: Tensor) -> Tensor:
        """Return upper bounds (P,) of the dual norms of all blocks of `A^T V`, in float32."""
        size = torch.linalg.vector_norm(V)
        unit = (V / size.clamp_min(torch.finfo(V.dtype).tiny)).float()
        norms = self.program.penalty.block_norms(self.rounded.adjoint(unit)).amax(dim=1)
        return (norms.double() + _ROUNDING * self.norm) * size


def norm_bound(program: GatedProgram | ReLUProgram) -> float:
    """Bound the spectral norm of `[U_1, ..., U_K]`, which bounds that of every `A_i`.

    The bound is exact where the columns of U are few, or orthonormal up to a factor.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    p, dtype = program.U.shape[1], torch.float64
    x = torch.randn(p, generator=generator, dtype=dtype, device="cpu").to(program.U)
    image = program.U.T @ (program.U @ x)
    size = float(torch.linalg.vector_norm(image) / torch.linalg.vector_norm(x))
    if float(torch.linalg.vector_norm(image - size * x)) > 1e-6 * float(x.norm()) * size:
        few = program.U.shape[1] <= LARGEST
        size = float(torch.linalg.matrix_norm(program.U.T @ program.U, 2 if few else torch.inf))
    return math.sqrt(size * program.patches) or 1.0
