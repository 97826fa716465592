"""BN networks from the blocks of the convex programs, one neuron per block.

On the whitened design `U = [U_r, 1/sqrt(n)]` of data with centred SVD `U_r diag(sigma) V^T`, a
block `s = [q; a]` has the pre-activation `U s`. A neuron has it too, with the first-layer weights
`w = V diag(1/sigma) q`. The norm of s is split evenly between BN and the output layer (Ergen et al.
2022, the proof of the equivalence):

    gamma = t ||q|| / ||s||,   alpha = t a / ||s||,   v = t direction,   t = sqrt(||s||),

so that `beta/2 (gamma^2 + alpha^2 + ||v||^2) = beta ||s||` for a direction of norm 1. With BN after
ReLU a block is `[w; a]`, and `||C relu(X w)||` takes the place of `||q||`, where C centres.

As BN does not see the scale of w, each neuron gets the one at which its variance over the training
samples is 1. The networks carry these statistics and come in evaluation mode.
"""

from typing import TypeVar

import torch

from convexbn.containers import column_names
from convexbn.inputs import ArrayLike, as_tensor
from convexbn.networks.architectures import BNAfterReLUNetwork, GatedBNNetwork, affine_gates
from convexbn.networks.two_layer import BNNetwork
from convexbn.programs.norms import norm
from convexbn.whitening import Whitening

Network = TypeVar("Network", bound=BNNetwork)


def bn_network(S: torch.Tensor, directions: torch.Tensor, whitening: Whitening) -> BNNetwork:
    """Return the BN-ReLU network of blocks, with one neuron per block.

    Its decay, `1/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2)`, is
    `sum_j ||s_j|| (||direction_j||^2 + 1) / 2`.

    Parameters
    ----------
    S : Tensor of float64, shape (r + 1, m)
        One block s per neuron: its pre-activation is `U s`, at the scale that it has in f.
    directions : Tensor, shape (m, C)
        The neuron's part of f is `relu(U s) direction^T`; a direction has norm 1, or 0.
    whitening : Whitening
    """
    d, n = len(whitening.V), len(whitening.U)
    network = BNNetwork(d, S.shape[1], directions.shape[1], n, torch.Generator("cpu")).double()
    return _assigned(network, S, directions, whitening)


def gated_network(
    S: torch.Tensor, directions: torch.Tensor, gates: torch.Tensor, whitening: Whitening
) -> GatedBNNetwork:
    """Return the network of :func:`bn_network` with a fixed gate per neuron instead of the ReLU.

    Parameters
    ----------
    S, directions, whitening
        As for :func:`bn_network`; the neuron's part of f is `1[U g >= 0] (U s) direction^T`.
    gates : Tensor of float64, shape (r + 1, m)
    """
    _check_rows(S, whitening)
    affine, n = affine_gates(gates, whitening), len(whitening.U)
    C = directions.shape[1]
    network = GatedBNNetwork(affine, whitening.mean, C, n, torch.Generator("cpu")).double()
    return _assigned(network, S, directions, whitening)


def after_relu_network(
    blocks: torch.Tensor, directions: torch.Tensor, X: ArrayLike
) -> BNAfterReLUNetwork:
    """Return the network with BN after ReLU for blocks [w; a] (d + 1, m) on the data X (n, d).

    The neuron's part of f is `(C relu(X w) + a / sqrt(n)) direction^T`.
    """
    names, X = column_names(X), data_matrix(X, len(blocks) - 1)
    w, shift = blocks[:-1], blocks[-1]
    (d, m), C = w.shape, directions.shape[1]
    network = BNAfterReLUNetwork(d, m, C, len(X), torch.Generator("cpu")).double()
    spread = rectified_spread(X, w)
    network.assign(_of_length(w, spread, len(X)), *_balance(spread, shift, directions))
    network.columns = names
    return network.set_statistics(X).eval()


def rectified_spread(X: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return `||C relu(X w)||`, shape (m,), where C centres."""
    rectified = torch.relu(X @ w)
    return norm(rectified - rectified.mean(dim=0), dim=0)


def _assigned(
    network: Network, S: torch.Tensor, directions: torch.Tensor, whitening: Whitening
) -> Network:
    """Give a network the parameters of its neurons, and their statistics on the whitened design."""
    _check_rows(S, whitening)
    q, shift, n = S[:-1], S[-1], len(whitening.U)
    spread = norm(q, dim=0)
    w = as_tensor("directions", whitening.directions) @ _of_length(q, spread, n)  # (d, m)
    network.assign(w, *_balance(spread, shift, directions))
    network.origin = as_tensor("mean", whitening.mean)
    network.mean, network.variance = torch.zeros_like(spread), (spread > 0).to(spread)
    network.columns = whitening.columns
    return network.eval()


def _of_length(w: torch.Tensor, spread: torch.Tensor, n: int) -> torch.Tensor:
    """Return w (d, m) at the scale at which pre-activations of norm `spread` have variance 1."""
    return w * (n**0.5 / _or_one(spread))


def _or_one(sizes: torch.Tensor) -> torch.Tensor:
    return sizes.masked_fill(sizes == 0, 1.0)


def _balance(
    scale: torch.Tensor, shift: torch.Tensor, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split the norm of each block [scale; shift] evenly between BN and the output layer."""
    norm = torch.hypot(scale, shift)
    root = norm.clamp_min(torch.finfo(norm.dtype).tiny).sqrt()  # so that 0 / 0 is 0
    return scale / root, shift / root, norm.sqrt()[:, None] * directions


def data_matrix(X: ArrayLike, d: int) -> torch.Tensor:
    """Return X (n, d) as a tensor of float64 on the CPU; ValueError if it has another shape."""
    X = as_tensor("X", X, device="cpu", copy=False)
    if X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"the training data must have shape (n, {d}), got {tuple(X.shape)}")
    return X


def _check_rows(S: torch.Tensor, whitening: Whitening) -> None:
    if len(S) != whitening.U.shape[1]:
        raise ValueError(
            f"the weights have blocks of length {len(S)} and the whitened design has "
            f"{whitening.U.shape[1]} columns; give the whitening that the solution came from"
        )
    if (whitening.gains != 1).any():
        raise ValueError(
            "the program of a filtered design has no BN network, as its penalty weighs directions "
            "differently; recover solutions of whitened or truncated designs"
        )
