"""The whitened coordinates of a first layer, in which gradient descent is preconditioned.

The centred data are `U_r diag(sigma) V^T`, and BN removes constants. So the BN-ReLU network with
first-layer weights w (d, m) on X is the same function as the network with first-layer weights

    q = diag(sigma / c) V^T w   (r, m)   on   Z = c U_r   (n, r),   for any c > 0.

Their gradients are related by `grad_w = V diag(sigma / c) grad_q`. A step of gradient descent on w
moves q, and a step of the same size on q moves it, by

    dq = -eta diag(sigma / c)^2 grad_q   against   dq = -eta grad_q,

and all other parameters in the same way. On w, the directions of large singular values are learned
first; the whitened data Z have no such order. Momentum changes nothing in this: descent on w is
always descent on q with first-layer gradients that are multiplied by `(sigma / c)^2`.

Here c is the root mean square of sigma, so that Z has the energy of X, and the factor
`(sigma / c)^2` is one on average over the directions. One learning rate is then fair to both
models, in every layer: they spread the same total differently over the directions.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from convexbn.inputs import ArrayLike, check_finite
from convexbn.networks.two_layer import BNNetwork
from convexbn.programs.losses import LOSSES
from convexbn.whitening import Whitening


def mean_loss(network: nn.Module, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
    """Return half the mean squared error per sample."""
    return LOSSES["squared"].value(network(X), Y) / len(X)


@dataclass(frozen=True)
class Coordinates:
    """The data and the whitened data in float64, and the map between the first layers on them.

    Attributes
    ----------
    X : Tensor, shape (n, d)
        The data, not centred: BN does that.
    Z : Tensor, shape (n, r)
        The whitened data, `scale U_r`.
    V : Tensor, shape (d, r)
    singular_values : Tensor, shape (r,)
    scale : float
        The c of the module's formulas.
    """

    X: torch.Tensor
    Z: torch.Tensor
    V: torch.Tensor
    singular_values: torch.Tensor
    scale: float

    @classmethod
    def of(
        cls,
        X: ArrayLike,
        whitening: Whitening,
        device: str | torch.device = "cpu",
        scale: float | None = None,
    ) -> "Coordinates":
        """Put data and their :class:`convexbn.whitening.Whitening` on a device.

        `scale` is the root mean square of the singular values by default.

        Raises
        ------
        ValueError
            If X is not a matrix of finite numbers, the whitening does not belong to X, or it has a
            single direction.
        """
        X, sigma = torch.as_tensor(X), whitening.singular_values
        _check_data(X, whitening)
        scale = float(np.sqrt(np.mean(sigma**2))) if scale is None else scale
        Z = scale * whitening.U[:, :-1]  # without the constant column
        data, whitened, V, values = (
            torch.as_tensor(A).to(device, torch.float64) for A in (X, Z, whitening.V, sigma)
        )
        return cls(data, whitened, V, values, scale)

    @property
    def stretch(self) -> torch.Tensor:
        """Factor of each direction, `sigma / c`, shape (r, 1)."""
        return (self.singular_values / self.scale).unsqueeze(1)

    def q(self, w: torch.Tensor) -> torch.Tensor:
        """Return the coordinates q (r, m) of first-layer weights w (d, m), in float64."""
        return self.stretch * (self.V.T @ w.detach().double())

    def whitened(self, network: BNNetwork) -> BNNetwork:
        """Return the network on Z that is the same function as `network` on X."""
        twin = copy.deepcopy(network)
        twin.w = nn.Parameter(self.q(network.w).to(network.w.dtype))
        return twin

    def one_step_error(self, network: BNNetwork, Y: torch.Tensor) -> float:
        """Return the relative error of "a step on w moves q by `stretch^2` times a step on q".

        The error of a direction is the norm of the difference over the norm of the move, in
        float64; the largest over the directions is returned. The step size cancels. First w loses
        what the whitening leaves out: images that were normalized in float32 have directions in
        which there is only rounding.
        """
        network, Y = copy.deepcopy(network).double(), Y.double()
        network.w.data = self.V @ (self.V.T @ network.w.data)
        twin = self.whitened(network)
        (on_w,) = torch.autograd.grad(mean_loss(network, self.X, Y), network.w)
        (on_q,) = torch.autograd.grad(mean_loss(twin, self.Z, Y), twin.w)
        moved, expected = self.q(on_w), self.stretch**2 * on_q  # (r, m)
        return float(((moved - expected).norm(dim=1) / expected.norm(dim=1)).max())


def _check_data(X: torch.Tensor, whitening: Whitening) -> None:
    shape = len(whitening.U), len(whitening.mean)
    if X.shape != shape:
        raise ValueError(
            f"expected the matrix X of shape {shape} that the whitening was made from, got shape "
            f"{tuple(X.shape)}; whiten X itself, and leave out data sets of patches"
        )
    check_finite("X", X)
    if whitening.rank < 2:
        raise ValueError(
            f"expected data of at least two singular directions to compare, got {whitening.rank}; "
            "give more features or samples"
        )
