"""Newton's step for the conditions of the central path, in the scaling of Nesterov and Todd.

After Vandenberghe, "The CVXOPT linear and quadratic cone program solvers" (2010). Only the loss
couples the blocks: the matrix is `B + A^T L'' A`, B block diagonal, and Woodbury's identity solves
it with 2 P factorizations of size p and one of size n. Some steps of iterative refinement, on the
conditions themselves, recover the digits that it loses when the terms of B differ by many orders of
magnitude.
"""

import torch
from torch import Tensor

from convexbn.solvers.relu_bn.central_path import Conditions, Point
from convexbn.solvers.relu_bn.second_order_cone import Scaling, divided, product

_REFINEMENTS = 3


class NewtonSystem:
    """The linear system of a Newton step, factorized once for predictor and corrector."""

    def __init__(self, conditions: Conditions):
        self.program, self.point = conditions.program, conditions.point
        self.conditions = conditions
        self.scaling = Scaling(conditions.sigma, conditions.point.omega)
        self.root = conditions.compliance.rsqrt()  # (n, 1)
        self.factors = self._factors()
        self.coupling = torch.linalg.cholesky(self._coupling())

    def _factors(self) -> Tensor:
        """Return upper triangular R (2, P, p, p), `R^T R` the block matrix B with tau eliminated.

        The second-order cone leaves `(I - share e e^T) / size^2`, with e the direction of the
        scaling's point. Near the solution the terms of B differ by more orders of magnitude than
        numbers have digits, so B is never formed: R comes from a QR factorization of the square
        roots of its terms.
        """
        program, point, scaling = self.program, self.point, self.scaling
        rest = scaling.point[..., 1:]
        squares = rest.square().sum(-1, keepdim=True)
        e = rest / squares.sqrt().clamp_min(torch.finfo(rest.dtype).tiny)
        # 1 - sqrt(1 - share), share = 2 squares / (1 + 2 squares)
        drop = 1 - (1 + 2 * squares).rsqrt()
        identity = torch.eye(rest.shape[-1], dtype=rest.dtype, device=rest.device)
        root = (identity - (drop * e)[..., :, None] * e[..., None, :]) / scaling.size[..., None]
        root = root * program.basis.normed[:, None, :]
        half_line = (point.lam / point.c).sqrt()[..., None] * program.K
        return torch.linalg.qr(torch.cat([half_line, root], dim=-2), mode="r").R

    def _coupling(self) -> Tensor:
        """Return `I + L''^(1/2) A B^-1 A^T L''^(1/2)`, shape (n, n)."""
        A = self.program.A
        # Both signs have the same A: their inverses are added first.
        inverse = torch.cholesky_inverse(self.factors, upper=True).sum(dim=0)
        columns = A.transpose(0, 1).flatten(1)  # (n, P p)
        M = (A @ inverse).transpose(0, 1).flatten(1) @ columns.T
        M = self.root * M * self.root.T
        M.diagonal().add_(1)
        return M

    def step(self, mu: float, predictor: Point | None) -> Point:
        """Return the Newton step towards products mu of the complements.

        The corrector takes the products' second-order terms from the predictor.
        """
        program, point, scaling = self.program, self.point, self.scaling
        cone = -product(scaling.middle, scaling.middle)
        cone[..., :1] += mu
        products = mu - point.c * point.lam
        if predictor is not None:
            primal = scaling.shrink(predictor.sigma(program))
            cone = cone - product(primal, scaling.stretch(predictor.omega))
            products = products - predictor.c * predictor.lam
        targets = (
            scaling.shrink(divided(cone, scaling.middle)),
            products,
            self._slack(mu, predictor),
        )
        tau, x = torch.zeros_like(point.tau), torch.zeros_like(point.x)
        step = self._completed(tau, x, *targets)
        for _ in range(1 + _REFINEMENTS):
            more_tau, more_x = self._solve(*self._unbalanced(step))
            tau, x = tau + more_tau, x + more_x
            step = self._completed(tau, x, *targets)
        return step

    def _completed(
        self, tau: Tensor, x: Tensor, pull: Tensor, products: Tensor, slack: Tensor
    ) -> Point:
        """Return the step of which tau and x are parts; the others follow from these."""
        program, point, conditions = self.program, self.point, self.conditions
        c = program.all_activations(x) + conditions.missing
        lam = (products - point.lam * c) / point.c
        sigma = torch.cat([tau, program.normed(x)], dim=-1)
        omega = pull - self.scaling.shrink(self.scaling.shrink(sigma))
        missing = conditions.residual_F - program.Y * slack + program.forward(x)
        V = -(self.root**2) * missing
        w = slack - point.w * V / point.V if conditions.loss.slack else slack
        return Point(tau, x, c, lam, omega, V, w)

    def _unbalanced(self, step: Point) -> tuple[Tensor, Tensor]:
        """Return minus what a step leaves of the first condition, in tau and in x."""
        program, conditions = self.program, self.conditions
        tau = step.omega[..., :1] - conditions.residual_tau
        rest = program.normed(step.omega[..., 1:]) + program.forces(step.lam)
        return tau, rest + program.adjoint(step.V) - conditions.residual_x

    def _slack(self, mu: float, predictor: Point | None) -> Tensor:
        """Return the change of the slacks for a V that stays, shape (n, 1)."""
        point, Y = self.point, self.program.Y
        if not self.conditions.loss.slack:
            return torch.zeros_like(Y)
        second = 0 if predictor is None else Y * predictor.V * predictor.w
        return (mu - second) / (Y * point.V) - point.w

    def _solve(self, right_tau: Tensor, right_x: Tensor) -> tuple[Tensor, Tensor]:
        """Solve the Newton system, tau eliminated, by Woodbury's identity."""
        program, point = self.program, self.scaling.point
        first, rest = point[..., :1], program.normed(point[..., 1:])
        corner = first.square() + point[..., 1:].square().sum(-1, keepdim=True)
        slope = 2 * first / corner * rest  # minus the border over the corner of the matrix
        right = right_x + slope * right_tau
        x = self._by_woodbury(right)
        tau = self.scaling.size**2 / corner * right_tau + (slope * x).sum(-1, keepdim=True)
        return tau, x

    def _by_woodbury(self, right: Tensor) -> Tensor:
        F = self.root * self.program.forward(self._by_blocks(right))
        shared = self.root * torch.cholesky_solve(F, self.coupling)
        return self._by_blocks(right - self.program.adjoint(shared))

    def _by_blocks(self, right: Tensor) -> Tensor:
        return torch.cholesky_solve(right[..., None], self.factors, upper=True)[..., 0]

    def longest(self, step: Point) -> float:
        """Return the length at which a step first leaves a cone."""
        scaling, point = self.scaling, self.point
        rates = [
            scaling.rate(scaling.shrink(step.sigma(self.program))),
            scaling.rate(scaling.stretch(step.omega)),
            (-step.c / point.c).max(),
            (-step.lam / point.lam).max(),
            self.conditions.loss.rate(point.V, step.V, self.program.Y),
        ]
        if self.conditions.loss.slack:
            rates.append((-step.w / point.w).max())
        return 1 / max(float(torch.stack(rates).max()), 1e-300)
