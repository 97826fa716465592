"""Semismooth Newton steps for the dual subproblems of the proximal point method.

With the centre W^k and step sigma, a subproblem of the gated program is, in the dual variable V,

    min_V  l(V) + 1/(2 sigma) ||prox(W^k + sigma A^T V)||^2,

with prox the proximal map of sigma beta R, and l the loss's part
(:mod:`convexbn.solvers.gated.loss_prox`). Its gradient is `A prox(Z) - F(V)`, its generalized
Hessian `C + sigma A prox'(Z) A^T`; the optimum V gives the next centre prox(Z) (Rockafellar 1976;
Li, Sun and Toh 2018 for the lasso). Only blocks with a dual norm above beta, or in the centre, take
part: a System keeps those that can.

Where loss and penalty do not couple the classes, each class is a System of its own.
"""

import math
from dataclasses import dataclass

import torch

from convexbn.programs.gated import GatedProgram, scaled_dual
from convexbn.solvers.gated.loss_prox import prox_of
from convexbn.solvers.gated.newton import NewtonSystem, Piece
from convexbn.solvers.gated.passes import Passes

_IDLE = 0.2  # share of blocks that may be carried along idly before all norms are recomputed
_FORCING = 0.05  # relative residual of a Newton system
_CG_LIMIT = 60
_SLOPE = 0.1  # share of the slope that the line search may leave
_HALVINGS = 25
_NEARER = 10.0  # times sigma for weights that are nearly optimal
_LARGE = 2**24  # products of a pass over the design from which on float32 pays
_DAMPING = 1.0  # rho times sigma, of a design of norm 1


@dataclass(frozen=True)
class Primal:
    """Weights that a System proposes.

    Attributes
    ----------
    objective : float
    F : Tensor, shape (n, c)
        Their predictions.
    blocks : list of (Tensor of int, slice, Tensor)
        Gates, columns and values of the blocks that can be other than zero.
    """

    objective: float
    F: torch.Tensor
    blocks: list[tuple[torch.Tensor, slice, torch.Tensor]]


@dataclass
class Part:
    """The candidate blocks of columns that share a norm: one column, or all of a System.

    Attributes
    ----------
    columns : slice
        Columns among those of the System.
    bounds, ends : Tensor, shape (P,)
        Bounds of the dual norms of all blocks of `A^T V`, here and at the end of the Newton
        direction.
    gates : Tensor of int, shape (a,)
        The candidates.
    center : Tensor, shape (r + 1, a, c)
        W^k.
    T : Tensor, shape (r + 1, a, c)
        `A^T V`.
    blocks : Tensor, shape (r + 1, a, c)
        `prox(W^k + sigma T)`.
    active : Tensor of bool, shape (a,)
        Whether each block is other than zero.
    """

    columns: slice
    bounds: torch.Tensor
    gates: torch.Tensor
    center: torch.Tensor
    T: torch.Tensor
    blocks: torch.Tensor
    active: torch.Tensor
    ends: torch.Tensor


class System:
    """A subproblem and the current point of Newton's method on it.

    Attributes
    ----------
    V, F : Tensor, shape (n, c)
        Dual variable and predictions of the blocks prox(Z).
    linear : Primal or None
        Where the last Newton system has the blocks, with predictions that fit its dual variable,
        as exact as conjugate gradients leave them.
    residual : float
        Norm of the gradient.
    near : bool
        Whether the weights that it began with are nearly optimal: their V is nearly feasible.
    real, dtype : torch.dtype
        Precision of the iterates and of the Newton systems: float32 until that is not enough.
    """

    def __init__(
        self, program: GatedProgram, passes: Passes, columns: slice, W: torch.Tensor, sigma: float
    ):
        self.passes, self.columns = passes, columns
        self.Y, self.beta = program.Y[:, columns], program.beta
        self.penalty, self.loss = program.penalty, program.loss
        self.loss_prox = prox_of(self.loss)
        self.dtype = torch.float32
        self.real = torch.float32 if math.prod(program.shape[:2]) * len(self.Y) > _LARGE else W.dtype
        self.linear: Primal | None = None
        self._begin(W[:, :, columns], sigma)

    @property
    def scaled_sigma(self) -> float:
        """Sigma for a design of norm 1."""
        return self.sigma * self.passes.norm**2

    def _begin(self, W: torch.Tensor, sigma: float) -> None:
        W, Y = W.to(self.real), self.Y.to(self.real)
        F = self.passes.forward(None, W) if bool(W.any()) else torch.zeros_like(Y)
        self.F = self.center = self.start = self.predictions = F
        self.V = self.loss.negative_gradient(F, Y)
        self.near = bool(W.any()) and self.passes.excess(self.V, self.beta) <= 1
        self.sigma = sigma * _NEARER if self.near else sigma
        self.rho = _DAMPING / self.scaled_sigma if self.loss_prox.damped else 0.0
        if not self.near:
            # The residual of weights for a larger beta, as of zero weights, violates nearly every
            # constraint: all blocks would take part in the first Newton systems, which would lead
            # far away. A dual point nearer to the optimum comes first.
            terms = self.loss_prox.inverse_hessian(self.loss, F, Y, self.rho), self.beta
            V = self.passes.mean_field_dual(self.V, *terms).to(self.real)
            self.V = self.loss_prox.project(V)
            self.predictions = self._predicted(self.V, self.start)
        self.residual = 0.0  # W minimizes the subproblem of a step of no length
        c = W.shape[2]
        width = 1 if self.penalty.by_column else c
        self.parts = [self._part(W, slice(j, j + width)) for j in range(0, c, width)]

    def _part(self, W: torch.Tensor, columns: slice) -> Part:
        W, V = W[:, :, columns], self.V[:, columns]
        bounds = self.passes.bounds(V)
        active = (W != 0).any(dim=2).any(dim=0)
        gates = (active | (bounds > self.beta)).nonzero()[:, 0]
        T = self.passes.adjoint(self.passes.masks(gates), V)
        bounds[gates] = self.penalty.block_norms(T).amax(dim=1).double()
        center, on = W[:, gates], active[gates]
        return Part(columns, bounds, gates, center, T, center, on, bounds)

    def _evaluate(self) -> None:
        """Compute the blocks prox(Z), their predictions, and the gradient."""
        F = torch.zeros_like(self.V)
        for part in self.parts:
            Z = part.center + self.sigma * part.T
            part.blocks = self.penalty.prox(Z, self.sigma * self.beta)
            part.active = (part.blocks != 0).any(dim=2).any(dim=0)
            part.bounds[part.gates] = self.penalty.block_norms(part.T).amax(dim=1).double()
            D = self.passes.masks(part.gates[part.active])
            F[:, part.columns] = self.passes.forward(D, part.blocks[:, part.active])
        self.F = F
        self.start = self.predictions = self._predicted(self.V, self.start)
        self.gradient = self.loss_prox.project(F - self.predictions)
        self.residual = float(torch.linalg.vector_norm(self.gradient))

    def _predicted(self, V, start) -> torch.Tensor:
        return self.loss_prox.predictions(V, self.Y.to(V.dtype), self.center, self.rho, start)

    def refine(self) -> None:
        """Go on in float64."""
        self.real, self.linear = torch.float64, None
        self.V = self.loss_prox.project(self.V.double())
        self.center, self.start = self.center.double(), self.start.double()
        for part in self.parts:
            part.center = part.center.double()
            part.T = self._adjoint(part, self.V)
        self._evaluate()

    def _adjoint(self, part: Part, V: torch.Tensor) -> torch.Tensor:
        """Return the blocks `A_i^T V` of a part's candidates."""
        return self.passes.adjoint(self.passes.masks(part.gates), V[:, part.columns])

    def recentre(self, growth: float) -> None:
        """Take the subproblem's solution as the next centre; make the next step longer."""
        self.center = self.F
        for part in self.parts:
            part.center = part.blocks
        self.sigma, self.rho = self.sigma * growth, self.rho / growth
        self._evaluate()

    def newton_step(self) -> None:
        """Make a Newton step, as long as a line search on the subproblem's slope allows."""
        if self.residual == 0:
            return
        direction, predictions = self._direction()
        self._ends(direction)
        images = [self._adjoint(part, direction) for part in self.parts]
        # Linearized blocks keep zeros, but not low ranks.
        self.linear = self._linear(images, predictions) if self.penalty.by_column else None
        length = self._search(direction, images)
        self.V = self.V + length * direction
        for part, image in zip(self.parts, images, strict=True):
            part.T = part.T + length * image
            part.bounds = part.bounds + length * (part.ends - part.bounds)
        self._evaluate()

    def _direction(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Solve the Newton system by conjugate gradients, in the precision `dtype`.

        Also returns the predictions (n, c) of the blocks as they are linear in the direction.
        """
        inverse_hessian = self.loss_prox.inverse_hessian(
            self.loss, self.predictions, self.Y.to(self.real), self.rho
        )
        pieces = [self._piece(part) for part in self.parts]
        system = NewtonSystem(
            *(self.passes, self.loss_prox, inverse_hessian, self.sigma, pieces, self.dtype)
        )
        direction, left = system.solve(-self.gradient, _FORCING, _CG_LIMIT)
        # What the system does not leave to the blocks is the change of F(V).
        return direction, self.F - self.gradient - left - inverse_hessian(direction)

    def _linear(self, images: list[torch.Tensor], F: torch.Tensor) -> "Primal":
        """Return the blocks at the end of a Newton direction, linearized there; F are theirs.

        Their predictions fit the dual variable at the end, where those of prox(Z) do so only once
        the subproblem is solved.
        """
        blocks, threshold = [], self.sigma * self.beta
        for part, image in zip(self.parts, images, strict=True):
            Z = part.center + self.sigma * part.T
            change = self.penalty.slope(Z, threshold, self.real)(self.sigma * image)
            blocks.append(self.penalty.prox(Z, threshold) + change)
        return self._primal(F, blocks)

    def _piece(self, part: Part) -> Piece:
        """Return the active blocks of a part."""
        Z = (part.center + self.sigma * part.T)[:, part.active]
        slope = self.penalty.slope(Z, self.sigma * self.beta, self.dtype)
        gates = part.gates[part.active]
        return Piece(part.columns, gates, self.passes.masks(gates), slope)

    def _ends(self, direction: torch.Tensor) -> None:
        """Bound the norms at the end of a direction, and take in the blocks that it can reach.

        Norms are convex: between two points they are at most as large as at the worse of the two.
        """
        for part in self.parts:
            step = direction[:, part.columns]
            # A block left out here would be missing from the slopes all along the line, and the
            # step would solve another problem. The Lipschitz bound costs nothing; only where it
            # lets in too many idle blocks does a pass over the whole design pay.
            part.ends = part.bounds + self.passes.norm * torch.linalg.vector_norm(step)
            idle = int((part.ends > self.beta).sum()) - int(part.active.sum())
            if idle > _IDLE * len(part.bounds):
                part.ends = self.passes.bounds(self.V[:, part.columns] + step)
            self._select(part)

    def _select(self, part: Part) -> None:
        """Keep the blocks with a dual norm above beta, here or there, and let go of the others."""
        held = torch.zeros_like(part.bounds, dtype=torch.bool)
        held[part.gates] = (part.center != 0).any(dim=2).any(dim=0) | part.active
        wanted = held | (torch.maximum(part.bounds, part.ends) > self.beta)
        kept = wanted[part.gates]
        known = torch.zeros_like(wanted)
        known[part.gates] = True
        new = (wanted & ~known).nonzero()[:, 0]
        T = self.passes.adjoint(self.passes.masks(new), self.V[:, part.columns])
        part.gates = torch.cat([part.gates[kept], new])
        part.T = torch.cat([part.T[:, kept], T], dim=1)
        part.center = torch.cat([part.center[:, kept], torch.zeros_like(T)], dim=1)

    def _slope(self, direction, images, length) -> float:
        """Return the derivative of the subproblem along a direction."""
        F = self._predicted(self.V + length * direction, self.start)
        slope = -float((F * direction).sum(dtype=torch.float64))
        for part, image in zip(self.parts, images, strict=True):
            Z = part.center + self.sigma * (part.T + length * image)
            blocks = self.penalty.prox(Z, self.sigma * self.beta)
            slope += float((blocks * image).sum(dtype=torch.float64))
        return slope

    def _search(self, direction, images) -> float:
        """Return a length in (0, 1] at which the slope is small, or not yet positive."""
        # It asks for the slope, not for the value: near the optimum differences of values are lost
        # to rounding long before slopes are. If no length will do, the longest one with a falling
        # slope is taken, for up to there the value falls.
        first = float((self.gradient * direction).sum(dtype=torch.float64))
        low, high, at_low, at_high = 0.0, 1.0, first, self._slope(direction, images, 1.0)
        if at_high <= -_SLOPE * first:
            return 1.0
        for _ in range(_HALVINGS):
            # The slope is piecewise smooth: a secant through a kink can crawl along one end, which
            # the limits prevent.
            share = at_low / (at_low - at_high) if at_high > at_low else 0.5
            middle = low + (high - low) * min(0.9, max(0.1, share))
            slope = self._slope(direction, images, middle)
            if abs(slope) <= _SLOPE * abs(first):
                return middle
            if slope < 0:
                low, at_low = middle, slope
            else:
                high, at_high = middle, slope
        return low or high

    def primal(self) -> "Primal":
        """Return the blocks prox(Z)."""
        return self._primal(self.F, [part.blocks for part in self.parts])

    def checked(self, primal: "Primal") -> "Primal":
        """Return blocks with the predictions that a pass over the design gives."""
        F = torch.zeros_like(self.V)
        for gates, columns, values in primal.blocks:
            on = values.any(dim=2).any(dim=0)
            F[:, columns] = self.passes.forward(self.passes.masks(gates[on]), values[:, on])
        return self._primal(F, [values for _, _, values in primal.blocks])

    def _primal(self, F: torch.Tensor, blocks: list[torch.Tensor]) -> "Primal":
        penalties = sum(float(self.penalty.value(values.double())) for values in blocks)
        objective = float(self.loss.value(F.double(), self.Y)) + self.beta * penalties
        parts = zip(self.parts, blocks, strict=True)
        return Primal(objective, F, [(part.gates, part.columns, values) for part, values in parts])

    def dual_bound(self, exact: bool) -> tuple[float, torch.Tensor]:
        """Return the dual objective at a point near V, scaled until it is feasible, and the point.

        The point is the negative gradient at F(V): unlike V it is always in the domain of the dual.
        The norms of its blocks are bounded by those at V plus the distance from V, or computed for
        the candidates if they are to be `exact`.
        """
        # Without damping it is V itself.
        V = self.V.double()
        if self.loss_prox.damped:
            V = self.loss.negative_gradient(self.predictions.double(), self.Y)
        norms = torch.stack([self._dual_norm(part, V, exact) for part in self.parts])
        # No margin for rounding: this bound only steers the solver, and the referee takes its own.
        return scaled_dual(self, V, norms, margin=0.0), V

    def _dual_norm(self, part: Part, V: torch.Tensor, exact: bool) -> torch.Tensor:
        distance = torch.linalg.vector_norm((V - self.V)[:, part.columns])
        norms = part.bounds + self.passes.norm * distance
        if exact and self.loss_prox.damped:
            T = self._adjoint(part, V.to(self.real))
            norms[part.gates] = self.penalty.block_norms(T).amax(dim=1).double()
        return norms.amax()
