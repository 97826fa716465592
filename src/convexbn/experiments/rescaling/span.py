"""The span of the training inputs, and the part of a weight beside it.

The gradient of a first layer is a combination of training inputs. So SGD leaves the part of its
weights that is orthogonal to all of them as it was drawn, and weight decay multiplies it by
1 - eta lambda in each step. On the training inputs that part has no effect; on others it is noise.
"""

import copy

import torch
from torch import nn

from convexbn.experiments.rescaling.networks import first_layer

TOLERANCE = 1e-6  # of a singular value, over the largest, that counts as one


def basis_of(X: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis (d, r), in float64, of the span of inputs X (n, d).

    Raises
    ------
    ValueError
        If the inputs span all of R^d.
    """
    _, values, directions = torch.linalg.svd(X.double(), full_matrices=False)
    basis = directions[values > TOLERANCE * values[0]].T
    if len(basis) == basis.shape[1]:
        raise ValueError(
            f"{len(X)} inputs of {X.shape[1]} features span all weights, and nothing is orthogonal "
            "to them; take fewer samples"
        )
    return basis


def beside(W: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return the part of weights (m, d) that is orthogonal to a basis (d, r), in float64."""
    W = W.detach().double()
    return W - W @ basis @ basis.T


def without_part_beside(network: nn.Sequential, basis: torch.Tensor) -> nn.Sequential:
    """Return a copy of a network whose first layer has only the part in the span of a basis."""
    copied = copy.deepcopy(network)
    weight = first_layer(copied).weight
    with torch.no_grad():
        weight.sub_(beside(weight, basis).to(weight.dtype))
    return copied
