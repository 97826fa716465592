"""The convex BN program as a differentiable layer.

    W(U, Y, beta) = argmin_W  L(sum_i D_i U W_i, Y) + beta R(W)

is a function of the design, the targets and the weight decay, and a loss of W, on validation data
say, has a derivative with respect to each of them: spectral gains of the design, weight decay and
data can be learned by descent. :class:`ConvexLayer` solves to a certified optimum, which it then
differentiates implicitly (:mod:`convexbn.solvers.gated.implicit`), as convex optimization layers do
(Agrawal, Amos, Barratt, Boyd, Diamond and Kolter 2019), at sizes for which a modelling language has
no memory.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convexbn.calls import public
from convexbn.inputs import (
    ArrayLike,
    as_beta,
    as_tensor,
    check_choice,
    check_finite,
    check_tolerance,
)
from convexbn.programs import memory
from convexbn.programs.certificates import Certificate, judged
from convexbn.programs.design import forward, pooled
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import make_program
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.solutions import Solution
from convexbn.programs.units import Units, exponent, scaled
from convexbn.solvers.gated import implicit, proximal_point
from convexbn.solvers.gated.linearization import (
    NotDifferentiableError as NotDifferentiableError,
)
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.snapshots import Stopwatch, ignore
from convexbn.solvers.stopping import Result

# The squared hinge is not among them: its second derivative jumps where a margin is 1.
LOSSES = ("squared", "logistic", "cross_entropy")
_MAX_ITERATIONS = 100_000
_EDGE = 1e-6  # relative distance from the edge of being active that counts as a kink
_PRECISE, _POLISHES = 1e-6, 8  # tolerance up to which weights are polished, and steps of this
_FAR = 10.0  # the same, relative to the distance of the weights from their fixed point


class ConvexLayer(torch.nn.Module):
    """Train the gated BN-ReLU network to its global optimum, as a differentiable layer.

    Parameters
    ----------
    D : array or tensor of bool, shape (n, P) or (K, n, P)
        Activation patterns of the gates, held fixed (:func:`convexbn.activation`).
    loss : {"squared", "logistic", "cross_entropy"}
    penalty : {"group", "nuclear"}
        Both as for :func:`convexbn.solve`.
    tol : float
        Relative duality gap of the weights, and relative residual of the linear system of the
        derivative. Up to 1e-6 weights are then polished to within rounding of the optimum.

    Attributes
    ----------
    certificate : Certificate or None
        The referee's certificate of the last weights; None before the first call.
    at_kink : bool
        Whether the last weights are at a kink: a block, or a singular value with the nuclear
        penalty, is within a relative 1e-6 of the edge of being active. Their derivative is then
        that of the blocks which are active.

    Notes
    -----
    The derivative solves one linear system, in the Hessian of the objective along the active
    blocks, by conjugate gradients; its preconditioner is the dual Newton operator of the solver.
    From weights of zero it took 0.2 to 0.6 of the time of the forward pass, of which polishing is
    up to half (docs/layers.md); :func:`convexbn.programs.memory.gated_bytes` bounds the memory.
    Each call starts from the weights of the one before, if these have the same shape; this changes
    the time it takes, and polished weights by rounding.

    Examples
    --------
    >>> layer = ConvexLayer(D)
    >>> W = layer(U * gains, Y, beta)
    >>> (layer.predict(W, U_val * gains, D_val) - Y_val).square().mean().backward()
    """

    D: Tensor

    @public
    def __init__(
        self, D: ArrayLike, *, loss: str = "squared", penalty: str = "group", tol: float = 1e-8
    ):
        super().__init__()
        if loss == "squared_hinge":
            raise ValueError(
                "loss 'squared_hinge' has no derivative to solve with: its second derivative jumps "
                "where a margin is 1; take loss 'logistic'"
            )
        check_choice("loss", loss, LOSSES)
        check_choice("penalty", penalty, PENALTIES)
        check_tolerance(tol)
        with torch.inference_mode(False):  # a layer made there can be trained elsewhere
            self.register_buffer("D", as_tensor("D", D, bool))
        self.loss, self.penalty, self.tol = loss, penalty, tol
        self.certificate: Certificate | None = None
        self.at_kink = False
        self._last: Tensor | None = None

    def forward(self, U: ArrayLike, Y: ArrayLike, beta: float | Tensor) -> Tensor:
        """Return the certified weights, shape (r + 1, P, C), in float64.

        Parameters
        ----------
        U : array or tensor, shape (n, r + 1) or (K, n, r + 1)
            Whitened design, whose columns may be multiplied by spectral gains.
        Y : array or tensor, shape (n,) or (n, C)
            Targets. Their derivative is for losses whose targets are numbers, squared and
            cross-entropy; for the latter it is along rows that sum to one.
        beta : float or tensor of one number
            Weight decay.

        Raises
        ------
        ValueError
            For inputs that do not fit together, and for a derivative with respect to labels +-1 or
            to tensors in a list. In the backward pass, for a gradient that is not finite.
        UncertifiedError
            If the weights miss the tolerance.
        NotDifferentiableError
            In the backward pass, if the optimum is not the only one.
        """
        if self.loss == "logistic" and torch.is_tensor(Y) and Y.requires_grad:
            raise ValueError(
                "loss 'logistic' has no derivative with respect to Y, whose labels -1 and +1 are "
                "no numbers to move; give Y.detach(), or take loss 'squared' or 'cross_entropy'"
            )
        data = (("U", U), ("Y", Y), ("beta", beta))
        return _Solve.apply(self, self.D, *(_own(name, value) for name, value in data))

    def predict(self, weights: ArrayLike, U: ArrayLike, D: ArrayLike) -> Tensor:
        """Return the predictions (m, C) of weights for whitened samples, differentiable in both.

        Parameters
        ----------
        weights : array or tensor, shape (r + 1, P, C)
        U : array or tensor, shape (m, r + 1) or (K, m, r + 1)
        D : array or tensor of bool, shape (m, P) or (K, m, P)
            Patterns of the same gates on these samples.

        Raises
        ------
        ValueError
            For shapes that do not fit together.
        """
        weights, U = _own("weights", weights), _own("U", U)
        D = as_tensor("D", D, bool, device=weights.device, copy=False)
        _check_prediction(weights, U, D)
        if weights.dtype not in (torch.float32, torch.float64):
            weights = weights.double()  # as integers or halves they would round U to their like
        rows = U.reshape(-1, U.shape[-1]).to(weights)
        F = forward(rows, D.reshape(-1, D.shape[-1]), weights)
        return pooled(F, len(U) if U.ndim == 3 else 1)

    def _optimum(self, U: ArrayLike, Y: ArrayLike, beta: float | Tensor) -> "_Optimum":
        """Return the optimum, sought from the last one where that has the same shape."""
        terms: dict[str, Any] = {"loss": self.loss, "penalty": self.penalty}
        found = make_program(U, self.D, Y, as_beta(beta), model="gated", for_solver=True, **terms)
        program = cast(GatedProgram, found)
        sizes = len(program.Y), *program.shape, program.patches
        memory.check(*sizes, device=program.U.device, differentiable=True, **terms)
        start = program.Y.new_zeros(program.shape)
        if self._last is not None and self._last.shape == start.shape:
            start = self._last.to(start)
        optimum = _Optimum.of(program, start, self.tol)
        self.certificate, self.at_kink = optimum.certificate, optimum.at_kink
        self._last = optimum.weights
        return optimum


class _Solve(torch.autograd.Function):
    """From (layer, D, U, Y, beta) to the weights, and back to the gradients of the last three."""

    @staticmethod
    def forward(ctx: Any, layer: ConvexLayer, D: Tensor, *data: Tensor) -> Tensor:
        ctx.optimum, ctx.tol = layer._optimum(*data), layer.tol
        # Saved so that autograd refuses to go on where they were changed in place meanwhile.
        ctx.save_for_backward(D, *data)
        return ctx.optimum.weights.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        _, *data = ctx.saved_tensors
        gradients = ctx.optimum.gradients(g, ctx.tol)
        pairs = zip(gradients, data, strict=True)
        return None, None, *(grad.reshape(value.shape).to(value) for grad, value in pairs)


@dataclass(frozen=True)
class _Optimum:
    """Certified weights in the caller's units, and the program without units that they solve."""

    weights: Tensor
    certificate: Certificate
    at_kink: bool
    program: GatedProgram
    passes: Passes
    units: Units

    @classmethod
    def of(cls, program: GatedProgram, start: Tensor, tol: float) -> "_Optimum":
        """Solve a program from weights (r + 1, P, C).

        Raises
        ------
        UncertifiedError
            If the weights miss the tolerance.
        """
        units, watch = Units.of(program), Stopwatch()
        plain, first = units.taken_off(program), Result(units.taken_off_weights(start), {})
        limits: dict[str, Any] = {"tol": tol, "max_iterations": _MAX_ITERATIONS, "watch": watch}
        found = proximal_point.minimize(plain, first, **limits, callback=ignore).uninterrupted()
        passes = cast(Passes, found.state)
        steps = _POLISHES if tol <= _PRECISE else 0
        W, distance = implicit.polish(plain, passes, found.weights, steps)
        # Polished weights have the best dual variable there is in their own residual, unless the
        # tolerance was too loose to know the active blocks.
        found_dual = {name: units.put_on_dual(value) for name, value in found.witness.items()}
        for values, dual in ((W, {}), (W, found_dual), (found.weights, found_dual)):
            weights = units.put_on_weights(values)
            certificate = found.signed(judged(plain, units, weights, tol, **dual), watch)
            if certificate.converged:
                break
        Solution(weights, certificate, program.beta).certified()
        edge = implicit.on_the_edge(plain, values, max(_EDGE, _FAR * distance))
        return cls(weights, certificate, edge, plain, passes, units)

    def gradients(self, g: Tensor, tol: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives with respect to U (K n, r + 1), Y (n, C) and beta.

        Raises
        ------
        ValueError
            If the derivative g with respect to the weights is not finite.
        """
        check_finite("the gradient with respect to the weights", g)
        design, targets = self.units.design, self.units.targets
        W = self.units.taken_off_weights(self.weights)
        # The derivatives are linear in g, whose squares may not over- or underflow.
        unit = exponent(g)
        plain = implicit.differentiate(self.program, self.passes, W, scaled(g, -unit), tol)
        beta = plain.U.new_tensor(plain.beta)
        unit += targets - design
        return (
            scaled(plain.U, unit - design),
            scaled(plain.Y, unit - targets),
            scaled(beta, unit - design - targets),
        )


def _own(name: str, values: Any) -> Tensor:
    """Return a tensor as it is, and other numbers as one that shares no memory with them.

    Raises
    ------
    ValueError
        For a sequence of tensors of which one requires a gradient, which it would not get.
    """
    if torch.is_tensor(values):
        return values
    if _requires_grad(values):
        raise ValueError(
            f"{name} must be one tensor to have a gradient, got a {type(values).__name__} with "
            "tensors that require one; join them with torch.stack"
        )
    if name == "beta":
        return torch.tensor(as_beta(values), dtype=torch.float64)
    return as_tensor(name, values, None, finite=False)


def _requires_grad(values: Any) -> bool:
    if torch.is_tensor(values):
        return values.requires_grad
    return isinstance(values, list | tuple) and any(map(_requires_grad, values))


def _check_prediction(weights: Tensor, U: Tensor, D: Tensor) -> None:
    """Raise ValueError unless weights, U and D fit together."""
    fit = weights.ndim == 3 and U.ndim in (2, 3) and U.shape[-1] == len(weights)
    if not fit or D.shape != (*U.shape[:-1], weights.shape[1]):
        raise ValueError(
            "expected weights (r + 1, P, C), and U (m, r + 1) and D (m, P) of the same samples, "
            f"both with an axis of K patches before for a CNN; got weights {tuple(weights.shape)}, "
            f"U {tuple(U.shape)} and D {tuple(D.shape)}"
        )
