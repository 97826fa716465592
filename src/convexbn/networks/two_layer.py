"""The two-layer networks of the paper, in torch: with batch normalization and, beside it, without.

The network and its training objective, n training samples, m neurons (paper, section 2):

    f(X) = sum_j relu(BN_j(X w_j)) v_j^T,   BN_j(z) = gamma_j zbar + alpha_j / sqrt(n),
    zbar = (z - mean z) / ||z - mean z||_2,
    min  L(f(X), Y) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2),   L a sum over samples.

A norm over n samples means nothing to a minibatch, so the parameters are those of torch's
BatchNorm1d, of unit variance: `relu(weight_j zhat + bias_j) output_j` with
`zhat = sqrt(n) zbar`. The two are one network where `gamma_j v_j / sqrt(n) = weight_j output_j`
and `alpha_j v_j / sqrt(n) = bias_j output_j`. Giving half of `sqrt(n)` to each layer,

    gamma = n^(1/4) weight,   alpha = n^(1/4) bias,   v = n^(1/4) output,

turns the decay into `beta/2 sqrt(n) sum_j (weight_j^2 + bias_j^2 + ||output_j||^2)`, and with
`beta = sqrt(n) beta_p` the objective is n times

    mean loss + beta_p/2 sum_j (weight_j^2 + bias_j^2 + ||output_j||^2),

what SGD with weight decay beta_p minimizes. A positive factor on `w_j` changes nothing in f, so the
first layer is not decayed.

The parameters of a network may carry leading axes: it is then a stack of networks (:func:`stack`),
and every method works on all of them at once. :mod:`convexbn.networks.architectures` has the
paper's other networks: gated, convolutional, deep, and with BN after ReLU.
"""

import copy

import torch
from torch import nn

from convexbn.networks.normalization import blocks, linear_statistics, normalize


class TwoLayerNetwork(nn.Module):
    """What the networks share: first layer `w` (d, m), output layer `output` (m, C).

    Parameters
    ----------
    d, m, C, n : int
        Features, neurons, outputs, and the training samples that the paper's scale refers to.
    generator : torch.Generator
        Draws `w ~ N(0, 2/d)` (He et al. 2015) and `output ~ N(0, 1/m)`, in float32. Both give
        unit-order values whatever the sizes; BN makes the scale of `w` one of step size alone.
    """

    decayed: tuple[str, ...]

    def __init__(self, d: int, m: int, C: int, n: int, generator: torch.Generator):
        super().__init__()
        self.n = n
        self.w = nn.Parameter((2 / d) ** 0.5 * torch.randn(d, m, generator=generator))
        self.output = nn.Parameter(torch.randn(m, C, generator=generator) / m**0.5)

    @property
    def scale(self) -> float:
        """A decayed parameter in the paper's scale over the same one here."""
        return 1.0

    @property
    def v(self) -> torch.Tensor:
        """Output weights in the paper's scale, shape (m, C)."""
        return self.scale * self.output

    def decay(self, beta):
        """Return the weight decay on the mean loss that is `beta` in the paper's units."""
        return self.scale**2 / self.n * beta

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (n, d) of the training samples."""
        return self.n, self.w.shape[-2]

    def squares(self) -> torch.Tensor:
        """Return what `beta/2` multiplies in the paper's objective, one float64 per network."""
        members = self.w.ndim - 2
        parameters = (getattr(self, name).double() for name in self.decayed)
        return self.scale**2 * sum(p.square().flatten(members).sum(-1) for p in parameters)

    def penalty(self) -> torch.Tensor:
        """Return :meth:`squares` without a gradient."""
        return self.squares().detach()

    def neurons(self) -> torch.Tensor:
        """Return the number of neurons, one per network."""
        return torch.full(self.w.shape[:-2], self.w.shape[-1])

    @torch.no_grad()
    def predict(self, X, statistics) -> torch.Tensor:
        """Return f(X), shape (n, C), at the given statistics, in blocks of rows."""
        return torch.cat([self(rows, statistics) for rows in blocks(X, self.w)], dim=-2)


class BNNetwork(TwoLayerNetwork):
    """The paper's BN-ReLU network; `weight` starts at 1 and `bias` at 0, both of shape (m,)."""

    decayed = ("weight", "bias", "output")

    def __init__(self, d, m, C, n, generator):
        super().__init__(d, m, C, n, generator)
        self.weight = nn.Parameter(torch.ones(m))
        self.bias = nn.Parameter(torch.zeros(m))

    @property
    def scale(self) -> float:
        return self.n**0.25

    @property
    def gamma(self) -> torch.Tensor:
        """BN's scales in the paper's units, shape (m,)."""
        return self.scale * self.weight

    @property
    def alpha(self) -> torch.Tensor:
        """BN's shifts in the paper's units, shape (m,)."""
        return self.scale * self.bias

    @torch.no_grad()
    def assign(self, w, gamma, alpha, v) -> None:
        """Set the parameters: w (d, m), and in the paper's units gamma, alpha (m,) and v (m, C)."""
        self.w.copy_(w)
        for parameter, value in (self.weight, gamma), (self.bias, alpha), (self.output, v):
            parameter.copy_(value / self.scale)

    def forward(self, X, statistics=None) -> torch.Tensor:
        """Return f(X), shape (n, C).

        Parameters
        ----------
        X : tensor, shape (n, d)
        statistics : pair of tensors of shape (m,), optional
            Mean and (biased) variance of each pre-activation; those of X itself when not given.
        """
        return self.hidden(X, statistics) @ self.output

    def hidden(self, X, statistics=None) -> torch.Tensor:
        """Return the activations of the neurons, shape (n, m)."""
        return torch.relu(self.normalized(X, statistics))

    def normalized(self, X, statistics=None) -> torch.Tensor:
        """Return what BN makes of the first layer, shape (n, m)."""
        return normalize(X @ self.w, self.weight, self.bias, statistics)

    def statistics(self, X) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and biased variance (m,) of each pre-activation over all rows of X (n, d)."""
        return linear_statistics(X, self.w)


class PlainNetwork(TwoLayerNetwork):
    """The same network without BN, `relu(X w + bias) output`; `bias` (m,) starts at 0.

    Weight decay acts on every parameter. Without BN, f grows with `w`: were `w` free, decay on
    the output layer alone could be evaded by moving its size into the first layer.
    """

    decayed = ("w", "bias", "output")

    def __init__(self, d, m, C, n, generator):
        super().__init__(d, m, C, n, generator)
        self.bias = nn.Parameter(torch.zeros(m))

    def forward(self, X, statistics=None) -> torch.Tensor:
        """Return f(X), shape (n, C); there are no statistics to give."""
        return torch.relu(X @ self.w + self.bias.unsqueeze(-2)) @ self.output

    def statistics(self, X) -> None:
        """Return None: nothing here depends on the training set."""


def stack(networks) -> nn.Module:
    """Return one network whose parameters are those of `networks`, stacked on a new first axis.

    All must be of one kind and size. What a network keeps fixed (gates) is stacked too.
    """
    stacked = copy.deepcopy(networks[0])
    for module, *members in zip(
        stacked.modules(), *(net.modules() for net in networks), strict=True
    ):
        for name, _ in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(_stack_of(members, name)))
        for name, _ in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, _stack_of(members, name))
    return stacked


def _stack_of(modules, name) -> torch.Tensor:
    return torch.stack([getattr(module, name).detach() for module in modules])
