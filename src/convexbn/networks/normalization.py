"""Batch normalization over the rows of a batch: its formula and its statistics.

    BN(z) = weight zhat + bias,   zhat = (z - mean z) / sqrt(variance z),

in torch's coordinates of unit variance, with the biased variance and no eps, so that the networks
are the paper's (:mod:`convexbn.networks.two_layer` has the paper's scale). Rows are on the last
axis but one; the axes before it are networks of a stack.
"""

import torch

# Hidden values held at a time when a whole data set goes through a network: few enough for a cache.
BLOCK = 2**22

# Mean and biased variance of each pre-activation.
Statistics = tuple[torch.Tensor, torch.Tensor]


def normalize(
    z: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    statistics: Statistics | None = None,
) -> torch.Tensor:
    """Return BN(z), shape (..., n, m).

    Parameters
    ----------
    z : Tensor, shape (..., n, m)
        Pre-activations, normalized over their n rows.
    weight, bias : Tensor, shape (..., m)
    statistics : pair of tensors of shape (..., m), optional
        Mean and biased variance; by default the statistics of z.
    """
    if statistics is None:
        mean = z.mean(-2, keepdim=True)
        centred = z - mean
        variance = centred.square().mean(-2, keepdim=True)
    else:
        mean, variance = (values.unsqueeze(-2) for values in statistics)
        centred = z - mean
    return centred * (weight.unsqueeze(-2) * inverse_root(variance, mean)) + bias.unsqueeze(-2)


def inverse_root(variance: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return 1 / sqrt(variance), and 0 with gradient 0 for a constant pre-activation.

    A pre-activation counts as constant if its spread is within rounding of its mean: dividing by
    such a spread would magnify rounding errors to size 1.
    """
    rounding = 32 * torch.finfo(variance.dtype).eps * mean.detach()
    constant = variance <= rounding.square()
    return variance.masked_fill(constant, 1.0).rsqrt().masked_fill(constant, 0.0)


@torch.no_grad()
def linear_statistics(X: torch.Tensor, w: torch.Tensor) -> Statistics:
    """Return mean and biased variance (..., m) of `X w` over the rows of X (..., n, d).

    Rows are centred before the product with `w`, so that a large common offset causes no
    cancellation, and the sums over blocks of rows are added in float64.
    """
    centre = X.mean(-2, keepdim=True, dtype=torch.float64)
    mean = (centre @ w.double()).squeeze(-2)
    parts = (((rows - centre.to(X.dtype)) @ w).square().sum(-2).double() for rows in blocks(X, w))
    squares = sum(parts, torch.zeros_like(mean))
    return mean.to(X.dtype), (squares / X.shape[-2]).to(X.dtype)


@torch.no_grad()
def relu_statistics(X: torch.Tensor, w: torch.Tensor) -> Statistics:
    """Return mean and biased variance (..., m) of `relu(X w)` over the rows of X (..., n, d).

    The sums are in float64. The variance takes a second pass, so that a large mean causes no
    cancellation.
    """
    n = X.shape[-2]
    zero = w.new_zeros((), dtype=torch.float64)
    sums = (torch.relu(rows @ w).double().sum(-2, keepdim=True) for rows in blocks(X, w))
    mean = sum(sums, zero) / n
    spreads = ((torch.relu(rows @ w).double() - mean).square().sum(-2) for rows in blocks(X, w))
    return mean.squeeze(-2).to(X.dtype), (sum(spreads, zero) / n).to(X.dtype)


def blocks(X: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split the rows of X so that each block's hidden values `X w` fit :data:`BLOCK`."""
    hidden = w.numel() // w.shape[-2]
    return X.split(max(1, BLOCK // hidden), dim=-2)
