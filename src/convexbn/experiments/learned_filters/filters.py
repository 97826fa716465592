"""Monotone spectral filters with parameters: two for all directions, or one for each of them.

A filter multiplies the columns of the whitened design by gains `0 < f_i < 1` that fall with the
ratios `s_i = sigma_i / sigma_1` (:mod:`convexbn.whitening`). A soft step has a cutoff c and a
power p,

    f_i = 1 / (1 + (c / s_i^2)^p).

It is the ridge filter of value c at p = 1, and truncation to the directions with `s_i^2 > c` as p
grows. A free filter has one parameter t_i per direction,

    f_i = exp(-sum_{j <= i} softplus(t_j)),

which is every sequence of gains that falls strictly from below 1.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

_LEAST = 1e-12  # steps of log f between equal singular values: softplus has no zero


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


def free(steps: Tensor) -> Tensor:
    """Return the gains (r,) of a free filter with the parameters t (r,)."""
    return torch.exp(-softplus(steps).cumsum(0))


def steps_of(gains: Tensor) -> Tensor:
    """Return the parameters t (r,) of the free filter with these descending gains (r,)."""
    falls = -gains.log().diff(prepend=gains.new_zeros(1))
    return falls.clamp(min=_LEAST).expm1().log()
