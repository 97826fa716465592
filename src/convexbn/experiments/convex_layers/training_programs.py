"""The gated BN program on synthetic training sets: for the layer, and as a program of CVXPY.

    min_W  L(sum_i D_i U W_i, Y) + beta sum_i R(W_i)

A product of two parameters is not DPP: the blocks D_i U are one parameter of the CVXPY program, and
the predictions a variable of their own, as targets multiply them.

Cross-entropy with the group penalty needs three classes or more: of two, one can take any share of
the other's weights, so that there are many optima and no derivative.
"""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.layers import ConvexLayer
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import make_program
from convexbn.whitening import whiten

if TYPE_CHECKING:
    import cvxpy as cp

NOISE = 0.3  # of targets of variance 1, standard deviation


class Terms(NamedTuple):
    """A loss, a penalty, and whether the network has several outputs."""

    loss: str
    penalty: str
    is_vector: bool

    @property
    def is_smooth_in_targets(self) -> bool:
        """Whether there is a derivative with respect to Y: labels -1 and +1 have none."""
        return self.loss != "logistic"


class TrainingProgram(NamedTuple):
    """A program of a BN network.

    Attributes
    ----------
    terms : Terms
    D : Tensor of bool, shape (n, P)
    U : Tensor, shape (n, r + 1)
    Y : Tensor, shape (n, C)
    beta : Tensor, scalar
    v : Tensor, shape (r + 1, P, C)
        Weights, at random, of a function <v, W> to differentiate.
    """

    terms: Terms
    D: torch.Tensor
    U: torch.Tensor
    Y: torch.Tensor
    beta: torch.Tensor
    v: torch.Tensor

    @property
    def data(self) -> dict[str, torch.Tensor]:
        """U, Y and beta by name: what a layer is called with."""
        return {"U": self.U, "Y": self.Y, "beta": self.beta}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (r + 1, P, C) of the weights."""
        p, P, C = self.v.shape
        return p, P, C

    def layer(self, tol: float) -> ConvexLayer:
        """Return a layer that has not been called."""
        return ConvexLayer(self.D, loss=self.terms.loss, penalty=self.terms.penalty, tol=tol)


def draw(sizes: dict, terms: Terms, seed: int) -> TrainingProgram:
    """Draw features of a decaying spectrum, and targets of a teacher with noise.

    Parameters
    ----------
    sizes : dict
        `n` samples, `d` features, `gates`, `classes` (one output instead where the terms say so);
        `beta` as a share of the smallest weight decay at which all weights are zero.
    terms : Terms
    seed : int
    """
    rng, C = np.random.default_rng(seed), sizes["classes"] if terms.is_vector else 1
    X = rng.normal(size=(sizes["n"], sizes["d"])) / np.sqrt(np.arange(1, sizes["d"] + 1))
    U = whiten(X).U
    # Of a stream of its own: from the seed alone gates would be the numbers that X is made of.
    D = activation(U, sample_gates(U, sizes["gates"], np.random.SeedSequence([seed, 1])))
    kinds: dict[str, Any] = {"loss": terms.loss, "penalty": terms.penalty}
    Y = _targets(terms.loss, X, C, rng)
    gated = cast(GatedProgram, make_program(U, D, Y, 1.0, model="gated", **kinds))
    v = rng.normal(size=(U.shape[1], sizes["gates"], C))
    numbers = (torch.as_tensor(part) for part in (U, Y, sizes["beta"] * gated.beta_max(), v))
    return TrainingProgram(terms, torch.as_tensor(D), *(part.double() for part in numbers))


def _targets(loss: str, X: np.ndarray, C: int, rng: np.random.Generator) -> np.ndarray:
    hidden = np.maximum(X @ rng.normal(size=(X.shape[1], 2 * C)), 0)
    F = hidden @ rng.normal(size=(2 * C, C))
    F = (F - F.mean(axis=0)) / F.std(axis=0) + NOISE * rng.normal(size=F.shape)
    if loss == "cross_entropy":
        return np.eye(C)[F.argmax(axis=1)]
    return np.where(F > 0, 1.0, -1.0) if loss == "logistic" else F


def cvxpy_program(
    shape: tuple[int, int, int], n: int, terms: Terms
) -> "tuple[cp.Problem, list[cp.Parameter], list[cp.Variable]]":
    """Return the program of weights (r + 1, P, C): problem, parameters, variables.

    Parameters are the blocks (n, P (r + 1)), the targets (n, C), labels of the logistic loss being
    0 or 1, and beta. Variables are W (P (r + 1), C) and the predictions (n, C).
    """
    import cvxpy as cp

    p, P, C = shape
    blocks, Y = cp.Parameter((n, P * p), name="blocks"), cp.Parameter((n, C), name="Y")
    beta = cp.Parameter(nonneg=True, name="beta")
    W, F = cp.Variable((P * p, C), name="W"), cp.Variable((n, C), name="F")
    penalty = sum(_penalty(terms.penalty, W[i * p : (i + 1) * p]) for i in range(P))
    objective = cp.Minimize(_loss(terms.loss, F, Y) + beta * penalty)
    return cp.Problem(objective, [blocks @ W == F]), [blocks, Y, beta], [W, F]


def _penalty(penalty: str, W: Any) -> Any:
    import cvxpy as cp

    return cp.normNuc(W) if penalty == "nuclear" else cp.sum(cp.norm(W, axis=0))


def _loss(loss: str, F: Any, Y: Any) -> Any:
    import cvxpy as cp

    if loss == "squared":
        return cp.sum_squares(F - Y) / 2
    scores = cp.logistic(F) if loss == "logistic" else cp.log_sum_exp(F, axis=1)
    return cp.sum(scores) - cp.sum(cp.multiply(Y, F))
