"""The training objective of a network in the paper's units: to judge it, and to descend on it.

    L(f(X), Y) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2),   L a sum over samples,

with all of X as one batch. For a :class:`convexbn.networks.two_layer.PlainNetwork` the second term
is half of `beta` times the squares of all parameters; in a deep network the sum is over the neurons
of the last two layers.
"""

import copy

import torch

from convexbn.calls import public
from convexbn.inputs import (
    ArrayLike,
    as_beta,
    as_tensor,
    check_choice,
    check_same_length,
)
from convexbn.networks.interface import Network, check_single
from convexbn.networks.normalization import in_mode
from convexbn.programs.losses import LOSSES


@public
def network_objective(
    network: Network, X: ArrayLike, Y: ArrayLike, beta: float, loss: str = "squared"
) -> float:
    """Return the training objective of a network, in float64.

    Parameters
    ----------
    network : Module
        One network of :mod:`convexbn.networks.two_layer` or
        :mod:`convexbn.networks.architectures`, not a stack of them.
    X : array or tensor, shape (n, d), or (K, n, h) for a convolutional network
        The training samples; n must be the network's.
    Y : array or tensor, shape (n, C) or (n,)
    beta : float
        Weight decay.
    loss : str
        A key of `convexbn.programs.losses.LOSSES`.

    Raises
    ------
    ValueError
        If beta <= 0, the loss is unknown, X or Y is not finite or does not fit the network, or Y
        does not fit the loss.
    """
    beta = as_beta(beta)
    check_choice("loss", loss, LOSSES)
    network = copy.deepcopy(network).double()
    X, Y = (as_tensor(name, A, device=network.w.device) for name, A in (("X", X), ("Y", Y)))
    _check_samples(network, X, Y)
    scores = network.set_statistics(X).predict(X)
    Y = Y.reshape(scores.shape)
    LOSSES[loss].check_targets(Y)
    return float(LOSSES[loss].value(scores, Y) + beta / 2 * network.penalty())


def batch_objective(
    network: Network,
    X: torch.Tensor,
    Y: torch.Tensor,
    beta: float | torch.Tensor,
    loss: str = "squared",
) -> torch.Tensor:
    """Return the objective of :func:`network_objective` as a function to descend on.

    Parameters
    ----------
    network : Module
        One network, or a stack of e of them.
    X : tensor, shape (n, d) or (K, n, h)
        The full batch, the same for all networks, in their dtype.
    Y : tensor, shape (n, C)
    beta : float, or tensor of shape (e,)
    loss : str
        A key of `convexbn.programs.losses.LOSSES`.

    Returns
    -------
    Tensor, shape () or (e,)
        Differentiable in the parameters. The members of a stack are independent: the gradient of
        the sum holds the gradient of each member in its slice.
    """
    value = LOSSES[loss].value
    with in_mode(network, training=True):
        scores = network(X)
    losses = value(scores, Y) if scores.ndim == 2 else torch.stack([value(F, Y) for F in scores])
    return losses + beta / 2 * network.squares()


def _check_samples(network: Network, X: torch.Tensor, Y: torch.Tensor) -> None:
    check_single(network)
    shape, C = network.input_shape, network.output.shape[-1]
    samples = shape[-2]
    if X.ndim == len(shape):
        check_same_length("X", X.movedim(-2, 0), "Y", Y)
    if X.shape != shape or Y.numel() != samples * C:
        raise ValueError(
            f"the network is for X of shape {shape} and Y of shape {(samples, C)}, got "
            f"{tuple(X.shape)} and {tuple(Y.shape)}; give the samples it was trained on, or "
            "build it for these"
        )
