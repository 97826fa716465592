"""Points near the central path of the exact programs, and their distance from it.

With the norms as second-order cones Q, `sigma_b = [tau_b; x_b] in Q`, and activations
`c_b = K_b x_b >= 0`, the central path of block b (its sign in A_b) with the dual variables
`omega_b in Q` and `lam_b >= 0` is

    [beta; -A_b^T V] = omega_b + [0; K_b^T lam_b],   A x = F(V) + y w,
    sigma_b o omega_b = mu e,   c_b lam_b = mu,   y V w = mu,

and ends, for mu -> 0, at the optimum. V is the dual variable of the loss and w the slack that the
squared hinge has (:mod:`convexbn.solvers.relu_bn.dual_losses`).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexbn.programs.matrices import MatrixProgram
from convexbn.solvers.relu_bn.dual_losses import dual_loss_of


@dataclass(frozen=True)
class Point:
    """A point, or a step; the leading axes (2, P) are the blocks of both signs.

    Attributes
    ----------
    tau : Tensor, shape (2, P, 1)
    x : Tensor, shape (2, P, p)
    c, lam : Tensor, shape (2, P, h)
    omega : Tensor, shape (2, P, p + 1)
    V : Tensor, shape (n, 1)
    w : Tensor, shape (n, 1)
        Slacks; zeros where the loss has none.
    """

    tau: Tensor
    x: Tensor
    c: Tensor
    lam: Tensor
    omega: Tensor
    V: Tensor
    w: Tensor

    @classmethod
    def start(cls, program: MatrixProgram) -> "Point":
        """Return a start at x = 0, far inside the cones, whose products of complements agree."""
        _, p, P = program.shape
        ones, zeros = program.A.new_ones, program.A.new_zeros
        size = float(torch.linalg.vector_norm(program.Y)) or 1.0
        widths = torch.linalg.vector_norm(program.K, dim=2).expand(2, -1, -1)  # (2, P, h)
        loss = dual_loss_of(program.loss)
        V = loss.start(program.Y)
        # For a small beta it is the multipliers that have to hold `A^T V`.
        force = max(program.beta, float(torch.linalg.vector_norm(program.adjoint(V), dim=-1).max()))
        mu = size * force
        # The slack w of margins 0, for which the share a = 2 + 2 w has a w = mu.
        slack = mu / (1 + math.sqrt(1 + 2 * mu)) if loss.slack else 0.0
        return cls(
            tau=size * ones(2, P, 1),
            x=zeros(2, P, p),
            c=size * widths,
            lam=force / widths,
            omega=torch.cat([force * ones(2, P, 1), zeros(2, P, p)], dim=-1),
            V=V + 2 * slack * program.Y,
            w=torch.full_like(program.Y, slack),
        )

    def sigma(self, program: MatrixProgram) -> Tensor:
        """Return [tau; x], zero in the free coordinates, shape (2, P, p + 1)."""
        return torch.cat([self.tau, program.normed(self.x)], dim=-1)

    def moved(self, step: "Point", length: float, program: MatrixProgram) -> "Point":
        """Return the point `length` times a step away, its V inside the domain."""
        pairs = zip(vars(self).values(), vars(step).values(), strict=True)
        point = Point(*(here + length * there for here, there in pairs))
        loss = dual_loss_of(program.loss)
        return replace(point, V=loss.moved(self.V, length * step.V, program.Y))


class Conditions:
    """The conditions of the central path at a point.

    Attributes
    ----------
    mu : float
        Mean product of complements.
    compliance : Tensor, shape (n, 1)
        Derivative of the predictions in -V, the slack eliminated.
    missing : Tensor, shape (2, P, h)
        `K x - c`.
    residual_tau, residual_x : Tensor, shape (2, P, 1) and (2, P, p)
        Residuals of the first condition.
    residual_F : Tensor, shape (n, 1)
        Residual of the predictions.
    """

    def __init__(self, program: MatrixProgram, point: Point):
        self.program, self.point, self.loss = program, point, dual_loss_of(program.loss)
        V, Y, w = point.V, program.Y, point.w
        self.sigma = point.sigma(program)
        pairs = (self.sigma, point.omega), (point.c, point.lam), (Y * V, w)
        slacks = w.numel() if self.loss.slack else 0
        number = point.tau.numel() + point.c.numel() + slacks
        self.mu = sum(float((a * b).sum()) for a, b in pairs) / number
        self.compliance = self.loss.compliance(V, Y)
        if self.loss.slack:
            self.compliance = self.compliance + w / (Y * V)
        self.missing = program.all_activations(point.x) - point.c
        self.residual_tau = program.beta - point.omega[..., :1]
        self.residual_x = (
            -program.adjoint(V) - program.forces(point.lam) - program.normed(point.omega[..., 1:])
        )
        self.residual_F = program.forward(point.x) - self.loss.predictions(V, Y) - Y * w

    @property
    def imbalance(self) -> float:
        """Largest residual in units of mu, which must stay bounded on the way to the optimum."""
        return float(self.residual_x.abs().max()) / self.mu
