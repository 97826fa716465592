"""One network of each kind, small and in float64, and data for it."""

import torch

from convexbn.networks.architectures import (
    BNAfterReLUNetwork,
    ConvolutionalNetwork,
    DeepBNNetwork,
    GatedBNNetwork,
)
from convexbn.networks.two_layer import BNNetwork, PlainNetwork

n, d, m, C, K = 12, 5, 7, 3, 4

# Float64 results of the same sums in another order: some hundred roundings of 1e-16.
ROUNDING = {"rtol": 1e-11, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64, device="cpu")


def generator(seed):
    return torch.Generator().manual_seed(seed)


def gated(rows, seed):
    gates = draw(d + 1, m, seed=seed + 50)
    return GatedBNNetwork(gates, 0.1 * draw(d, seed=seed + 60), C, rows, generator(seed))


def deep(seed, widths=(d, 6, 4, m)):
    return DeepBNNetwork.draw(widths, C, n, generator(seed))


# Each kind of network for a seed, and its data.
KINDS = {
    "bn": lambda seed: BNNetwork(d, m, C, n, generator(seed)),
    "gated": lambda seed: gated(n, seed),
    "after relu": lambda seed: BNAfterReLUNetwork(d, m, C, n, generator(seed)),
    "cnn": lambda seed: ConvolutionalNetwork(BNNetwork(d, m, C, K * n, generator(seed)), K),
    "gated cnn": lambda seed: ConvolutionalNetwork(gated(K * n, seed), K, "average"),
    "deep": deep,
    "plain": lambda seed: PlainNetwork(d, m, C, n, generator(seed)),
}


def build(kind, seed=1):
    """A float64 network whose parameters are all away from their initial zeros and ones."""
    return disturb(KINDS[kind](seed), seed)


def disturb(network, seed=1):
    network = network.double()
    with torch.no_grad():
        for k, p in enumerate(network.parameters()):
            p.add_(0.3 * draw(*p.shape, seed=seed + k + 1))
    return network


def data(kind, seed=0):
    return draw(K, n, d, seed=seed) if "cnn" in kind else draw(n, d, seed=seed)
