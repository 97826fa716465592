"""BN networks from the blocks of the convex programs, one neuron per block.

On the whitened design `U = [U_r, 1/sqrt(n)]` of data with centred SVD `U_r diag(sigma) V^T`, a
block `s = [q; a]` has the pre-activation `U s`. A neuron has it too, with the first-layer weights
`w = V diag(1/sigma) q`. The norm of s is split evenly between BN and the output layer (Ergen et al.
2022, the proof of the equivalence):

    gamma = t ||q|| / ||s||,   alpha = t a / ||s||,   v = t direction,   t = sqrt(||s||),

so that `beta/2 (gamma^2 + alpha^2 + ||v||^2) = beta ||s||` for a direction of norm 1. With BN after
ReLU a block is `[w; a]`, and `||C relu(X w)||` takes the place of `||q||`, where C centres.
"""

import torch

from convexbn.inputs import ArrayLike
from convexbn.networks.architectures import BNAfterReLUNetwork, GatedBNNetwork, affine_gates
from convexbn.networks.two_layer import BNNetwork
from convexbn.whitening import Whitening


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
    network = BNNetwork(d, S.shape[1], directions.shape[1], n, torch.Generator()).double()
    network.assign(*_bn_parameters(S, directions, whitening))
    return network


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
    affine, n = affine_gates(gates, whitening), len(whitening.U)
    C = directions.shape[1]
    network = GatedBNNetwork(affine, whitening.mean, C, n, torch.Generator()).double()
    network.assign(*_bn_parameters(S, directions, whitening))
    return network


def after_relu_network(
    blocks: torch.Tensor, directions: torch.Tensor, X: ArrayLike
) -> BNAfterReLUNetwork:
    """Return the network with BN after ReLU for blocks [w; a] (d + 1, m) on the data X (n, d).

    The neuron's part of f is `(C relu(X w) + a / sqrt(n)) direction^T`.
    """
    X = data_matrix(X, len(blocks) - 1)
    w, shift = blocks[:-1], blocks[-1]
    (d, m), C = w.shape, directions.shape[1]
    network = BNAfterReLUNetwork(d, m, C, len(X), torch.Generator()).double()
    network.assign(w, *_balance(rectified_spread(X, w), shift, directions))
    return network


def rectified_spread(X: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return `||C relu(X w)||`, shape (m,), where C centres."""
    rectified = torch.relu(X @ w)
    return (rectified - rectified.mean(dim=0)).norm(dim=0)


def _bn_parameters(
    S: torch.Tensor, directions: torch.Tensor, whitening: Whitening
) -> tuple[torch.Tensor, ...]:
    """Return w, gamma, alpha and v of the neurons, in the paper's units."""
    _check_rows(S, whitening)
    q, shift = S[:-1], S[-1]
    w = torch.as_tensor(whitening.V / whitening.singular_values) @ q  # (d, m)
    return w, *_balance(q.norm(dim=0), shift, directions)


def _balance(
    scale: torch.Tensor, shift: torch.Tensor, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split the norm of each block [scale; shift] evenly between BN and the output layer."""
    norm = torch.hypot(scale, shift)
    root = norm.clamp_min(torch.finfo(norm.dtype).tiny).sqrt()  # so that 0 / 0 is 0
    return scale / root, shift / root, norm.sqrt()[:, None] * directions


def data_matrix(X: ArrayLike, d: int) -> torch.Tensor:
    """Return X (n, d) as a tensor of float64 on the CPU; ValueError if it has another shape."""
    X = torch.as_tensor(X).detach().to("cpu", torch.float64)
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
