"""The optimal network on high-dimensional data, in closed form.

    min  1/2 ||f(X) - Y||^2 + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2)

for BN-ReLU networks f, where the centred X has rank n - 1 (Ergen et al. 2022, the theorems on
closed-form solutions for scalar and for one-hot targets). Then the whitened U is orthogonal,
n x n, and every z >= 0 is the activation of a neuron, at the cost `||U^T z|| = ||z||`. The targets
consist of vectors z >= 0 with disjoint supports,

    y = y_+ - (-y)_+  for a scalar y,   the columns of Y  for a one-hot Y,

and each z has a neuron of its own, with the activation z, shrunk:

    p* = sum_z  beta ||z|| - beta^2/2  if ||z|| > beta,  else  ||z||^2/2,
    activation (1 - beta/||z||)_+ z.

A deep network's last two layers are such a network on the activations of the hidden layer below.
"""

from typing import NamedTuple

import numpy as np
import torch

from convexbn.calls import public
from convexbn.inputs import ArrayLike, as_array, as_beta, check_same_length
from convexbn.networks.neurons import bn_network
from convexbn.networks.two_layer import BNNetwork
from convexbn.whitening import Whitening, whiten


class ClosedForm(NamedTuple):
    """The optimal value and a network in float64 that attains it; it unpacks in this order."""

    objective: float
    network: BNNetwork


@public
def closed_form(X: ArrayLike, Y: ArrayLike, beta: float) -> ClosedForm:
    """Return the optimum of the squared loss for a BN-ReLU network on high-dimensional data.

    Parameters
    ----------
    X : array or tensor, shape (n, d)
        Data of rank n - 1 after centring. For a deep network give the activations of its last
        hidden layer; the optimum is then over the last BN layer and the output layer, and the
        network goes on top, `DeepBNNetwork(hidden, network)`.
    Y : array or tensor, shape (n,), (n, 1) or (n, C)
        One output of any sign; or several outputs with entries >= 0, at most one of them non-zero
        per row (one-hot labels).
    beta : float
        Weight decay.

    Returns
    -------
    ClosedForm
        The network has two neurons for one output, one per sign, or one neuron per class that has
        a sample: the output of an empty class is 0.

    Raises
    ------
    ValueError
        If the centred X has another rank, Y is of neither kind, an input is not finite, lengths
        differ, or beta <= 0.
    """
    whitening, Y, beta = whiten(X), as_array("Y", Y), as_beta(beta)
    Z, directions = _parts(Y)
    check_same_length("X", whitening.U, "Y", Y)
    _check_rank(whitening)
    largest = Z.max(axis=0)
    norms = largest * np.linalg.norm(Z / np.where(largest > 0, largest, 1), axis=0)  # no overflow
    losses = np.minimum(beta, norms)  # the norms of the residuals
    with np.errstate(over="ignore"):  # the square of targets of 1e200 is infinite
        values = losses * (norms - losses / 2)
    shrunk = Z * np.maximum(1 - beta / np.maximum(norms, beta), 0)
    network = bn_network(torch.from_numpy(whitening.U.T @ shrunk), directions, whitening)
    return ClosedForm(float(values.sum()), network)


def _parts(Y: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """Return the vectors z >= 0 (n, m) that make up Y, and their output directions (m, C)."""
    if Y.ndim == 1 or (Y.ndim == 2 and Y.shape[1] == 1):
        y = Y.reshape(-1, 1)
        return np.hstack([y, -y]).clip(min=0), torch.from_numpy(np.array([[1.0], [-1.0]]))
    _check_one_hot(Y)
    classes = (Y != 0).any(axis=0)  # an empty one needs no neuron,
    classes[0] |= not classes.any()  # but a network has one
    return Y[:, classes], torch.from_numpy(np.eye(len(classes))[classes])


def _check_one_hot(Y: np.ndarray) -> None:
    if Y.ndim != 2 or Y.size == 0 or (Y < 0).any() or ((Y != 0).sum(axis=1) > 1).any():
        raise ValueError(
            "Y must be one output, of shape (n,) or (n, 1), or have entries >= 0 and at most one "
            f"non-zero per row (one-hot labels), got other entries in an array of shape {Y.shape}; "
            "for such targets solve the convex program"
        )


def _check_rank(whitening: Whitening) -> None:
    n, rank = len(whitening.U), whitening.rank
    if rank != n - 1:
        raise ValueError(
            f"the closed form needs centred data of rank n - 1 = {n - 1}, got rank {rank}; take at "
            "least n - 1 features (for a deep network: neurons in the last hidden layer), drop "
            "repeated samples, or solve the convex program"
        )
