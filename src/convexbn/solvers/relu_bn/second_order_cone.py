"""The algebra of second-order cones `{z: z_0 >= ||z_1||}`, of many blocks at once.

Points are tensors (..., p + 1) whose last axis is [z_0; z_1]; J is the reflection diag(1, -I).
"""

import torch
from torch import Tensor


class Scaling:
    """The Nesterov-Todd scaling W of pairs in second-order cones: `W omega = W^-1 sigma`."""

    def __init__(self, sigma: Tensor, omega: Tensor):
        primal, dual = _root(sigma), _root(omega)
        self.size = (primal / dual).sqrt()  # (2, P, 1)
        a, b = sigma / primal, omega / dual
        half = ((1 + (a * b).sum(-1, keepdim=True)) / 2).sqrt()
        self.point = (a + _reflected(b)) / (2 * half)
        shifted = torch.cat([self.point[..., :1] + 1, self.point[..., 1:]], dim=-1)
        self.axis = shifted / (2 * shifted[..., :1]).sqrt()
        self.middle = self.stretch(omega)

    def stretch(self, z: Tensor) -> Tensor:
        """Return W z."""
        along = (self.axis * z).sum(-1, keepdim=True)
        return self.size * (2 * along * self.axis - _reflected(z))

    def shrink(self, z: Tensor) -> Tensor:
        """Return W^-1 z."""
        flipped = _reflected(self.axis)
        along = (flipped * z).sum(-1, keepdim=True)
        return (2 * along * flipped - _reflected(z)) / self.size

    def rate(self, d: Tensor) -> Tensor:
        """Return one over the length at which a scaled step first leaves a cone."""
        root = _root(self.middle)
        unit, d = self.middle / root, d / root
        first = (unit * _reflected(d)).sum(-1, keepdim=True)
        rest = d[..., 1:] - (first + d[..., :1]) / (1 + unit[..., :1]) * unit[..., 1:]
        return (torch.linalg.vector_norm(rest, dim=-1, keepdim=True) - first).max()


def _reflected(z: Tensor) -> Tensor:
    """Return J z: z with the signs of all entries but the first changed."""
    return torch.cat([z[..., :1], -z[..., 1:]], dim=-1)


def _root(z: Tensor) -> Tensor:
    """Return `sqrt(z^T J z)` of points inside the cone, shape (2, P, 1), without cancellation."""
    length = torch.linalg.vector_norm(z[..., 1:], dim=-1, keepdim=True)
    return ((z[..., :1] - length) * (z[..., :1] + length)).sqrt()


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return the Jordan product a o b."""
    rest = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:]
    return torch.cat([(a * b).sum(-1, keepdim=True), rest], dim=-1)


def divided(d: Tensor, a: Tensor) -> Tensor:
    """Return the b with a o b = d."""
    first = (_reflected(a) * d).sum(-1, keepdim=True) / _root(a).square()
    return torch.cat([first, (d[..., 1:] - first * a[..., 1:]) / a[..., :1]], dim=-1)
