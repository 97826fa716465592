"""Training problems of the paper, each with its two sides: the network and the convex program.

One function per architecture makes the data, the design U, the arrangements D, random networks that
descent starts from, and the way from a solution of the convex program to a network:

    relu           two layers, ReLU after BN; all arrangements of the whitened data
    gated          the same with fixed gates, one output or several
    cnn            one convolution, pooled; all arrangements of the patches, or sampled gates
    bn_after_relu  BN after ReLU; all arrangements of the data themselves
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.data.patches import patches
from convexbn.experiments.theory import data
from convexbn.inputs import ArrayLike
from convexbn.networks.architectures import (
    BNAfterReLUNetwork,
    ConvolutionalNetwork,
    GatedBNNetwork,
    affine_gates,
)
from convexbn.networks.interface import Network
from convexbn.networks.recovery import recover_network
from convexbn.networks.two_layer import BNNetwork
from convexbn.solvers import Solution, solve
from convexbn.training.descent import Descent, Trials, descend
from convexbn.whitening import Whitening, whiten

LIMIT = 20_000  # most arrangements to enumerate: exact programs with more take too long


@dataclass(frozen=True)
class TrainingProblem:
    """A training problem.

    Attributes
    ----------
    X : ndarray, shape (n, d), or (K, n, h) for a CNN
        The input of the network.
    Y : ndarray, shape (n,) or (n, C)
    U : ndarray, shape (n, r + 1), (K, n, r + 1) for a CNN, X itself for BN after ReLU
        The input of the program.
    D : ndarray of bool, shape (n, P) or (K, n, P)
        Arrangements.
    beta : float
    terms : dict
        `model`, `loss` and `penalty` of the program.
    whitening : Whitening or None
        None for BN after ReLU.
    recover : callable
        Takes a solution to the network.
    draw : callable
        Takes a width and a generator to a random network.
    """

    X: np.ndarray
    Y: np.ndarray
    U: np.ndarray
    D: np.ndarray
    beta: float
    terms: dict[str, Any]
    whitening: Whitening | None
    recover: Callable[[Solution], Network]
    draw: Callable[[int, torch.Generator], Network]

    @property
    def arrangements(self) -> int:
        """Number of arrangements, P."""
        return self.D.shape[-1]

    def solve(self, tol: float) -> Solution:
        """Return the solution of the convex program, to a relative duality gap of `tol`."""
        return solve(self.U, self.D, self.Y, self.beta, tol=tol, **self.terms)

    def train(self, width: int, settings: Descent, seed: int) -> Trials:
        """Train networks of `width` neurons, trial i from the random start of seed `seed + i`.

        For gated networks `width` is the number of neurons per gate, and with the group penalty
        per gate and output.
        """
        starts = [
            self.draw(width, torch.Generator().manual_seed(seed + trial))
            for trial in range(settings.trials)
        ]
        return descend(starts, self.X, self.Y, self.beta, settings, self.terms["loss"])


class OneVsAllGatedNetwork(GatedBNNetwork):
    """The gated network of the group penalty, whose neurons serve one output each, in turn."""

    serves: torch.Tensor  # (neurons, C), bool

    def __init__(
        self,
        gates: ArrayLike,
        centre: ArrayLike,
        C: int,
        n: int,
        generator: torch.Generator,
    ):
        super().__init__(gates, centre, C, n, generator)
        served = torch.arange(self.output.shape[0]) % C
        self.register_buffer("serves", torch.nn.functional.one_hot(served, C).bool())
        self.output.data *= self.serves

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), shape (n, C)."""
        return self.hidden(X) @ (self.output * self.serves)


def relu(entry: dict, seed: int) -> TrainingProblem:
    """Return the problem of the ReLU network with one output: `n`, `d`, `beta`, `loss`."""
    X, y = _samples(entry, seed)
    whitening = whiten(X)
    return TrainingProblem(
        X=X,
        Y=y,
        U=whitening.U,
        D=enumerate_arrangements(whitening.U, limit=LIMIT),
        beta=entry["beta"],
        terms=_terms(entry, "relu"),
        whitening=whitening,
        recover=partial(recover_network, whitening=whitening),
        draw=lambda width, generator: BNNetwork(entry["d"], width, 1, entry["n"], generator),
    )


def gated(entry: dict, seed: int) -> TrainingProblem:
    """Return the problem of the gated network: also `C`, `gates` (P) and `penalty`."""
    X, Y = _samples(entry, seed)
    whitening = whiten(X)
    G = sample_gates(whitening.U, entry["gates"], data.gates_of(seed))
    C = entry.get("C", 1)
    one_vs_all = entry.get("penalty", "group") == "group"
    kind, copies = (OneVsAllGatedNetwork, C) if one_vs_all else (GatedBNNetwork, 1)

    def draw(width: int, generator: torch.Generator) -> Network:
        gates = affine_gates(np.repeat(G, copies * width, axis=1), whitening)
        return kind(gates, whitening.mean, C, entry["n"], generator)

    return TrainingProblem(
        X=X,
        Y=Y,
        U=whitening.U,
        D=activation(whitening.U, G),
        beta=entry["beta"],
        terms=_terms(entry, "gated"),
        whitening=whitening,
        recover=partial(recover_network, whitening=whitening, gates=G),
        draw=draw,
    )


def cnn(entry: dict, seed: int) -> TrainingProblem:
    """Return the problem of a CNN: `n` gray images, `size`, `kernel`, `stride`, `pooling`, `beta`.

    With `gates` the network is gated, with that number of sampled gates; otherwise it is the ReLU
    network with all arrangements of the patches.
    """
    images, y = data.images(entry["n"], entry["size"], seed)
    X = np.asarray(patches(images, entry["kernel"], entry.get("stride", 1)))  # (K, n, h)
    K, n, h = X.shape
    whitening = whiten(X.reshape(K * n, h))
    pooling = entry.get("pooling", "sum")
    G = sample_gates(whitening.U, entry["gates"], data.gates_of(seed)) if "gates" in entry else None
    if G is None:
        D = enumerate_arrangements(whitening.U, limit=LIMIT)
    else:
        D = activation(whitening.U, G)
    U = whitening.U.reshape(K, n, -1)

    def draw(width: int, generator: torch.Generator) -> Network:
        top: BNNetwork
        if G is None:
            top = BNNetwork(h, width, 1, K * n, generator)
        else:
            gates = affine_gates(np.repeat(G, width, axis=1), whitening)
            top = GatedBNNetwork(gates, whitening.mean, 1, K * n, generator)
        return ConvolutionalNetwork(top, K, pooling)

    return TrainingProblem(
        X=X,
        Y=y,
        U=U / K if pooling == "average" else U,
        D=D.reshape(K, n, -1),
        beta=entry["beta"],
        terms=_terms(entry, "relu" if G is None else "gated"),
        whitening=whitening,
        recover=partial(recover_network, whitening=whitening, gates=G, patches=K, pooling=pooling),
        draw=draw,
    )


def bn_after_relu(entry: dict, seed: int) -> TrainingProblem:
    """Return the problem of the network with BN after ReLU: `n`, `d`, `beta`, `loss`."""
    X, y = _samples(entry, seed)
    return TrainingProblem(
        X=X,
        Y=y,
        U=X,
        D=enumerate_arrangements(X, limit=LIMIT),
        beta=entry["beta"],
        terms=_terms(entry, "relu_bn"),
        whitening=None,
        recover=lambda solution: recover_network(solution, X),
        draw=lambda m, generator: BNAfterReLUNetwork(entry["d"], m, 1, entry["n"], generator),
    )


PROBLEMS = {"relu": relu, "gated": gated, "cnn": cnn, "bn_after_relu": bn_after_relu}


def make(entry: dict, seed: int) -> TrainingProblem:
    """Return the problem of an entry of the config, by its `program`."""
    return PROBLEMS[entry["program"]](entry, seed)


def _samples(entry: dict, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n, d, loss = entry["n"], entry["d"], entry.get("loss", "squared")
    if "C" in entry:
        return data.one_hot(n, d, entry["C"], seed)
    is_classification = loss in ("logistic", "squared_hinge")
    return (data.signs if is_classification else data.regression)(n, d, seed)


def _terms(entry: dict, model: str) -> dict[str, Any]:
    loss, penalty = entry.get("loss", "squared"), entry.get("penalty", "group")
    return {"model": model, "loss": loss, "penalty": penalty}
