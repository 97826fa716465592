"""The BN network of a solution of a convex program, and the blocks of a network.

A block of a ReLU program is one neuron (:mod:`convexbn.networks.neurons`); blocks of the second set
have a negative output weight. A gated block `W_i` (r + 1, C) is one neuron per class, each with its
own column. Under the nuclear norm it is one neuron per singular value, `W_i = sum_k s_k b_k^T` with
orthonormal b_k, `||W_i||_* = sum_k ||s_k||`, and b_k is the direction of the output weights.

The way back takes a neuron with `s = [gamma q / ||q||; alpha]`, `q = diag(sigma) V^T w`, to the
block `s v^T`. Its norm is `||s|| ||v|| <= (gamma^2 + alpha^2 + ||v||^2) / 2`, so that the convex
objective at the blocks of any network is at most the objective of the network.
"""

import copy
from functools import singledispatch
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from convexbn.arrangements.gates import activation
from convexbn.calls import public
from convexbn.inputs import ArrayLike, as_tensor, check_choice
from convexbn.networks.architectures import BNAfterReLUNetwork, ConvolutionalNetwork, GatedBNNetwork
from convexbn.networks.interface import Network, check_shape, check_single
from convexbn.networks.neurons import (
    after_relu_network,
    bn_network,
    data_matrix,
    gated_network,
    rectified_spread,
)
from convexbn.networks.normalization import inverse_root
from convexbn.networks.two_layer import BNNetwork
from convexbn.programs.solutions import Solution
from convexbn.whitening import Whitening

_MODELS = "relu", "gated", "relu_bn"
Kind = TypeVar("Kind", bound=BNNetwork)


@public
def recover_network(
    solution: Solution,
    whitening: Whitening | ArrayLike,
    *,
    gates: ArrayLike | None = None,
    patches: int | None = None,
    pooling: str = "sum",
) -> Network:
    """Return the BN network whose training objective is the solution's convex objective.

    Parameters
    ----------
    solution : Solution
        A solution of :func:`convexbn.solve`; its weights, model and penalty are used.
    whitening : Whitening
        The whitening of the training data, for a CNN of the rows of all patches. For the model
        "relu_bn" give the training data X (n, d) instead.
    gates : array or tensor, shape (r + 1, P)
        For the model "gated": the gates that made the patterns.
    patches : int, optional
        For a CNN: the number K of positions; `whitening.U` then has K n rows.
    pooling : {"sum", "average"}
        Pooling over the positions. "average" belongs to the program with the design U / K.

    Returns
    -------
    Module in float64, on the CPU
        A BNNetwork for "relu", GatedBNNetwork for "gated", BNAfterReLUNetwork for "relu_bn"; inside
        a ConvolutionalNetwork if patches is given. It has one neuron per non-zero block (gated: per
        block and class, or per singular value under the nuclear norm), and one zero neuron if all
        blocks are zero. It is in evaluation mode and normalizes by the statistics of the training
        data: `network(X_new)` is `solution.predict` of the transformed samples.

    Raises
    ------
    ValueError
        If the model is unknown, the weights do not fit the whitening or the gates, gates are
        missing or given without need, or BN after ReLU is combined with patches.
    TypeError
        If the model needs a Whitening and is given data, or the other way around.
    """
    check_choice("model", solution.model, _MODELS)
    weights = as_tensor("weights", solution.weights, device="cpu")
    _check_options(solution.model, gates, patches)
    network: BNNetwork
    if isinstance(whitening, Whitening) == (solution.model == "relu_bn"):
        wanted = "the data X" if solution.model == "relu_bn" else "the Whitening of the data"
        raise TypeError(
            f"model {solution.model!r} is recovered with {wanted}, got {type(whitening).__name__}; "
            "give what the program was solved on"
        )
    if not isinstance(whitening, Whitening):
        network = after_relu_network(*_signed_blocks(weights), whitening)
    elif gates is not None:
        network = gated_network(*_gated_blocks(weights, solution.penalty, gates), whitening)
    else:
        network = bn_network(*_signed_blocks(weights), whitening)
    return network if patches is None else ConvolutionalNetwork(network, patches, pooling)


def _signed_blocks(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the non-zero blocks (p, m) of weights (2, p, P), and their signs (m, 1)."""
    if weights.ndim != 3 or len(weights) != 2:
        raise ValueError(
            "the weights of a ReLU model must have shape (2, r + 1, P), one set per sign, got "
            f"{tuple(weights.shape)}; hand in the solution as `solve` returned it"
        )
    blocks = torch.cat([*weights], dim=1)  # (p, 2 P)
    signs = blocks.new_ones(weights.shape[2]).repeat(2)
    signs[weights.shape[2] :] = -1
    kept = _nonzero(blocks.abs().amax(dim=0))
    return blocks[:, kept], signs[kept, None]


def _nonzero(sizes: torch.Tensor) -> torch.Tensor:
    """Return the indices of the non-zero sizes, or of the first one if all are zero."""
    kept = sizes.nonzero().flatten()
    return kept if len(kept) else kept.new_zeros(1)


def _gated_blocks(
    W: torch.Tensor, penalty: str, gates: ArrayLike
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return blocks (r + 1, m), directions (m, C) and gates (r + 1, m) of the neurons."""
    check_choice("penalty", penalty, _SPLITS)
    gates = as_tensor("gates", gates, device="cpu")
    if W.ndim != 3 or gates.shape != W.shape[:2]:
        raise ValueError(
            "weights and gates must have shapes (r + 1, P, C) and (r + 1, P), got "
            f"{tuple(W.shape)} and {tuple(gates.shape)}; give the gates that the patterns D of "
            "this solution came from"
        )
    S, directions, gate = _SPLITS[penalty](W)
    return S, directions, gates[:, gate]


def _class_neurons(W: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return blocks (r + 1, m), directions e_c (m, C) and gates (m,): one per gate and class."""
    C = W.shape[2]
    kept = _nonzero(W.abs().amax(dim=0).flatten())
    eye = torch.eye(C, dtype=W.dtype, device=W.device)
    return W.flatten(1)[:, kept], eye[kept % C], kept // C


def _singular_neurons(W: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return blocks (r + 1, m), directions (m, C) and gates (m,): one per singular value."""
    left, values, right = torch.linalg.svd(W.transpose(0, 1), full_matrices=False)
    # An SVD returns a zero singular value as rounding of the largest one.
    rounding = torch.finfo(W.dtype).eps * max(W.shape[0], W.shape[2]) * values[:, :1]
    kept = _nonzero((values * (values > rounding)).flatten())
    gate, k = kept // values.shape[1], kept % values.shape[1]
    return (left[gate, :, k] * values[gate, k, None]).T, right[gate, k], gate


# From gated blocks to neurons, by penalty.
_SPLITS = {"group": _class_neurons, "nuclear": _singular_neurons}


@public
def network_blocks(
    network: nn.Module, X: ArrayLike, whitening: Whitening | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the patterns and the weights of a network's convex program.

    Parameters
    ----------
    network : BNNetwork, GatedBNNetwork, BNAfterReLUNetwork, or one of the first two in a
        ConvolutionalNetwork
        BN-ReLU networks, and networks with BN after ReLU, need to have one output.
    X : array or tensor, shape (n, d), or (K, n, h) for a CNN
        The training samples.
    whitening : Whitening
        The whitening of these samples (of all rows of patches); not used for BN after ReLU.

    Returns
    -------
    D : ndarray of bool, shape (n, m) or (K, n, m)
        One pattern per neuron.
    weights : ndarray, shape (2, r + 1, m), (2, d + 1, m) or gated (r + 1, m, C)
        The objective of the program at these weights (under the nuclear norm if neurons have
        several outputs) is at most the objective of the network. Both are equal if the network is
        balanced, `gamma^2 + alpha^2 = ||v||^2`.

    Raises
    ------
    ValueError
        If this kind of network has no program, or X, whitening and network do not fit together.
    TypeError
        If a Whitening is needed and something else is given.
    """
    return _blocks(network, X, whitening)


@singledispatch
def _blocks(
    network: nn.Module, X: ArrayLike, whitening: Whitening | None
) -> tuple[np.ndarray, np.ndarray]:
    raise ValueError(
        f"there is no way back from a {type(network).__name__}; give a BN network, gated or not, "
        "in a ConvolutionalNetwork or not, or one with BN after ReLU; of a deep network, its top "
        "with the activations of the last hidden layer"
    )


@_blocks.register
def _(network: BNNetwork, X, whitening):
    network = _alone(network)
    S = _pre_activations(network, X, whitening)
    return activation(whitening.U, S.numpy()), _by_sign(S, _single_output(network)).numpy()


@_blocks.register
def _(network: GatedBNNetwork, X, whitening):
    network = _alone(network)
    S = _pre_activations(network, X, whitening)
    D = network.mask(data_matrix(X, len(network.w)))
    return D.numpy(), (S[:, :, None] * network.v).numpy()


@_blocks.register
def _(network: BNAfterReLUNetwork, X, whitening):
    network = _alone(network)
    w, v = network.w, _single_output(network)
    X = data_matrix(X, len(w))
    spread, mean = rectified_spread(X, w), torch.relu(X @ w).mean(dim=0)
    size = network.gamma.abs() * _inverse_norm(spread, mean, len(X))
    # A negative gamma changes the sign of the whole neuron, so that w stays in its cone.
    sign = 1 - 2 * (network.gamma < 0).double()
    blocks = torch.cat([size * w, (sign * network.alpha)[None]])  # (d + 1, m)
    return activation(X, w).numpy(), _by_sign(blocks, sign * v).numpy()


@_blocks.register
def _(network: ConvolutionalNetwork, X, whitening):
    X = as_tensor("X", X, device="cpu")
    check_shape(X, network.input_shape)
    D, weights = network_blocks(network.top, X.flatten(0, 1), whitening)
    return D.reshape(*X.shape[:2], -1), weights


def _pre_activations(network: BNNetwork, X: ArrayLike, whitening: Whitening) -> torch.Tensor:
    """Return the blocks `s = [gamma q / ||q||; alpha]` of the neurons, shape (r + 1, m)."""
    if not isinstance(whitening, Whitening):
        raise TypeError(
            "the whitening must be the Whitening of the training data, got "
            f"{type(whitening).__name__}; give whiten(X)"
        )
    w = network.w
    q = as_tensor("V", whitening.singular_values[:, None] * whitening.V.T) @ w
    _check_spans(data_matrix(X, len(w)) @ w, as_tensor("U", whitening.U[:, :-1]) @ q)
    mean = (network.from_origin(as_tensor("mean", whitening.mean)[None]) @ w)[0]
    unit = q * _inverse_norm(q.norm(dim=0), mean, len(whitening.U))
    return torch.cat([network.gamma * unit, network.alpha[None]])


def _inverse_norm(norms: torch.Tensor, mean: torch.Tensor, n: int) -> torch.Tensor:
    """Return 1 / norms, and 0 where the network treats a pre-activation as constant."""
    return inverse_root(norms.square() / n, mean) / n**0.5


def _alone(network: Kind) -> Kind:
    """Return a network that is no stack in float64, on the CPU and without gradients."""
    check_single(network)
    return copy.deepcopy(network).to("cpu", torch.float64).requires_grad_(False)


def _single_output(network: BNNetwork) -> torch.Tensor:
    """Return the output weights (m,) of a network with one output."""
    if network.output.shape[-1] != 1:
        raise ValueError(
            "the exact ReLU programs have one output, and the network has "
            f"{network.output.shape[-1]}; take a gated network, or one network per output"
        )
    return network.v[:, 0]


def _by_sign(blocks: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return blocks times |v|, (2, p, m): in the first set where v >= 0, else in the second."""
    return torch.stack([blocks * v.clamp_min(0), blocks * (-v).clamp_min(0)])


def _check_spans(Z: torch.Tensor, whitened: torch.Tensor) -> None:
    """Raise unless the centred pre-activations Z (n, m) equal those on the whitened design."""
    if Z.shape == whitened.shape:
        error = (Z - Z.mean(dim=0) - whitened).norm(dim=0)
        # Rounding is relative to Z, which a common offset of the samples can make large.
        if (error <= 1e-6 * Z.norm(dim=0)).all():
            return
    raise ValueError(
        "the network's pre-activations are not in the span of the whitened design; give the "
        "training data X with their own whitening, at full rank"
    )


def _check_options(model: str, gates: ArrayLike | None, patches: int | None) -> None:
    if model == "gated" and gates is None:
        raise ValueError(
            "model 'gated' needs the gates that made the patterns D, got none; give gates=G"
        )
    if model != "gated" and gates is not None:
        raise ValueError(
            f"model {model!r} has no gates of its own, got gates of shape {np.shape(gates)}; leave "
            "them out"
        )
    if model == "relu_bn" and patches is not None:
        raise ValueError("BN after ReLU has no convolutional program here; leave patches out")
