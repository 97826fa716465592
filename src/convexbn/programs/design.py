"""Passes over the design of the gated program: predictions, their adjoint and derivatives.

The design `A = [D_1 U, ..., D_P U]` is never formed. A pass takes some samples at once
(:mod:`convexbn.programs.memory`), whose intermediates stay in the cache of a CPU.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from convexbn.programs.memory import pass_rows


def forward(U: Tensor, D: Tensor, W: Tensor) -> Tensor:
    """Return `sum_i D_i U W_i`, the predictions.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    W : Tensor, shape (r + 1, P, C)

    Returns
    -------
    Tensor, shape (n, C)
    """
    wide, narrow, swapped = _narrow_last(U, D)
    blocks = W.transpose(0, 1) if swapped else W  # (wide, narrow, C)
    C, columns = W.shape[2], blocks.reshape(len(blocks), -1)
    out = W.new_empty(len(U), C)
    for rows in _chunks(len(U), U.shape[1], D.shape[1], W):
        projected = (numbers(wide[rows], W) @ columns).unflatten(1, (-1, C))  # (rows, narrow, C)
        factor = numbers(narrow[rows], W)
        # Of one output, PyTorch sums a product of matrices much faster than the contraction.
        out[rows] = (
            (factor * projected[:, :, 0]).sum(dim=1, keepdim=True)
            if C == 1
            else torch.einsum("nk,nkc->nc", factor, projected)
        )
    return out


def adjoint(U: Tensor, D: Tensor, V: Tensor) -> Tensor:
    """Return the blocks `U^T D_i V`, the adjoint of :func:`forward`.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    V : Tensor, shape (n, C)

    Returns
    -------
    Tensor, shape (r + 1, P, C)
    """
    wide, narrow, swapped = _narrow_last(U, D)
    C = V.shape[1]
    out = V.new_zeros(wide.shape[1], narrow.shape[1] * C)
    for rows in _chunks(len(U), U.shape[1], D.shape[1], V):
        scaled = numbers(narrow[rows], V)[:, :, None] * V[rows, None]  # (rows, narrow, C)
        out.addmm_(numbers(wide[rows], V).T, scaled.flatten(1))
    out = out.unflatten(1, (-1, C))
    return out.transpose(0, 1).contiguous() if swapped else out


def forward_pairs(U: Tensor, masks: Tensor, W: Tensor, owners: Tensor) -> Tensor:
    """Return the predictions of blocks of which each belongs to one output.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    masks : Tensor of bool or numbers, shape (m, n)
        D_i of the gate of each block.
    W : Tensor, shape (r + 1, m)
    owners : Tensor, shape (C, m)
        1 where a block belongs to an output, otherwise 0.

    Returns
    -------
    Tensor, shape (n, C)
    """
    # Sums of rows would be added in any order on a GPU: as a product they are the same every time.
    W, step = W.T, _step(masks, W)
    out = [
        owners @ (W @ part.T).mul_(numbers(mask, W))
        for part, mask in zip(_cut(U, step), _cut(masks, step, dim=1), strict=True)
    ]
    return (out[0] if len(out) == 1 else torch.cat(out, dim=1)).T


def adjoint_pairs(U: Tensor, masks: Tensor, V: Tensor, columns: Tensor) -> Tensor:
    """Return the blocks `U^T D_i v_c` of pairs of a gate and an output.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    masks : Tensor of bool or numbers, shape (m, n)
        D_i of the gate of each block.
    V : Tensor, shape (n, C)
    columns : Tensor of int, shape (m,)
        The output c of each block.

    Returns
    -------
    Tensor, shape (r + 1, m)
    """
    step, out = _step(masks, V), None
    parts = _cut(U, step), _cut(masks, step, dim=1), _cut(V.T, step, dim=1)
    for part, mask, rows in zip(*parts, strict=True):
        scaled = rows.index_select(0, columns).mul_(numbers(mask, V))
        out = scaled @ part if out is None else out.addmm_(scaled, part)
    assert out is not None  # n > 0
    return out.T


def _step(masks: Tensor, like: Tensor) -> int:
    """Return the samples that a pass over blocks with these masks (m, n) takes at once."""
    m = masks.shape[0]
    return pass_rows(m, m, 1, like.element_size(), like.device.type)


def _cut(x: Tensor, step: int, dim: int = 0) -> Sequence[Tensor]:
    """Return x cut along its samples."""
    return x.split(step, dim) if x.shape[dim] > step else (x,)


def design_gradient(D: Tensor, V: Tensor, W: Tensor) -> Tensor:
    """Return the derivative of `<V, sum_i D_i U W_i>` with respect to the design U.

    Parameters
    ----------
    D : Tensor of bool, shape (n, P)
    V : Tensor, shape (n, C)
    W : Tensor, shape (r + 1, P, C)

    Returns
    -------
    Tensor, shape (n, r + 1)
    """
    columns = W.flatten(1).T  # (P C, r + 1)
    out = V.new_zeros(len(V), W.shape[0])
    if D.shape[1] == 0:
        return out
    for rows in _chunks(len(V), W.shape[0], D.shape[1], V):
        scaled = numbers(D[rows], V)[:, :, None] * V[rows, None]  # (rows, P, C)
        out[rows] = scaled.flatten(1) @ columns
    return out


def _narrow_last(U: Tensor, D: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Order the two factors so that the intermediate of a pass, (n, narrow, C), is the smaller one.

    U and D play the same part in `sum_i D_i U W_i = sum_{a,i} U[:, a] D[:, i] W[a, i]`.
    """
    swapped = U.shape[1] < D.shape[1]
    return (D, U, True) if swapped else (U, D, False)


def _chunks(n: int, p: int, P: int, like: Tensor) -> Iterator[slice]:
    """Yield slices of as many samples as :mod:`convexbn.programs.memory` allows a pass at once."""
    step = pass_rows(p, P, like.shape[-1], like.element_size(), like.device.type)
    for start in range(0, n, step):
        yield slice(start, start + step)


def numbers(block: Tensor, like: Tensor) -> Tensor:
    """Return a block of U or D (m, k) in the precision of another tensor."""
    # Booleans are bytes of 0 and 1, and PyTorch converts bytes several times faster.
    block = block.view(torch.uint8) if block.dtype == torch.bool else block
    if block.stride(0) < block.stride(1):  # converted along its rows, it would be read in leaps
        return block.T.to(like.dtype).T
    return block.to(like.dtype)


def pooled(F: Tensor, patches: int) -> Tensor:
    """Return the predictions (K n, C) of patches summed over each sample's patches, (n, C)."""
    return F.unflatten(0, (patches, -1)).sum(dim=0) if patches > 1 else F
