"""Problems that the solvers compete on: a convex program on real data, its gates sampled once.

    min_W  1/2 ||sum_i D_i U W_i - Y||^2 + beta sum_{i,c} ||W_ic||

for model "gated"; for model "relu" the exact program of :mod:`convexbn.programs.relu` on the same
sampled patterns. Every peer has the squared loss and the group penalty.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.inputs import ArrayLike, check_between
from convexbn.pipeline.artifacts import load_tensors
from convexbn.pipeline.designs import truncated
from convexbn.programs.certificates import Certificate, certify
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import make_program
from convexbn.whitening import whiten

_SMALL = (30, 3, 4)  # samples, features and gates of the problem for the warm-up


@dataclass(frozen=True)
class RaceProblem:
    """One instance, in float64.

    Attributes
    ----------
    U : ndarray, shape (n, p)
        The whitened design, p = r + 1.
    G : ndarray, shape (p, P)
        Gates.
    Y : ndarray, shape (n, C)
    beta : float
    model : str
        "gated" or "relu".
    """

    U: np.ndarray
    G: np.ndarray
    Y: np.ndarray
    beta: float
    model: str

    @classmethod
    def read(cls, path: str | Path, model: str) -> "RaceProblem":
        """Read the tensors that :meth:`tensors` returned."""
        tensors = load_tensors(path)
        beta = float(tensors.pop("beta"))
        return cls(**tensors, beta=beta, model=model)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return everything but the model as arrays."""
        return {"U": self.U, "G": self.G, "Y": self.Y, "beta": np.array(self.beta)}

    @cached_property
    def D(self) -> np.ndarray:
        """Activation patterns, bool, shape (n, P)."""
        return activation(self.U, self.G)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes n, p, P, C."""
        return *self.U.shape, self.G.shape[1], self.Y.shape[1]

    def certify(self, weights: ArrayLike, **witness: Any) -> Certificate:
        """Judge weights; see :func:`convexbn.certify`."""
        data = (self.U, self.D, self.Y, self.beta, weights)
        return certify(*data, model=self.model, **witness)

    def design(self) -> np.ndarray:
        """Form the design `[D_1 U, ..., D_P U]`, shape (n, P p), columns contiguous."""
        n, p, P, _ = self.shape
        A = np.empty((P, p, n))
        for i in range(P):
            A[i] = (self.D[:, [i]] * self.U).T
        return A.reshape(P * p, n).T


def build(
    entry: dict, features: dict[str, np.ndarray], whitening: dict[str, np.ndarray], seed: int
) -> RaceProblem:
    """Make a problem from a data set.

    Parameters
    ----------
    entry : dict
        The config's entry: `gates`, `beta` as a share of the smallest beta at which the weights of
        the gated program are zero; optional `model`, `n` (the first n training samples, whitened by
        themselves), `rank`, and `outputs` (the first columns of the targets).
    features, whitening : dict of ndarray
        Artifacts of the data set.
    seed : int
        The seed of the gates.

    Raises
    ------
    ValueError
        If `n`, `rank`, `outputs` or `gates` exceeds the size of the data set.
    """
    X, Y = features["X_train"], features["Y_train"].astype(np.float64)
    n, outputs = entry.get("n", len(X)), entry.get("outputs", Y.shape[1])
    check_between("n", n, 2, len(X))
    check_between("outputs", outputs, 1, Y.shape[1])
    whole = n == len(X)
    design = truncated(whitening, entry) if whole else whiten(X[:n], entry.get("rank"))
    model = entry.get("model", "gated")
    return _scaled(design.U, Y[:n, :outputs], entry["gates"], entry["beta"], model, seed)


def small(model: str, C: int) -> RaceProblem:
    """Return a small problem of random data on which a solver warms up."""
    n, d, P = _SMALL
    rng = np.random.default_rng(0)
    U, Y = whiten(rng.standard_normal((n, d))).U, rng.standard_normal((n, C))
    return _scaled(U, Y, P, 0.3, model, 0)


def _scaled(
    U: np.ndarray, Y: np.ndarray, P: int, share: float, model: str, seed: int
) -> RaceProblem:
    """Sample gates, and take beta as a share of the largest sensible one."""
    G = sample_gates(U, P, seed)
    terms: dict[str, Any] = {"model": "gated", "loss": "squared", "penalty": "group"}
    program = make_program(U, activation(U, G), Y, 1.0, **terms)
    assert isinstance(program, GatedProgram)
    return RaceProblem(U, G, np.ascontiguousarray(Y), share * program.beta_max(), model)
