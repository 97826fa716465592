"""Monotone spectral filters with parameters: two for all directions, or one for each of them.

A filter multiplies the columns of the whitened design by gains `0 < f_i <= 1` that fall with the
ratios `s_i = sigma_i / sigma_1` (:mod:`convexbn.whitening`). A soft step has a cutoff c and a
power p,

    f_i = 1 / (1 + (c / s_i^2)^p).

It is the ridge filter of value c at p = 1, and truncation to the directions with `s_i^2 > c` as p
grows. A free filter has one parameter per direction, the fall t_i >= 0 of log f on the way to it,

    f_i = exp(-sum_{j <= i} t_j),

which is every sequence of gains in (0, 1] that does not rise.
"""

import torch
from torch import Tensor

from convexbn.products import sums_so_far


def soft_step(ratios: Tensor, cutoff: Tensor, power: Tensor) -> Tensor:
    """Return the gains (r,) of a soft step.

    Parameters
    ----------
    ratios : Tensor, shape (r,)
        Singular values over the largest, in descending order.
    cutoff, power : Tensor
        The positive c and p.
    """
    return torch.sigmoid(power * (2 * ratios.log() - cutoff.log()))


def free(falls: Tensor) -> Tensor:
    """Return the gains (r,) of a free filter with the falls t (r,)."""
    return torch.exp(-sums_so_far(falls))


def falls_of(gains: Tensor) -> Tensor:
    """Return the falls (r,) of the free filter with these gains (r,)."""
    return -gains.log().diff(prepend=gains.new_zeros(1))
