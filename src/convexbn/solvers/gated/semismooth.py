"""Semismooth Newton steps for the dual subproblems of the proximal point method.

With the centre W^k and step sigma, a subproblem of the gated program is, in the dual variable V,

    min_V  l(V) + 1/(2 sigma) ||prox(W^k + sigma A^T V)||^2,

with prox the proximal map of sigma beta R, and l the loss's part
(:mod:`convexbn.solvers.gated.loss_prox`). Its gradient is `A prox(Z) - F(V)`, its generalized
Hessian `C + sigma A prox'(Z) A^T`; the optimum V gives the next centre prox(Z) (Rockafellar 1976;
Li, Sun and Toh 2018 for the lasso). Only blocks with a dual norm above beta, or in the centre, take
part: a System keeps those that can.

Where loss and penalty do not couple the classes, each column of a System is a subproblem of its
own: they go side by side, and all scalars (sigma, residual, length of a step) are one per column.
"""

import math
from typing import cast

import torch
from torch import Tensor

from convexbn.programs.gated import GatedProgram, feasible
from convexbn.programs.terms import SeparableLoss
from convexbn.solvers.gated.candidates import Candidates, blocks_of, columns_of
from convexbn.solvers.gated.line_search import search
from convexbn.solvers.gated.loss_prox import prox_of, uncoupled
from convexbn.solvers.gated.newton import NewtonSystem
from convexbn.solvers.gated.pairs import Pairs
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.primal import Primal, places_of

_FORCING = 0.1  # relative residual of a Newton system
_CG_LIMIT = 60
_NEARER = 10.0  # times sigma for weights that are nearly optimal
_LARGE = 2**24  # products of a pass over the design from which on float32 pays
_DAMPING = 1.0  # rho times sigma, of a design of norm 1


class System(Candidates):
    """A subproblem, or one for each column, and the current point of Newton's method.

    Its candidates are those of V.

    Attributes
    ----------
    apart : bool
        Whether each column is a subproblem of its own: there are s = c of them, otherwise s = 1.
    F : Tensor, shape (n, c)
        Predictions of the blocks prox(Z).
    sigma, residual : Tensor, shape (s,)
        Step, and norm of the gradient.
    near : Tensor of bool, shape (s,)
        Whether the weights that it began with are nearly optimal: their V is nearly feasible.
    linear : Primal or None
        Where the last Newton system has the blocks, with predictions that fit its dual variable,
        as exact as conjugate gradients leave them.
    real, dtype : torch.dtype
        Precision of the iterates and of the Newton systems: float32 until that is not enough, but
        for the iterates of small programs.
    """

    def __init__(self, program: GatedProgram, passes: Passes, columns: Tensor):
        super().__init__(program, passes, columns)
        self.apart, self.Y = uncoupled(program), columns_of(program.Y, columns)
        self.loss, self.loss_prox = program.loss, prox_of(program.loss)
        self.real = self.dtype = torch.float32
        self.linear: Primal | None = None

    @classmethod
    def starting(
        cls, program: GatedProgram, passes: Passes, columns: Tensor, W: Tensor, sigma: float
    ) -> "System":
        """Return the first subproblem of some columns, at weights W (r + 1, P, C)."""
        system = cls(program, passes, columns)
        rows = system.processes.count(len(program.U))
        is_large = math.prod(program.shape[:2]) * rows > _LARGE
        system.real = torch.float32 if is_large else W.dtype
        system._begin(W.index_select(2, columns).to(system.real), sigma)
        return system

    @classmethod
    def resumed(cls, program: GatedProgram, passes: Passes, state: dict) -> "System":
        """Return the one whose :meth:`state` this was."""
        system = cls(program, passes, state["columns"])
        system.resume(state)
        system.linear = system.linear and Primal(**state["linear"])
        return system

    def state(self) -> dict:
        """Return what it goes on from."""
        linear = self.linear and {**vars(self.linear)}
        return super().state() | {"real": self.real, "dtype": self.dtype, "linear": linear}

    @property
    def scaled_sigma(self) -> Tensor:
        """Sigma for a design of norm 1, shape (s,)."""
        return self.sigma * self.passes.norm**2

    @property
    def rho(self) -> float | Tensor:
        """Damping of the loss in the subproblems, shape (s,); 0 for a loss that needs none."""
        return (_DAMPING / self.scaled_sigma).to(self.real) if self.loss_prox.damped else 0.0

    def _begin(self, W: Tensor, sigma: float) -> None:
        Y, zero = self.Y.to(self.real), not bool(W.any())
        F = torch.zeros_like(Y) if zero else self.passes.whole(W.dtype).forward(W)
        self.F = self.center_F = self.start = self.predictions = F
        self.V = self.loss.negative_gradient(F, Y)
        self.bounds = self.passes.bounds(self.V)
        some = W.any(dim=0).any(dim=0) if self.apart else W.any().reshape(1)
        self.near = some & (self.passes.excess(self.bounds, self.beta, self.apart) <= 1)
        self.sigma = sigma * torch.where(self.near, _NEARER, 1.0).double()
        if not bool(self.near.all()):
            self._approach()
        # W minimizes the subproblem of a step of no length.
        self.gradient, self.residual = torch.zeros_like(self.V), torch.zeros_like(self.sigma)
        width = W.shape[2] // self.parts
        active = W.any(dim=0).T if width == 1 else W.any(dim=0).any(dim=1)[None]  # (parts, P)
        index = (active | (self.bounds > self.beta)).flatten().nonzero()[:, 0]
        self._take(index)
        self.center = blocks_of(W, self.pairs, width)
        self.T = self.passes.adjoint(self.pairs, self.V)
        self._know_norms()
        self._have(self.center, anew=True)
        self.ends = self.bounds

    def _approach(self) -> None:
        """Take a dual point nearer to the optimum, where the weights are far from optimal."""
        # The residual of weights for a larger beta, as of zero weights, violates nearly every
        # constraint: all blocks would take part in the first Newton systems, which would lead
        # far away.
        terms = self.bounds, self._inverse_hessian(), self.beta, self.apart
        V = self.passes.mean_field_dual(self.V, *terms)
        V = self.loss_prox.project(V.to(self.real))
        self.V = torch.where(self.near, self.V, V)
        self.bounds = self.passes.bounds(self.V)
        predictions = self._predicted(self.V, self.start)
        self.predictions = torch.where(self.near, self.predictions, predictions)

    def _inverse_hessian(self):
        return self.loss_prox.inverse_hessian(
            self.loss, self.predictions, self.Y.to(self.real), self.rho
        )

    def _step(self) -> Tensor:
        """Return sigma of each candidate, shape (m, 1) or (1, 1)."""
        return self.pairs.spread(self.sigma.to(self.real))

    def _evaluate(self) -> None:
        """Compute the blocks prox(Z), their predictions, and the gradient."""
        step = self._step()
        self._have(self.penalty.prox(self.center + step * self.T, step * self.beta))
        self._know_norms()
        active = self.blocks.index_select(1, self.active)
        self.F = self.passes.forward(self.acting, active)
        self.start = self.predictions = self._predicted(self.V, self.start)
        self.gradient = self.loss_prox.project(self.F - self.predictions)
        self.residual = self.processes.lengths(self.gradient, self.apart).double()

    def _predicted(self, V: Tensor, start: Tensor) -> Tensor:
        return self.loss_prox.predictions(V, self.Y.to(V.dtype), self.center_F, self.rho, start)

    def refine(self) -> None:
        """Go on in float64."""
        self.real, self.linear = torch.float64, None
        self.V = self.loss_prox.project(self.V.double())
        self.center_F, self.start = self.center_F.double(), self.start.double()
        self.center = self.center.double()
        self.T = self.passes.adjoint(self.pairs, self.V)
        self._evaluate()

    def recentre(self, growth: float | Tensor, which: Tensor | None = None) -> None:
        """Take the subproblem's solution as the next centre; make the next step longer.

        `which` (s,) says of which subproblems; by default of all.
        """
        which = torch.ones_like(self.sigma, dtype=torch.bool) if which is None else which
        self.center_F = torch.where(which, self.F, self.center_F)
        self.center = torch.where(self.pairs.spread(which), self.blocks, self.center)
        self.sigma = self.sigma * torch.where(which, growth, 1.0)
        self._evaluate()

    def keep(self, index: Tensor) -> None:
        """Go on with some of the columns, which are not coupled with the others."""
        places = places_of(index, len(self.columns))
        for name in ("Y", "V", "F", "center_F", "start", "predictions", "gradient"):
            setattr(self, name, columns_of(getattr(self, name), index))
        for name in ("columns", "sigma", "residual", "near", "bounds"):
            setattr(self, name, getattr(self, name).index_select(0, index))
        self.linear = None
        columns = places.index_select(0, self.pairs.columns)
        kept = (columns >= 0).nonzero()[:, 0]
        gates, P = self.pairs.gates.index_select(0, kept), self.bounds.shape[1]
        self._take(columns.index_select(0, kept) * P + gates)
        self.center, self.T = (x.index_select(1, kept) for x in (self.center, self.T))
        self._have(self.blocks.index_select(1, kept), anew=True)

    def newton_step(self) -> None:
        """Make a Newton step, as long as a line search on the subproblem's slope allows."""
        if not bool(self.residual.any()):
            return
        direction, predictions = self._direction()
        self._reach(direction)
        image, step = self.passes.adjoint(self.pairs, direction), self._step()
        Z, change = self.center + step * self.T, step * image
        # The blocks at the end of the direction, linearized: their predictions fit V there, where
        # those of prox(Z) do so only once the subproblem is solved. They keep zeros, not low ranks.
        if self.penalty.by_column:
            turned = self.penalty.slope(Z, step * self.beta, self.real)(change)
            self.linear = self._primal(predictions, self.blocks + turned, self.pairs)

        def slope(length: Tensor) -> Tensor:
            return self._slope(direction, image, Z, change, step * self.beta, length)

        first = self.processes.sums((self.gradient * direction).double(), self.apart)
        length = search(slope, first).to(self.real)
        self.V = self.V + length * direction
        self.T = self.T + self.pairs.spread(length) * image
        share = length.double()[:, None]
        self.bounds = self.bounds + share * (self.ends - self.bounds)
        self._evaluate()

    def _direction(self) -> tuple[Tensor, Tensor]:
        """Solve the Newton system by conjugate gradients, in the precision `dtype`.

        Also returns the predictions (n, c) of the blocks as they are linear in the direction.
        """
        inverse_hessian, step = self._inverse_hessian(), self._step()
        Z = (self.center + step * self.T).index_select(1, self.active)
        threshold = self.acting.spread(self.sigma.to(self.real)) * self.beta
        slope = self.penalty.slope(Z, threshold, self.dtype)
        terms = self.loss_prox, inverse_hessian, self.sigma, self.acting, slope, self.dtype
        direction, left = NewtonSystem(self.passes, *terms).solve(
            -self.gradient, _FORCING, _CG_LIMIT
        )
        # What the system does not leave to the blocks is the change of F(V).
        return direction, self.F - self.gradient - left - inverse_hessian(direction)

    def _slope(self, direction, image, Z, change, threshold, length) -> Tensor:
        """Return the derivatives of the subproblems along their directions, shape (s,)."""
        short = length.to(self.real)
        F = self._predicted(self.V + short * direction, self.start)
        blocks = self.penalty.prox(Z + self.pairs.spread(short) * change, threshold)
        rise = self._grouped((blocks * image).sum(dim=(0, 2), dtype=torch.float64))
        return rise - self.processes.sums((F * direction).double(), self.apart)

    def _grouped(self, x: Tensor) -> Tensor:
        """Return the sums (s,) over the candidates of each subproblem, of numbers x (m,)."""
        return self.pairs.totals(x) if self.apart else x.sum().reshape(1)

    def primal(self) -> Primal:
        """Return the blocks prox(Z)."""
        return self._primal(self.F, self.blocks, self.pairs)

    def checked(self, primal: Primal) -> Primal:
        """Return weights with the predictions that a pass over the design gives."""
        on = primal.blocks.any(dim=2).any(dim=0).nonzero()[:, 0]
        gates, columns = (x.index_select(0, on) for x in (primal.gates, primal.columns))
        pairs, blocks = self.passes.pairs(gates, columns, self.parts), primal.blocks[:, on]
        return self._primal(self.passes.forward(pairs, blocks), blocks, pairs)

    def _primal(self, F: Tensor, blocks: Tensor, pairs: Pairs) -> Primal:
        values, F64 = self.penalty.sizes(blocks.double()).sum(dim=1), F.double()
        if self.apart:
            losses = cast(SeparableLoss, self.loss).values(F64, self.Y)
            penalties = pairs.totals(values)
        else:
            losses, penalties = self.loss.value(F64, self.Y).reshape(1), values.sum()
        objective = losses + self.beta * penalties
        return Primal(objective, F, pairs.gates, pairs.columns, blocks)

    def dual_bound(self, exact: bool) -> tuple[Tensor, Tensor]:
        """Return dual objectives (s,) at a point near V, scaled until it is feasible, and it.

        The point is the negative gradient at F(V): unlike V it is always in the domain of the dual.
        The norms of its blocks are bounded by those at V plus the distance from V, or computed for
        the candidates if they are to be `exact`.
        """
        # Without damping it is V itself.
        V, norms = self.V.double(), self.bounds
        if self.loss_prox.damped:
            V = self.loss.negative_gradient(self.predictions.double(), self.Y)
            distance = self.processes.lengths(V - self.V, self.penalty.by_column)
            norms = norms + self.passes.norm * distance[:, None]
            if exact:
                T = self.passes.adjoint(self.pairs, V.to(self.real))
                norms.view(-1)[self._flat] = self.penalty.block_norms(T)[:, 0].double()
        # No margin for rounding: this bound only steers the solver, and the referee takes its own.
        scaled = feasible(self, V, norms.amax(dim=1), margin=0.0)
        if self.apart:
            return cast(SeparableLoss, self.loss).dual_values(scaled, self.Y), V
        return self.loss.dual_value(scaled, self.Y).reshape(1), V
