"""Solutions of the exact programs with few neurons.

An interior-point method ends in the middle of the optimal face, where many blocks share the work of
a few. Three steps reduce them, each as far as the certificate allows:

- n + 1 blocks are enough (Caratheodory 1907): the predictions and the norm of a block are n + 1
  numbers, so those of more blocks are linearly dependent, and one block can be shrunk to nothing
  with no change of the sums;
- a neuron on the boundary of several cones can be a block of each: such blocks are parallel, and
  their sum in one of the cones is the same neuron;
- blocks that are zero up to rounding become zero.
"""

import torch
from torch import Tensor

from convexbn.products import sums_of_groups
from convexbn.programs.relu import ExactProgram

_DEPENDENT = 1e-13  # smallest singular value, relative, of independent columns
_PARALLEL = (1e-3, 1e-5, 1e-7)  # angles up to which blocks may be one


def sparsest(program: ExactProgram, x: Tensor, witness: dict[str, Tensor], error: float) -> Tensor:
    """Return blocks with few non-zero, whose relative gap and violation are at most `error`.

    Parameters
    ----------
    program : ExactProgram
    x : Tensor, shape (2, P, p)
        Blocks near the optimum.
    witness : dict of str to Tensor
        Multipliers (2, P, h), and any dual variable (n, 1), for the referee.
    error : float
        At least the error of x itself.
    """

    def allowed(blocks):
        objective, dual, violation = program.judge(program.weights(blocks), **witness)
        return max(abs(objective - dual), violation * objective) <= error * objective

    zero = torch.zeros_like(x)
    if allowed(zero):
        return zero
    few = fewest(program, x)
    x = few if allowed(few) else x
    merged = (_merged(program, x, angle) for angle in _PARALLEL)
    x = next(filter(allowed, merged), x)
    return _without_smallest(program, x, allowed)


def _without_smallest(program, x, allowed) -> Tensor:
    """Return x without the smallest blocks, as many as can go, by bisection."""
    norms = torch.linalg.vector_norm(program.normed(x), dim=-1)
    ascending = norms[norms > 0].sort().values
    keep, drop = 0, len(ascending)  # numbers of blocks that may go, and that may not
    while drop - keep > 1:
        middle = (keep + drop) // 2
        pruned = x * (norms > ascending[middle - 1])[..., None]
        keep, drop = (middle, drop) if allowed(pruned) else (keep, middle)
    return x * (norms > ascending[keep - 1])[..., None] if keep else x


def _merged(program, x, angle) -> Tensor:
    """Return x with parallel blocks of one sign added to the longest of them."""
    W = program.weights(x).transpose(1, 2)  # (2, P, p)
    W = torch.stack([merged(side, angle) for side in W])
    return program.blocks(W.transpose(1, 2))


def merged(S: Tensor, angle: float) -> Tensor:
    """Return blocks with parallel ones summed in the place of the longest, zeros in the others'.

    Parameters
    ----------
    S : Tensor, shape (k, p)
        Blocks that act with one sign.
    angle : float
        Largest distance of the directions of blocks that count as parallel.
    """
    lengths = torch.linalg.vector_norm(S, dim=1)
    present = lengths.nonzero()[:, 0]
    if len(present) == 0:
        return S
    order = present[lengths[present].argsort(descending=True)]
    units = S[order] / lengths[order, None]
    alike = torch.cdist(units, units) <= angle
    leaders = order[alike.to(torch.int8).argmax(dim=1)]  # the first, itself at the latest
    return sums_of_groups(leaders, S[order], len(S))


def fewest(program: ExactProgram, x: Tensor) -> Tensor:
    """Return blocks with the same predictions and sum of norms, at most n + 1 of them non-zero."""
    sign, block = (x != 0).any(-1).nonzero(as_tuple=True)
    x = x.clone()
    signs = torch.where(sign == 0, 1.0, -1.0).to(x)
    kept = x[sign, block]  # (k, p)
    scores = signs * program.scores(kept, block)  # (n, k)
    norms = torch.linalg.vector_norm(program.normed(x)[sign, block], dim=-1, keepdim=True)
    shares = _basic_shares(torch.cat([scores, norms.T]))
    x[sign, block] = shares[:, None] * kept
    return x


def _basic_shares(M) -> Tensor:
    """Return c >= 0 (k,) with `M c = M 1`, at most as many non-zero as M (m, k) has rows.

    Works through the columns a few multiples of m at a time.
    """
    rows, k = M.shape
    shares = M.new_ones(k)
    basic = shares.new_zeros(0, dtype=torch.long)
    for new in torch.arange(k, device=M.device).split(3 * rows):
        columns = torch.cat([basic, new])
        shares[columns] = _without_dependence(M[:, columns], shares[columns])
        basic = columns[shares[columns] > 0]
    return shares


def _without_dependence(M, shares) -> Tensor:
    """Move non-negative shares (k,) along the null space of M until none is left."""
    _, sigma, Vt = torch.linalg.svd(M * shares, full_matrices=True)
    rank = int((sigma > _DEPENDENT * sigma[:1]).sum())
    null = Vt[rank:]  # null space of relative changes of the shares, (k - rank, k)
    change = torch.ones_like(shares)
    while len(null):
        direction = null[-1] / null[-1].abs().max()
        direction = direction if (direction > 0).any() else -direction
        lengths = torch.where(direction > 0, change / direction, torch.inf)
        gone = int(lengths.argmin())
        change = (change - lengths[gone] * direction).clamp_min_(0)
        change[gone] = 0
        pivot = int(null[:, gone].abs().argmax())
        rest = torch.cat([null[:pivot], null[pivot + 1 :]])
        null = rest - rest[:, gone, None] / null[pivot, gone] * null[pivot]
        null[:, gone] = 0
    return change * shares
