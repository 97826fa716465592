"""Random predictions, targets and dual variables of each loss."""

import numpy as np
import torch

SIGNS = ["logistic", "squared_hinge"]


def targets(name, rng, n, C):
    """Draw targets that fit the loss."""
    if name == "cross_entropy":
        return torch.as_tensor(np.eye(C)[rng.integers(C, size=n)])
    normal = torch.as_tensor(rng.standard_normal((n, C)))
    return normal.sign() if name in SIGNS else normal


def draw(name, seed, n=7, C=3, size=1.0):
    """Draw predictions, of about the given size, and targets."""
    rng = np.random.default_rng(seed)
    F = torch.as_tensor(size * rng.standard_normal((n, C)))
    return F, targets(name, rng, n, C)


def inside(name, seed, Y):
    """Draw a dual variable from the interior of the domain, not made by a gradient."""
    rng = np.random.default_rng((seed, 1))
    if name == "squared":
        return torch.as_tensor(rng.standard_normal(Y.shape))
    if name == "squared_hinge":
        return Y * torch.as_tensor(rng.exponential(2, Y.shape))
    if name == "logistic":
        return Y * torch.as_tensor(rng.uniform(0.02, 0.98, Y.shape))
    n, C = Y.shape
    return Y - torch.as_tensor(0.02 + (1 - 0.02 * C) * rng.dirichlet(np.ones(C), n))
