"""The table of two-layer networks that SGD trains: the class of each, and that of its gradient."""

from typing import NamedTuple

from convexbn.networks.two_layer import BNNetwork, PlainNetwork, TwoLayerNetwork
from convexbn.training.gradients import BNGradient, PlainGradient, TwoLayerGradient


class Trained(NamedTuple):
    """A network, and its gradient by hand."""

    network: type[TwoLayerNetwork]
    gradient: type[TwoLayerGradient]


NETWORKS = {
    "bn": Trained(BNNetwork, BNGradient),
    "plain": Trained(PlainNetwork, PlainGradient),
}
