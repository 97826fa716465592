"""The two-layer networks of the paper in torch, with and without batch normalization.

The network and its training objective for n training samples and m neurons (paper, section 2):

    f(X) = sum_j relu(BN_j(X w_j)) v_j^T,   BN_j(z) = gamma_j zbar + alpha_j / sqrt(n),
    zbar = (z - mean z) / ||z - mean z||_2,
    min  L(f(X), Y) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2),   L a sum over samples.

A norm over n samples has no meaning for a minibatch, so the parameters are those of torch's
BatchNorm1d, which normalizes to unit variance: `relu(weight_j zhat + bias_j) output_j` with
`zhat = sqrt(n) zbar`. Both are the same network if `gamma_j v_j / sqrt(n) = weight_j output_j` and
`alpha_j v_j / sqrt(n) = bias_j output_j`. Giving half of `sqrt(n)` to each layer,

    gamma = n^(1/4) weight,   alpha = n^(1/4) bias,   v = n^(1/4) output,

turns the decay into `beta/2 sqrt(n) sum_j (weight_j^2 + bias_j^2 + ||output_j||^2)`, and with
`beta = sqrt(n) beta_p` the objective is n times

    mean loss + beta_p/2 sum_j (weight_j^2 + bias_j^2 + ||output_j||^2),

which SGD with weight decay beta_p minimizes. A positive factor on `w_j` does not change f, so the
first layer is not decayed.

In training mode BN normalizes by the batch, and in evaluation mode by the statistics of the
training samples, which are buffers (:mod:`convexbn.networks.interface`).

The parameters of a network may carry leading axes: it is then a stack of networks (:func:`stack`),
and every method works on all of them at once. :mod:`convexbn.networks.architectures` has the
paper's other networks: gated, convolutional, deep, and with BN after ReLU.
"""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from convexbn.networks.interface import Network
from convexbn.networks.normalization import BatchNormalized, blocks, linear_statistics

Module = TypeVar("Module", bound=nn.Module)


class TwoLayerNetwork(Network):
    """Base of the networks: first layer `w` (d, m), output layer `output` (m, C).

    Parameters
    ----------
    d, m, C, n : int
        Numbers of features, neurons, outputs, and training samples, which set the paper's scale.
    generator : torch.Generator
        Draws `w ~ N(0, 2/d)` (He et al. 2015) and `output ~ N(0, 1/m)`, in float32. Both give
        values of order one at all sizes; under BN the scale of `w` matters only for the step size.
    """

    decayed: tuple[str, ...]

    def __init__(self, d: int, m: int, C: int, n: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n = n
        self.w = nn.Parameter((2 / d) ** 0.5 * normal(d, m, generator))
        self.output = nn.Parameter(normal(m, C, generator) / m**0.5)

    @property
    def scale(self) -> float:
        """Ratio of a decayed parameter in the paper's scale to the same parameter here."""
        return 1.0

    @property
    def v(self) -> torch.Tensor:
        """Output weights in the paper's scale, shape (m, C)."""
        return self.scale * self.output

    def decay(self, beta: float | torch.Tensor) -> float | torch.Tensor:
        """Return the weight decay on the mean loss that is `beta` in the paper's units."""
        return self.scale**2 / self.n * beta

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (n, d) of the training samples."""
        return self.n, self.w.shape[-2]

    def squares(self) -> torch.Tensor:
        """Return the factor of `beta/2` in the paper's objective, one float64 per network."""
        members = self.w.ndim - 2
        parameters = (getattr(self, name).double() for name in self.decayed)
        return self.scale**2 * sum(p.square().flatten(members).sum(-1) for p in parameters)

    def penalty(self) -> torch.Tensor:
        """Return :meth:`squares` without a gradient."""
        return self.squares().detach()

    def neurons(self) -> torch.Tensor:
        """Return the number of neurons, one per network."""
        return torch.full(
            self.w.shape[:-2], self.w.shape[-1], dtype=torch.int64, device=self.w.device
        )

    def in_blocks(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), computed in blocks of rows; for evaluation mode."""
        return torch.cat([self(rows) for rows in blocks(X, self.w)], dim=-2)


class BNNetwork(BatchNormalized, TwoLayerNetwork):
    """The paper's BN-ReLU network; `weight` starts at 1 and `bias` at 0, both of shape (m,).

    Attributes
    ----------
    mean, variance : Tensor, shape (m,), or None
        Buffers: mean and biased variance of each neuron's pre-activation over the training samples.
    origin : Tensor, shape (d,), or None
        Buffer: a point that is subtracted from each sample. BN does not see it; with the mean of
        the training samples, as in a recovered network, a common offset of the data costs no
        digits.
    """

    decayed: tuple[str, ...] = ("weight", "bias", "output")
    origin: torch.Tensor | None
    optional = ("mean", "variance", "origin")

    def __init__(self, d: int, m: int, C: int, n: int, generator: torch.Generator) -> None:
        super().__init__(d, m, C, n, generator)
        self.weight = nn.Parameter(torch.ones_like(self.w[0]))
        self.bias = nn.Parameter(torch.zeros_like(self.w[0]))

    @property
    def scale(self) -> float:
        """Ratio of a decayed parameter in the paper's scale to the same parameter here."""
        return self.n**0.25

    @property
    def gamma(self) -> torch.Tensor:
        """Scales of BN in the paper's units, shape (m,)."""
        return self.scale * self.weight

    @property
    def alpha(self) -> torch.Tensor:
        """Shifts of BN in the paper's units, shape (m,)."""
        return self.scale * self.bias

    @torch.no_grad()
    def assign(
        self, w: torch.Tensor, gamma: torch.Tensor, alpha: torch.Tensor, v: torch.Tensor
    ) -> None:
        """Set the parameters: w (d, m), and in the paper's units gamma, alpha (m,) and v (m, C)."""
        self.w.copy_(w)
        for parameter, value in (self.weight, gamma), (self.bias, alpha), (self.output, v):
            parameter.copy_(value / self.scale)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), shape (n, C), for X (n, d)."""
        self.check_samples(X)
        return self.hidden(X) @ self.output

    def hidden(self, X: torch.Tensor) -> torch.Tensor:
        """Return the activations of the neurons, shape (n, m)."""
        return torch.relu(self.normalized(X))

    def normalized(self, X: torch.Tensor) -> torch.Tensor:
        """Return the normalized pre-activations BN(X w), shape (n, m)."""
        return self.bn(self.from_origin(X) @ self.w)

    def measure(self, X: torch.Tensor) -> None:
        """Set the statistics to those of each pre-activation over all rows of X (n, d)."""
        self.mean, self.variance = linear_statistics(self.from_origin(X), self.w)

    def from_origin(self, X: torch.Tensor) -> torch.Tensor:
        """Return the samples X (n, d) as seen from the origin."""
        return X if self.origin is None else X - self.origin.unsqueeze(-2)


class PlainNetwork(TwoLayerNetwork):
    """The same network without BN, `relu(X w + bias) output`; `bias` (m,) starts at 0.

    Weight decay acts on every parameter. Without BN, f grows with `w`: if `w` were free, a network
    could evade the decay of the output layer by moving its size into the first layer.
    """

    decayed = ("w", "bias", "output")

    def __init__(self, d: int, m: int, C: int, n: int, generator: torch.Generator) -> None:
        super().__init__(d, m, C, n, generator)
        self.bias = nn.Parameter(torch.zeros_like(self.w[0]))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), shape (n, C), for X (n, d); both modes are the same."""
        self.check_samples(X)
        return torch.relu(X @ self.w + self.bias.unsqueeze(-2)) @ self.output

    def measure(self, X: torch.Tensor) -> None:
        """Do nothing: without BN, nothing here depends on the training set."""


def normal(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a matrix of standard normal numbers in float32, on the device of the generator."""
    return torch.randn(
        rows, columns, generator=generator, device=generator.device, dtype=torch.float32
    )


def stack(networks: Sequence[Module]) -> Module:
    """Return one network with the parameters of all `networks`, stacked on a new first axis.

    All networks must be of one kind and size. Buffers (statistics, gates) are stacked too. The
    stack is in the mode of the first network.

    Raises
    ------
    ValueError
        If some of the networks have statistics and others have none.
    """
    if len({tuple(name for name, _ in network.named_buffers()) for network in networks}) > 1:
        raise ValueError(
            "a stack takes networks that all have statistics of a training set, or that all have "
            "none, got both; call set_statistics(X_train) of each"
        )
    stacked = copy.deepcopy(networks[0])
    for module, *members in zip(
        stacked.modules(), *(net.modules() for net in networks), strict=True
    ):
        for name, _ in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(_stack_of(members, name)))
        for name, _ in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, _stack_of(members, name))
    return stacked


def _stack_of(modules: Sequence[nn.Module], name: str) -> torch.Tensor:
    return torch.stack([getattr(module, name).detach() for module in modules])
