"""Points near the central path of the exact programs, and their distance from it.

With the norms as second-order cones Q, `sigma_b = [tau_b; x_b] in Q`, and activations
`c_b = K_b x_b >= 0`, the central path of block b (its sign in A_b) with the dual variables
`omega_b in Q` and `lam_b >= 0` is

    [beta; A_b^T L'(F)] = omega_b + [0; K_b^T lam_b],
    sigma_b o omega_b = mu e,   c_b lam_b = mu,

and ends, for mu -> 0, at the optimum.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.relu_bn import MatrixProgram


@dataclass(frozen=True)
class Point:
    """A point, or a step; the leading axes (2, P) are the blocks of both signs.

    Attributes
    ----------
    tau : Tensor, shape (2, P, 1)
    x : Tensor, shape (2, P, p)
    c, lam : Tensor, shape (2, P, h)
    omega : Tensor, shape (2, P, p + 1)
    """

    tau: Tensor
    x: Tensor
    c: Tensor
    lam: Tensor
    omega: Tensor

    @classmethod
    def start(cls, program: MatrixProgram) -> "Point":
        """Return a start at x = 0, far inside the cones, whose products of complements agree."""
        _, p, P = program.shape
        ones, zeros, h = program.A.new_ones, program.A.new_zeros, program.K.shape[1]
        size = float(torch.linalg.vector_norm(program.Y)) or 1.0
        width = float(torch.linalg.vector_norm(program.K, dim=2).mean())
        return cls(
            tau=size * ones(2, P, 1),
            x=zeros(2, P, p),
            c=size * width * ones(2, P, h),
            lam=program.beta / width * ones(2, P, h),
            omega=torch.cat([program.beta * ones(2, P, 1), zeros(2, P, p)], dim=-1),
        )

    def sigma(self, program: MatrixProgram) -> Tensor:
        """Return [tau; x], zero in the free coordinates, shape (2, P, p + 1)."""
        return torch.cat([self.tau, program.normed(self.x)], dim=-1)

    def moved(self, step: "Point", length: float) -> "Point":
        """Return the point `length` times a step away."""
        pairs = zip(vars(self).values(), vars(step).values(), strict=True)
        return Point(*(here + length * there for here, there in pairs))


class Conditions:
    """The conditions of the central path at a point.

    Attributes
    ----------
    mu : float
        Mean product of complements.
    hessian : Tensor, shape (n, 1)
        Diagonal of the Hessian of the loss smoothed by mu.
    missing : Tensor, shape (2, P, h)
        `K x - c`.
    residual_tau, residual_x : Tensor, shape (2, P, 1) and (2, P, p)
        Residuals of the first condition.
    """

    def __init__(self, program: MatrixProgram, point: Point):
        self.program, self.point = program, point
        self.sigma = point.sigma(program)
        products = (self.sigma * point.omega).sum() + (point.c * point.lam).sum()
        self.mu = float(products) / (point.tau.numel() + point.c.numel())
        V, self.hessian = program.loss.smoothed(program.forward(point.x), program.Y, self.mu)
        self.missing = program.all_activations(point.x) - point.c
        self.residual_tau = program.beta - point.omega[..., :1]
        self.residual_x = (
            -program.adjoint(V) - program.forces(point.lam) - program.normed(point.omega[..., 1:])
        )

    @property
    def imbalance(self) -> float:
        """Largest residual in units of mu, which must stay bounded on the way to the optimum."""
        return float(self.residual_x.abs().max()) / self.mu
