"""Batch normalization over the rows of a batch: its formula and its statistics, once.

    BN(z) = weight zhat + bias,   zhat = (z - mean z) / sqrt(variance z),

in torch's coordinates of unit variance, with the biased variance and no eps, so that the networks
are the paper's (:mod:`convexbn.networks.two_layer` has the paper's scale). Rows are on the axis
before the last; axes before that are networks of a stack.
"""

import torch

# Hidden values held at a time when a whole data set goes through a network: few enough for a cache.
BLOCK = 2**22


def normalize(z, weight, bias, statistics=None) -> torch.Tensor:
    """Return BN(z), shape (..., n, m).

    Parameters
    ----------
    z : Tensor, shape (..., n, m)
        What is normalized, over its n rows.
    weight, bias : Tensor, shape (..., m)
    statistics : pair of tensors of shape (..., m), optional
        Mean and biased variance; those of z itself when not given.
    """
    if statistics is None:
        mean = z.mean(-2, keepdim=True)
        centred = z - mean
        variance = centred.square().mean(-2, keepdim=True)
    else:
        mean, variance = (values.unsqueeze(-2) for values in statistics)
        centred = z - mean
    return centred * (weight.unsqueeze(-2) * inverse_root(variance, mean)) + bias.unsqueeze(-2)


def inverse_root(variance, mean) -> torch.Tensor:
    """Return 1 / sqrt(variance), and 0 with gradient 0 for a constant pre-activation.

    A spread within rounding of the mean is no spread: dividing by it would blow rounding errors
    up to size 1.
    """
    rounding = 32 * torch.finfo(variance.dtype).eps * mean.detach()
    constant = variance <= rounding.square()
    return variance.masked_fill(constant, 1.0).rsqrt().masked_fill(constant, 0.0)


@torch.no_grad()
def linear_statistics(X, w) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and biased variance (..., m) of `X w` over the rows of X (..., n, d).

    Rows are centred before they meet `w`, so that a large common offset cancels nothing, and the
    sums of blocks of rows are added in float64.
    """
    centre = X.mean(-2, keepdim=True, dtype=torch.float64)
    mean = (centre @ w.double()).squeeze(-2)
    squares = sum(
        ((rows - centre.to(X.dtype)) @ w).square().sum(-2).double() for rows in blocks(X, w)
    )
    return mean.to(X.dtype), (squares / X.shape[-2]).to(X.dtype)


@torch.no_grad()
def relu_statistics(X, w) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and biased variance (..., m) of `relu(X w)` over the rows of X (..., n, d).

    Summed in float64; a second pass for the variance, so that a large mean cancels nothing.
    """
    n = X.shape[-2]
    mean = sum(torch.relu(rows @ w).double().sum(-2, keepdim=True) for rows in blocks(X, w)) / n
    squares = sum((torch.relu(rows @ w).double() - mean).square().sum(-2) for rows in blocks(X, w))
    return mean.squeeze(-2).to(X.dtype), (squares / n).to(X.dtype)


def blocks(X, w):
    """Split the rows of X so that each block's hidden values `X w` fit :data:`BLOCK`."""
    hidden = w.numel() // w.shape[-2]
    return X.split(max(1, BLOCK // hidden), dim=-2)
