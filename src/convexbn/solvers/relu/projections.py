"""Projections on the cones of many arrangements at once, each call starting from the last one.

The projection of z on `{s: K s >= 0}` is `z + K^T lam` with the multipliers lam of

    min_{lam >= 0} ||z + K^T lam||,

at most p of which are positive. The active-set method of Lawson and Hanson (Solving Least Squares
Problems, 1974, chapter 23) finds them: the constraint that is violated most joins the support, and
those whose multipliers would turn negative leave it. Each call starts from the supports of the one
before, so that near the optimum of a program one or two iterations are enough. The norm falls with
each iteration, and every lam >= 0 bounds that of the projection from above: a block whose norm is
already within a limit needs no more work.
"""

import torch
from torch import Tensor

from convexbn.programs.relu import ReLUProgram

_RIDGE = 1e-15  # on the Gram matrices of unit normals, which near parallel ones make singular
_INSIDE = 1e-14  # violation that counts as rounding, relative to ||z|| and multipliers; > ridge
_SETTLED = 0.3  # share of finished projections at which the others go on alone
_ROUNDS = 50  # iterations per dimension at most
_BATCH_BYTES = 2**26  # for the activations of the blocks that are projected at once


class Projections:
    """The supports and multipliers of all blocks, the second set's after the first's.

    Attributes
    ----------
    rows : Tensor of int, shape (2 P, p)
        Constraints in the support of each block, in any order.
    used : Tensor of bool, shape (2 P, p)
        Whether each entry of `rows` counts.
    lam : Tensor, shape (2 P, p)
        Multipliers of unit normals; zero where not used.
    forces : Tensor, shape (2 P, p)
        `K^T lam`.
    """

    def __init__(self, program: ReLUProgram):
        _, p, P = program.shape
        self.signs, self.lengths = program.signs, torch.linalg.vector_norm(program.rows, dim=1)
        self.units = program.rows / self.lengths[:, None]  # (h, p)
        self.rows = torch.zeros(2 * P, p, dtype=torch.long, device=program.U.device)
        self.used = torch.zeros_like(self.rows, dtype=torch.bool)
        self.lam, self.forces = self.units.new_zeros(2, 2 * P, p)

    def __call__(self, z: Tensor, which: Tensor, limit: float) -> Tensor:
        """Return the projections of z (k, p) on the cones of some blocks (k,).

        A projection whose norm is at most `limit` may be inexact, but its norm too is within it.
        """
        if len(self.units) == 0:
            return z  # no constraints
        size = max(1, _BATCH_BYTES // (8 * self.signs.shape[1]))
        batches = zip(z.split(size), which.split(size), strict=True)
        found = [_Batch(self, *batch).run(limit) for batch in batches]
        return torch.cat(found)

    def normals(self, which: Tensor) -> Tensor:
        """Return the inner unit normals of the supports of some blocks, shape (k, p, p)."""
        if len(self.units) == 0:
            return self.units.new_zeros(len(which), *2 * [self.units.shape[1]])
        signs = self.signs[(which % len(self.signs))[:, None], self.rows[which]] * self.used[which]
        return self.units[self.rows[which]] * signs[..., None]

    def multipliers(self) -> Tensor:
        """Return the multipliers of all constraints, shape (2, P, h)."""
        P, h = self.signs.shape
        full = self.lam.new_zeros(2 * P, h)
        if h > 0:
            # In any order the same: the rows in use are different ones, and others add zeros.
            full.scatter_add_(1, self.rows, self.lam / self.lengths[self.rows])
        return full.view(2, P, h)


def gram(normals: Tensor, used: Tensor) -> Tensor:
    """Return the Gram matrices (k, p, p) of normals, the identity where they are not used."""
    products = normals @ normals.mT
    products.diagonal(dim1=1, dim2=2).add_(torch.where(used, products.new_tensor(_RIDGE), 1.0))
    return products


class _Batch:
    """Projections of z (k, p) on the cones of some blocks (k,), under way."""

    def __init__(self, cones: Projections, z: Tensor, which: Tensor):
        self.cones, self.z, self.which = cones, z, which
        self.arrangement = which % len(cones.signs)
        self.rows, self.used, self.lam = (a[which] for a in (cones.rows, cones.used, cones.lam))
        self.normals = cones.normals(which)
        self.gram = gram(self.normals, self.used)
        self.newest = torch.full_like(which, -1)  # the entry that joined in the last iteration
        self.place = torch.arange(len(z), device=z.device)
        self.counted = torch.arange(1, 1 + z.shape[1], device=z.device)
        self.done = torch.zeros_like(which, dtype=torch.bool)

    def run(self, limit: float) -> Tensor:
        out = torch.empty_like(self.z)
        for _ in range(_ROUNDS * self.z.shape[1]):
            if len(self.z) == 0:
                return out
            s = self._iterate(limit)
            if self.done.sum() >= _SETTLED * len(self.done):
                self._settle(out, s, self.done)
        # Rounding has made a cycle. Whether feasible or not, these bound the projections' norms,
        # and that is all that the dual bound needs.
        self._settle(out, self.z + self._forces(), torch.ones_like(self.done))
        return out

    def _iterate(self, limit: float) -> Tensor:
        # With a multiplier below zero the norm would no longer bound the projection's from above:
        # where the goal has one, the block stops on the way and lets the constraint go.
        goal = self._goal()
        leaving = self.used & (goal <= 0)
        blocked = leaving.any(dim=1)
        if blocked.any():
            self._retreat(goal, leaving)
        else:
            self.lam = goal
        s = self.z + self._forces()
        self.done |= ~blocked & (torch.linalg.vector_norm(s, dim=1) <= limit)
        self.newest = torch.full_like(self.newest, -1)
        self._join(s, (~blocked & ~self.done).nonzero()[:, 0])
        return s

    def _goal(self) -> Tensor:
        """Return the best multipliers (k, p) of the supports, whatever their signs."""
        m = max(1, int((self.used.any(dim=0) * self.counted).amax()))
        # Dependent normals can make a factor fail in spite of the ridge. An exception would end the
        # whole batch; NaN becomes a goal of zero, which makes that one block drop constraints.
        factor = torch.linalg.cholesky_ex(self.gram[:, :m, :m]).L
        normals, z = self.normals[:, :m], self.z[..., None]
        first = torch.cholesky_solve(-normals @ z, factor)
        # The normal equations lose the digits of near parallel normals, which a second go regains.
        second = torch.cholesky_solve(-normals @ (z + normals.mT @ first), factor)
        goal = torch.zeros_like(self.lam)
        goal[:, :m] = (first + second)[..., 0]
        return (goal * self.used).nan_to_num_(0, 0, 0)

    def _retreat(self, goal: Tensor, leaving: Tensor) -> None:
        """Go towards the goal until a multiplier is zero, and drop it."""
        rate = self.lam / (self.lam - goal).clamp_min(torch.finfo(goal.dtype).tiny)
        length = rate.masked_fill(~leaving, 1.0).amin(dim=1, keepdim=True)
        self.lam = self.lam + length * (goal - self.lam)
        # A constraint that joins and is dropped at once, with no move in between, would join again
        # for ever: it is violated by rounding alone, and the block is done.
        newest = self.newest.clamp_min(0)[:, None]
        dropped = leaving & (rate <= length)
        back = (dropped.gather(1, newest) & (length <= 0))[:, 0]
        self.done |= back & (self.newest >= 0)
        k, entry = dropped.nonzero(as_tuple=True)
        self.lam[k, entry], self.used[k, entry], self.normals[k, entry] = 0.0, False, 0.0
        self.gram[k, entry], self.gram[k, :, entry] = 0.0, 0.0
        self.gram[k, entry, entry] = 1.0

    def _forces(self) -> Tensor:
        return (self.lam[:, None] @ self.normals)[:, 0]

    def _join(self, s: Tensor, k: Tensor) -> None:
        """Let the constraint that each s violates most join; blocks that violate none are done."""
        if len(k) == 0:
            return
        cones, arrangement = self.cones, self.arrangement[k]
        c = (s[k] @ cones.units.T).mul_(cones.signs[arrangement])  # (k, h)
        # Constraints in the support are zero up to rounding, which must not let them join twice.
        zero = torch.zeros_like(self.lam[k]).masked_fill_(~self.used[k], -torch.inf)
        worst, row = c.scatter_reduce_(1, self.rows[k], zero, "amax").min(dim=1)
        size = torch.maximum(torch.linalg.vector_norm(self.z[k], dim=1), self.lam[k].amax(dim=1))
        inside = worst >= -_INSIDE * size
        inside |= self.used[k].all(dim=1)
        self.done[k] = inside  # as all of these were not
        outside = (~inside).nonzero()[:, 0]
        k, row, arrangement = k[outside], row[outside], arrangement[outside]
        entry = (~self.used[k]).to(torch.int8).argmax(dim=1)
        normal = cones.units[row] * cones.signs[arrangement, row][:, None]
        products = (self.normals[k] @ normal[..., None])[..., 0]
        self.gram[k, entry], self.gram[k, :, entry] = products, products
        self.gram[k, entry, entry] = 1.0 + _RIDGE
        self.rows[k, entry], self.used[k, entry] = row, True
        self.normals[k, entry], self.newest[k] = normal, entry

    def _settle(self, out: Tensor, s: Tensor, done: Tensor) -> None:
        """Store the projections that are done and go on with the rest."""
        # A few blocks take many more iterations than most: without this, all would wait for them.
        # By their numbers: each use of a mask would wait for a device to say how many they are.
        ended, rest = done.nonzero()[:, 0], (~done).nonzero()[:, 0]
        which = self.which[ended]
        out[self.place[ended]] = s[ended]
        self.cones.rows[which], self.cones.used[which] = self.rows[ended], self.used[ended]
        self.cones.lam[which] = self.lam[ended]
        self.cones.forces[which] = (s - self.z)[ended]
        for name in ("z", "which", "arrangement", "rows", "used", "lam", "normals", "gram"):
            setattr(self, name, getattr(self, name)[rest])
        self.newest, self.place = self.newest[rest], self.place[rest]
        self.done = self.done[rest]
