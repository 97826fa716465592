"""The exact programs of ReLU networks with one output: blocks confined to cones.

    min  L(sum_i A_i (s_i - t_i), y) + beta sum_i (||s_i|| + ||t_i||)
    s.t. K_i s_i >= 0,  K_i t_i >= 0

with one pair of blocks per arrangement D_i (Ergen et al. 2022, Section 2). For the ReLU after BN,
on the whitened design U,

    A_i = D_i U,   K_i = (2 D_i - I) U:

inside its cone a block is the ReLU neuron `relu(U s)`. A convolutional network sums A_i over its K
patches and has the constraints of every patch. For BN after the ReLU see
:mod:`convexbn.programs.relu_bn`.

The dual is `max_v -L*(-v)` such that for each i and both signs there are multipliers lam >= 0 with
`||+-A_i^T v + K_i^T lam|| <= beta`. So v, with any multipliers, scaled until that holds, bounds the
optimum from below.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from convexbn.programs import design
from convexbn.programs.gated import scaled_dual
from convexbn.programs.norms import norm
from convexbn.programs.terms import NewtonLoss

_NEAR = 1e-150  # size of a sample at the origin, relative to the largest
_NEURON_BYTES = 2**26  # for the scores of all neurons on the samples that are worked on at once


class Neurons(NamedTuple):
    """The network whose neurons are the blocks, wherever these are.

    Attributes
    ----------
    F : Tensor, shape (n, 1)
        Predictions.
    norms : Tensor, shape (k,)
        Norms of the blocks other than zero.
    outside : Tensor, shape (n, 1)
        Sum over the blocks of how much a sample's score changes because a block is outside its
        cone, where a neuron and its block differ.
    """

    F: Tensor
    norms: Tensor
    outside: Tensor


@dataclass(frozen=True)
class ExactProgram(ABC):
    """One instance of an exact program, in float64 on one device.

    Attributes
    ----------
    Y : Tensor, shape (n, 1)
    beta : float
        Weight decay of the network, weight of the norms here.
    loss : NewtonLoss
    """

    Y: Tensor
    beta: float
    loss: NewtonLoss

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Shape (2, p, P) of the weights."""

    @property
    @abstractmethod
    def constraints(self) -> int:
        """Number of constraints of each block, h."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the predictions (n, 1) of blocks (2, P, p)."""

    @abstractmethod
    def network(self, W: Tensor) -> Neurons:
        """Return the network of weights (2, p, P)."""

    @abstractmethod
    def scores(self, x: Tensor, block: Tensor) -> Tensor:
        """Return `A_i x_j`, shape (n, k), of the rows x_j of x (k, p), i = block[j]."""

    @abstractmethod
    def adjoint(self, V: Tensor) -> Tensor:
        """Return the blocks `A_i^T v`, `-A_i^T v`, shape (2, P, p), of v (n, 1)."""

    @abstractmethod
    def activations(self, x: Tensor, block: Tensor) -> Tensor:
        """Return `K_i x_j`, shape (k, h), of the rows x_j of x (k, p), i = block[j]."""

    @abstractmethod
    def forces(self, multipliers: Tensor) -> Tensor:
        """Return `K_i^T lam`, shape (2, P, p), of multipliers (2, P, h)."""

    @abstractmethod
    def sizes(self, V: Tensor, multipliers: Tensor) -> Tensor:
        """Return the sums `|A_i|^T |v| + |K_i|^T lam`, or more, shape (2, P, p)."""

    @property
    def patches(self) -> int:
        """Patches per sample, K."""
        return 1

    def blocks(self, W: Tensor) -> Tensor:
        """Return weights (2, p, P) as blocks (2, P, p)."""
        return W.transpose(1, 2)

    def weights(self, x: Tensor) -> Tensor:
        """Return blocks (2, P, p) as weights (2, p, P)."""
        return x.transpose(1, 2)

    def normed(self, x: Tensor) -> Tensor:
        """Return the part of blocks (2, P, p) that counts in their norm: by default all of it."""
        return x

    def dual_norms(self, V: Tensor, multipliers: Tensor) -> Tensor:
        """Return the norms of `+-A_i^T v + K_i^T lam`, shape (2, P), or a little more.

        They include what rounding can take away where large multipliers cancel.
        """
        T = self.adjoint(V) + self.forces(multipliers)
        rounding = self.rounding(V, multipliers)
        return norm(T, dim=-1) + norm(rounding, dim=-1)

    def rounding(self, V: Tensor, multipliers: Tensor) -> Tensor:
        """Return what the terms of :meth:`dual_norms` can lose by rounding, shape (2, P, p)."""
        terms = len(V) + self.constraints
        # The errors of a sum's terms have either sign: they grow with the root of their number.
        return torch.finfo(V.dtype).eps * (4 + math.sqrt(terms)) * self.sizes(V, multipliers)

    def objective(self, x: Tensor, F: Tensor) -> float:
        """Return the objective at x, whose predictions are F."""
        norms = norm(self.normed(x), dim=-1)
        return float(self.loss.value(F, self.Y) + self.beta * norms.sum())

    def violation(self, x: Tensor) -> float:
        """Return the largest violation of a constraint, relative to the largest target."""
        sign, block = x.any(dim=-1).nonzero(as_tuple=True)
        if len(block) == 0:
            return 0.0
        return max(0.0, -float(self.activations(x[sign, block], block).min())) / self.largest

    @property
    def largest(self) -> float:
        """Largest absolute target, above zero."""
        return max(float(self.Y.abs().max()), torch.finfo(self.Y.dtype).tiny)

    def judge(
        self, W: Tensor, *, multipliers: Tensor | None = None, dual: Tensor | None = None
    ) -> tuple[float, float, float]:
        """Return objective, dual bound and violation of weights W (2, p, P).

        The objective is that of the network of the weights, so that it bounds the optimum from
        above whether or not the blocks are in their cones. The bound comes from a dual variable
        (n, 1), by default the weights' own residual. Without multipliers it is the bound of the
        program without constraints: valid but loose.
        """
        if multipliers is None:
            _, _, P = self.shape
            multipliers = W.new_zeros(2, P, self.constraints)
        network = self.network(W)
        objective = float(self.loss.value(network.F, self.Y) + self.beta * network.norms.sum())
        V = self.loss.negative_gradient(network.F, self.Y) if dual is None else dual
        norms = self.dual_norms(V, multipliers).max().reshape(1)
        violation = float(network.outside.max()) / self.largest
        return objective, scaled_dual(self, V, norms), violation


@dataclass(frozen=True)
class ReLUProgram(ExactProgram):
    """The exact program of a BN-ReLU network, whose designs and constraints are never formed.

    Attributes
    ----------
    U : Tensor, shape (K n, p)
        Designs of the K patches, one below the other; K = 1 without convolution.
    D : Tensor of bool, shape (K n, P)
    """

    U: Tensor
    D: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        return 2, self.U.shape[1], self.D.shape[1]

    @property
    def constraints(self) -> int:
        return len(self.rows)

    @property
    def patches(self) -> int:
        """Patches per sample, K."""
        return len(self.U) // len(self.Y)

    @cached_property
    def _bounding(self) -> Tensor:
        return bounding(self.U)

    @cached_property
    def rows(self) -> Tensor:
        """Rows of U that bound cones, (h, p)."""
        return self.U if self._bounding.all() else self.U[self._bounding]

    @cached_property
    def signs(self) -> Tensor:
        """Signs +-1 of the rows in each arrangement's constraints, shape (P, h)."""
        return 2 * self.D[self._bounding].T.to(self.U.dtype, copy=True) - 1

    def forward(self, x: Tensor) -> Tensor:
        present = x.any(dim=-1).any(dim=0).nonzero()[:, 0]
        if len(present) == 0:
            return torch.zeros_like(self.Y)
        W = (x[0] - x[1])[present].T[:, :, None]
        return design.pooled(design.forward(self.U, self.D[:, present], W), self.patches)

    def scores(self, x: Tensor, block: Tensor) -> Tensor:
        scores = self.D[:, block] * (self.U @ x.T)  # (K n, k)
        return scores.view(self.patches, len(self.Y), len(x)).sum(dim=0)

    def adjoint(self, V: Tensor) -> Tensor:
        T = design.adjoint(self.U, self.D, V.repeat(self.patches, 1))[..., 0].T
        return torch.stack([T, -T])

    def activations(self, x: Tensor, block: Tensor) -> Tensor:
        return (x @ self.rows.T) * self.signs[block]

    def forces(self, multipliers: Tensor) -> Tensor:
        return (self.signs * multipliers) @ self.rows

    def sizes(self, V: Tensor, multipliers: Tensor) -> Tensor:
        return multipliers @ self.rows.abs() + (V.repeat(self.patches, 1).abs().mT @ self.U.abs())

    def network(self, W: Tensor) -> Neurons:
        sign, block = W.any(dim=1).nonzero(as_tuple=True)
        S, signs = W[sign, :, block].T, torch.where(sign == 0, 1.0, -1.0).to(W)  # (p, k), (k,)
        F, outside = W.new_zeros(2, len(self.U))
        step = max(1, _NEURON_BYTES // (8 * max(1, len(sign))))
        for start in range(0, len(F), step):
            rows = slice(start, start + step)
            scores = self.U[rows] @ S  # (rows, k)
            neurons = torch.relu(scores)
            F[rows] = neurons @ signs
            outside[rows] = (neurons - self.D[rows][:, block] * scores).abs_().sum(dim=1)
        F, outside = (design.pooled(a[:, None], self.patches) for a in (F, outside))
        return Neurons(F, norm(S, dim=0), outside)


def bounding(U: Tensor) -> Tensor:
    """Return whether each row of U (h, p) bounds cones, shape (h,).

    A sample at the origin is in every cone; so is one so near to it that squares of its features,
    compared with those of others, underflow.
    """
    sizes = U.abs().amax(dim=1)
    return sizes > _NEAR * sizes.max()


def relu_program(U: Tensor, D: Tensor, Y: Tensor, beta: float, loss: NewtonLoss) -> ReLUProgram:
    """Return the exact program of a BN-ReLU network; U (K, n, p) in float64, D (K, n, P)."""
    return ReLUProgram(Y, beta, loss, U.flatten(0, 1), D.flatten(0, 1))
