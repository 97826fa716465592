"""A search over the sphere for neurons that violate the dual constraint of the exact problem.

With the residual v of a network on the whitened design U, the network is optimal if and only if

    g(w) = |sum_i v_i relu(u_i w)| <= beta   for every ||w|| = 1,

and a w with more is a neuron that would lower the objective. g is a difference of convex functions
with many local maxima, so the search climbs from many starts at once and cannot prove that it has
seen the highest. Its first part is projected ascent, `w <- U^T D v / ||.||` with D the pattern of
w, a step towards that where the whole of it would be a step down. Samples with a residual of the
wrong sign bend g down where their pre-activation changes its sign, so most maxima lie on such
kinks, which ascent approaches in zigzag. The second part therefore finds the minima of

    h(s) = ||s||^2 / 2 - sum_i v_i soft_relu(u_i s),     min h = -g^2 / 2 at s = g(w) w,

by Newton's method, as the soft ReLU of :func:`soft_relu` sharpens.
"""

import torch
from torch import Tensor

_NEAR = 0.3  # distance of starts from known neurons
_ASCENT = 20  # projected steps per start
_SHARPER = (1e-1, 1e-2, 1e-3, 1e-5)  # softness of the ReLU in a refinement
_NEWTON = 5  # steps at each of these
_HALVINGS = 8
_ALIKE = 0.999  # cosine above which two candidates are one
_OUTER = 2**26  # bytes of outer products of rows that are held at once
_WORTH = 0.5  # least value of a candidate that is refined, of beta or the highest


def soft_relu(Z: Tensor, softness: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(z + sqrt(z^2 + softness^2)) / 2` and its first two derivatives.

    It smooths the kink as an interior-point method does: the first derivative is the share of a
    sample's residual that the neuron feels, and tends to the multiplier of a sample on the kink.
    """
    root = (Z.square() + softness**2).sqrt()
    return (Z + root) / 2, (1 + Z / root) / 2, softness**2 / (2 * root**3)


def grams(rows: Tensor, weights: Tensor) -> Tensor:
    """Return `rows^T diag(weights_j) rows`, shape (m, p, p), of weights (h, m)."""
    p = rows.shape[1]
    out = rows.new_zeros(weights.shape[1], p * p)
    step = max(1, _OUTER // (8 * p * p))
    for some, share in zip(rows.split(step), weights.split(step), strict=True):
        out += share.T @ (some[:, :, None] * some[:, None, :]).flatten(1)
    return out.view(-1, p, p)


def values(rows: Tensor, v: Tensor, W: Tensor) -> Tensor:
    """Return `sum_i v_i relu(u_i w_j)`, shape (m,), of W (m, p); v (h, 1) or (h, m)."""
    return ((rows @ W.T).clamp_min_(0) * v).sum(0)


def search(
    rows: Tensor,
    v: Tensor,
    beta: float,
    starts: int,
    generator: torch.Generator,
    known: Tensor,
    refined: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Look for the neurons with the largest values.

    Parameters
    ----------
    rows : Tensor, shape (h, p)
        The design; all rows of all patches for a convolutional network.
    v : Tensor, shape (h, 1)
        Residual of the sample of each row.
    beta : float
    starts : int
        Random starts; as many near known neurons, and half as many rows, are starts too.
    generator : torch.Generator
    known : Tensor, shape (k, p)
        Neurons that serve as starts too.
    refined : int
        Number of candidates to refine; ascent alone leaves them below their maxima.

    Returns
    -------
    W : Tensor, shape (m, p)
        Unit vectors, all different, from the highest value down; each value is above half of beta,
        or half of the highest.
    signs : Tensor, shape (m,)
        Signs of the output weights that would lower the objective.
    values : Tensor, shape (m,)
    """
    W = _starts(rows, starts, generator, known).repeat(2, 1)
    signs = W.new_ones(len(W))
    signs[len(W) // 2 :] = -1
    W, height = _ascended(rows, v * signs, W)
    kept = _different(W, signs, height, beta, refined)
    W, signs, height = _refined(rows, v, beta, W[kept], signs[kept], height[kept])
    order = height.argsort(descending=True)
    return W[order], signs[order], height[order]


def _starts(rows, starts, generator, known):
    """Return unit vectors (S, p): random ones, rows of the design, known ones and near these."""
    noise = torch.randn(
        2 * starts, rows.shape[1], generator=generator, dtype=rows.dtype, device="cpu"
    )
    noise = _units(noise.to(rows))
    picked = torch.randperm(len(rows), generator=generator, device="cpu")[: (starts + 1) // 2].to(
        rows.device
    )
    side = noise[: len(picked), :1].sign()
    parts = [noise[:starts], side * rows[picked], known]
    if len(known):
        which = torch.randint(len(known), (starts,), generator=generator, device="cpu").to(
            rows.device
        )
        parts.append(_units(known)[which] + _NEAR * noise[starts:])
    return _units(torch.cat(parts))


def _units(W):
    tiny = torch.finfo(W.dtype).tiny
    return W / torch.linalg.vector_norm(W, dim=1, keepdim=True).clamp_min(tiny)


def _slopes(rows, v, W):
    """Return `U^T D_j v`, shape (m, p), D_j the pattern of w_j."""
    return (v * (rows @ W.T >= 0)).T @ rows


def _ascended(rows, v, W) -> tuple[Tensor, Tensor]:
    """Return W (m, p) after projected ascent, and the values; v (h, m)."""
    # A full step jumps to the maximum for the present pattern, which the new pattern may not share:
    # across a kink it can go down, and two points can alternate for ever. So each start has a share
    # of its own, and only steps that go up count.
    share = W.new_ones(len(W), 1)
    slopes = _slopes(rows, v, W)
    height = (slopes * W).sum(1)
    for _ in range(_ASCENT):
        there = _units(W + share * (_units(slopes) - W))
        slopes_there = _slopes(rows, v, there)
        height_there = (slopes_there * there).sum(1)
        up = height_there > height
        W = torch.where(up[:, None], there, W)
        slopes = torch.where(up[:, None], slopes_there, slopes)
        height = torch.where(up, height_there, height)
        share = torch.where(up[:, None], (1.5 * share).clamp_max(1), 0.4 * share)
    return W, height


def _refined(rows, v, beta, W, signs, height) -> tuple:
    """Return the different local maxima (k, p) that W (m, p) lead to, signs, and their values."""
    # With a hard ReLU at once, Newton's method would stop at the first kink: a soft one pulls
    # across, and sharpens when the right kinks are near. Many starts meet on the way, and doing
    # without the copies makes the later, sharper steps cheap.
    S = height[:, None] * W
    size = torch.linalg.vector_norm(rows) / rows.numel() ** 0.5  # pre-activation of a unit vector
    for relative in _SHARPER:
        for _ in range(_NEWTON):
            S = _newton(rows, v * signs, S, relative * size * height)
        there = _units(S)
        height_there = values(rows, v * signs, there)
        up = height_there > height
        W = torch.where(up[:, None], there, W)
        height = torch.where(up, height_there, height)
        kept = _different(W, signs, height, beta, len(W))
        W, signs, height, S = W[kept], signs[kept], height[kept], S[kept]
    return W, signs, height


def _newton(rows, v, S, softness):
    """Return S (m, p) after a Newton step on h, halved until h falls.

    The kinks that bend h down are left out of the matrix: with them it could be indefinite, and the
    step lead to a saddle point of h instead of a minimum.
    """
    soft, slope, bend = soft_relu(rows @ S.T, softness)
    h = S.square().sum(1) / 2 - (v * soft).sum(0)
    gradient = S - (v * slope).T @ rows
    matrix = torch.eye(S.shape[1], dtype=S.dtype, device=S.device) + grams(
        rows, (-v).clamp_min(0) * bend
    )
    step = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(matrix))[..., 0]
    fall, length = (step * gradient).sum(1), torch.ones_like(h)
    for _ in range(_HALVINGS):
        there = S - length[:, None] * step
        soft = soft_relu(rows @ there.T, softness)[0]
        too_long = there.square().sum(1) / 2 - (v * soft).sum(0) > h - 1e-4 * length * fall
        if not too_long.any():
            break
        length = torch.where(too_long, length / 2, length)
    return torch.where(too_long[:, None], S, there)


def _different(W, signs, height, beta, most) -> list[int]:
    """Return the indices of the highest candidates, one per sign and direction."""
    top = float(height.max()) if len(height) else 0.0
    worth = (height > _WORTH * min(top, beta)) & (height > 0)
    order = height.masked_fill(~worth, -torch.inf).argsort(descending=True)[: int(worth.sum())]
    alike = ((W @ W.T > _ALIKE) & (signs[:, None] == signs)).cpu()
    kept: list[int] = []
    covered = torch.zeros(len(W), dtype=torch.bool, device="cpu")
    for i in order.tolist():
        if len(kept) == most:
            break
        if not covered[i]:
            kept.append(i)
            covered |= alike[i]
    return kept
