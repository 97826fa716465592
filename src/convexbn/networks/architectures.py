"""The paper's other networks, built from those of :mod:`convexbn.networks.two_layer`.

With `BN_j(z) = gamma_j zbar + alpha_j / sqrt(n)`, where BN normalizes over n rows:

    gated            f(X) = sum_j 1[u(X) g_j >= 0] BN_j(X w_j) v_j^T      fixed gates g_j
    BN after ReLU    f(X) = sum_j BN_j(relu(X w_j)) v_j^T
    convolutional    f(X) = sum_k sum_j relu(BN_j(X_k w_j)) v_j^T         patches X_k (n, h)
    deep             f(X) = sum_j relu(BN_j(A w_j)) v_j^T,  A = relu(BN(... relu(BN(X W_1)) ...))

(Ergen et al. 2022, the sections on two-layer and deep networks, vector outputs, CNNs, and BN after
ReLU). A convolutional network is a two-layer network on the rows of all patches, so that BN
normalizes over samples and positions; its outputs are pooled over the positions, as pooling
commutes with the linear output layer. Weight decay acts on the last BN layer and the output layer.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from convexbn.arrangements.gates import is_open
from convexbn.inputs import ArrayLike, as_tensor, check_between, check_choice
from convexbn.networks.interface import Network
from convexbn.networks.normalization import (
    BatchNormalized,
    in_mode,
    linear_statistics,
    relu_statistics,
)
from convexbn.networks.two_layer import BNNetwork, TwoLayerNetwork, normal
from convexbn.whitening import Whitening

# Reductions of the outputs (..., K, n, C) over the K positions.
POOLING = {"sum": torch.sum, "average": torch.mean}


class GatedBNNetwork(BNNetwork):
    """The BN network with fixed gates that switch its neurons in place of the ReLU.

    Parameters
    ----------
    gates : array or tensor, shape (d + 1, m)
        Neuron j is on for a sample x if `[x - centre, 1] gates[:, j] >= 0`; see
        :func:`affine_gates`.
    centre : array or tensor, shape (d,)
        A point near the mean of the data, so that a common offset costs no digits.
    C, n, generator
        As for :class:`convexbn.networks.two_layer.TwoLayerNetwork`.
    """

    gates: torch.Tensor
    centre: torch.Tensor

    def __init__(
        self, gates: ArrayLike, centre: ArrayLike, C: int, n: int, generator: torch.Generator
    ) -> None:
        device = generator.device
        gates = as_tensor("gates", gates, device=device)
        centre = as_tensor("centre", centre, device=device)
        if gates.ndim != 2 or centre.shape != (len(gates) - 1,):
            raise ValueError(
                "gates and centre must have shapes (d + 1, m) and (d,), got "
                f"{tuple(gates.shape)} and {tuple(centre.shape)}; give one gate per column, the "
                "factor of the constant 1 last"
            )
        super().__init__(len(gates) - 1, gates.shape[1], C, n, generator)
        self.register_buffer("gates", gates)
        self.register_buffer("centre", centre)

    def mask(self, X: torch.Tensor) -> torch.Tensor:
        """Return the gates on the rows of X (n, d): bool, shape (n, m), True for on."""
        centred = X - self.centre.unsqueeze(-2)
        affine = torch.cat([centred, torch.ones_like(centred[..., :1])], dim=-1)
        return is_open(affine @ self.gates)

    def hidden(self, X: torch.Tensor) -> torch.Tensor:
        """Return the activations of the neurons, shape (n, m)."""
        return self.mask(X) * self.normalized(X)


def affine_gates(G: ArrayLike, whitening: Whitening) -> torch.Tensor:
    """Return the gates on `[x - mean, 1]` that equal given gates on the whitened design.

    Parameters
    ----------
    G : array, shape (r + 1, m)
        A gate g is on for a sample x if `u(x) g >= 0`, where
        `u(x) = [(x - mean) V diag(1/sigma), 1/sqrt(n)]`.
    whitening : Whitening

    Returns
    -------
    Tensor of float64, shape (d + 1, m)
        For :class:`GatedBNNetwork` with `centre = whitening.mean`.
    """
    G = as_tensor("G", G, device="cpu")
    directions = as_tensor("directions", whitening.directions)
    return torch.cat([directions @ G[:-1], G[-1:] / math.sqrt(len(whitening.U))])


class BNAfterReLUNetwork(BNNetwork):
    """The network that normalizes after ReLU; a positive factor on `w_j` does not change f."""

    def hidden(self, X: torch.Tensor) -> torch.Tensor:
        """Return the activations of the neurons, shape (n, m)."""
        return self.normalized(X)

    def normalized(self, X: torch.Tensor) -> torch.Tensor:
        """Return the normalized neurons BN(relu(X w)), shape (n, m)."""
        return self.bn(torch.relu(X @ self.w))

    def measure(self, X: torch.Tensor) -> None:
        """Set the statistics to those of each neuron's `relu(X w)` over all rows of X (n, d)."""
        self.mean, self.variance = relu_statistics(X, self.w)


def _of_top(name: str) -> Any:
    return property(lambda network: getattr(network.top, name))


class TopNetwork(Network):
    """Base of the networks around a two-layer network `top`: its sizes, scale and weight decay.

    Parameters
    ----------
    top : TwoLayerNetwork
        Its `n` is the number of rows over which its BN normalizes. The whole network is in its
        mode, training or evaluation.
    """

    n, w, output, v, scale = map(_of_top, ("n", "w", "output", "v", "scale"))
    decay, squares, penalty = map(_of_top, ("decay", "squares", "penalty"))

    def __init__(self, top: TwoLayerNetwork) -> None:
        super().__init__()
        self.top = top
        self.train(top.training)

    @property
    def decayed(self) -> tuple[str, ...]:
        """Names of the parameters that weight decay acts on."""
        return tuple(f"top.{name}" for name in self.top.decayed)


class ConvolutionalNetwork(TopNetwork):
    """A CNN with one convolutional layer: a two-layer network on K patches, pooled over them.

    Parameters
    ----------
    top : TwoLayerNetwork
        The network on rows of patches (d = h); its `n` is K times the number of training samples.
    K : int
        Patches per sample, see :func:`convexbn.data.patches.patches`.
    pooling : {"sum", "average"}
    """

    def __init__(self, top: TwoLayerNetwork, K: int, pooling: str = "sum") -> None:
        super().__init__(top)
        check_between("K", K, 1, top.n)
        check_choice("pooling", pooling, POOLING)
        if top.n % K:
            raise ValueError(
                f"the network's n counts the rows of all patches, so it must be a multiple of "
                f"K = {K}, got {top.n}; build it with n = K times the number of samples"
            )
        self.K, self.pooling = K, pooling

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape (K, n, h) of the training samples' patches."""
        return self.K, self.n // self.K, self.top.input_shape[1]

    def decay(self, beta: float | torch.Tensor) -> float | torch.Tensor:
        """Return the weight decay on the mean loss that is `beta` in the paper's units.

        The mean is over the samples, which are K times fewer than the rows.
        """
        return self.K * self.top.decay(beta)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), shape (n, C), for patches X (K, n, h); BN is over all K n rows."""
        self.check_samples(X)
        return self._pool(self.top(X.flatten(-3, -2)))

    def measure(self, X: torch.Tensor) -> None:
        """Set the statistics of `top` to those of the rows of all patches X (K, n, h)."""
        self.top.measure(X.flatten(-3, -2))

    def in_blocks(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), computed in blocks of rows; for evaluation mode."""
        return self._pool(self.top.in_blocks(X.flatten(-3, -2)))

    def _pool(self, outputs: torch.Tensor) -> torch.Tensor:
        return POOLING[self.pooling](outputs.unflatten(-2, (self.K, -1)), dim=-3)


class BNLayer(BatchNormalized):
    """A hidden layer `relu(BN(X w))`: w (d, m), weight and bias (m,) starting at 1 and 0, float32.

    `w ~ N(0, 2/d)` is drawn by the generator, as in
    :class:`convexbn.networks.two_layer.TwoLayerNetwork`.
    """

    def __init__(self, d: int, m: int, generator: torch.Generator) -> None:
        super().__init__()
        self.w = nn.Parameter((2 / d) ** 0.5 * normal(d, m, generator))
        self.weight = nn.Parameter(torch.ones_like(self.w[0]))
        self.bias = nn.Parameter(torch.zeros_like(self.w[0]))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the activations (n, m) of X (n, d)."""
        return torch.relu(self.bn(X @ self.w))

    def measure(self, X: torch.Tensor) -> None:
        """Set the statistics to those of each pre-activation over the rows of X (n, d)."""
        self.mean, self.variance = linear_statistics(X, self.w)


class DeepBNNetwork(TopNetwork):
    """Hidden BN-ReLU layers with a two-layer network on top; decay acts on the top alone.

    Parameters
    ----------
    hidden : iterable of BNLayer
        Any number of layers, from the data upward.
    top : TwoLayerNetwork
        The network on the activations of the last hidden layer.
    """

    def __init__(self, hidden: Iterable[nn.Module], top: TwoLayerNetwork) -> None:
        super().__init__(top)
        self.layers = nn.ModuleList(hidden).train(top.training)
        for below, above in pairwise([*self.layers, top]):
            if below.w.shape[-1] != above.w.shape[-2]:
                raise ValueError(
                    f"each layer must take as many features as the one below has neurons, got a "
                    f"layer of {below.w.shape[-1]} neurons below one of {above.w.shape[-2]} "
                    "features; choose equal sizes"
                )

    @classmethod
    def draw(
        cls, widths: Sequence[int], C: int, n: int, generator: torch.Generator
    ) -> "DeepBNNetwork":
        """Draw a deep BN-ReLU network with `widths = (d, m_1, ..., m)`, the last one of the top."""
        hidden = [BNLayer(d, m, generator) for d, m in pairwise(widths[:-1])]
        return cls(hidden, BNNetwork(widths[-2], widths[-1], C, n, generator))

    @property
    def input_shape(self) -> tuple[int, int]:
        """Shape (n, d) of the training samples."""
        return self.n, [*self.layers, self.top][0].w.shape[-2]

    def activations(self, X: torch.Tensor) -> torch.Tensor:
        """Return the activations (n, m) of the last hidden layer, which are the data of `top`."""
        for layer in self.layers:
            X = layer(X)
        return X

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), shape (n, C), for X (n, d)."""
        self.check_samples(X)
        return self.top(self.activations(X))

    @torch.no_grad()
    def measure(self, X: torch.Tensor) -> None:
        """Set each layer's statistics to those over all rows of X (n, d), from the data upward."""
        with in_mode(self, training=False):
            for layer in self.layers:
                assert isinstance(layer, BNLayer)
                layer.measure(X)
                X = layer(X)
        self.top.measure(X)

    def in_blocks(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), the top computed in blocks of rows; for evaluation mode."""
        return self.top.in_blocks(self.activations(X))
