"""Centring, and the singular value decomposition, of data whose features may be of any size.

An SVD in floating point is accurate relative to its largest singular value, so features in small
units drown in the rounding of those in large ones. Batch normalization sees no units. Features
whose sizes differ by more than `GRADED` are therefore decomposed in two steps. With each feature at
length 1 the data are

    C = B diag(c),   B = Q diag(s) W^T,   M = diag(s) W^T diag(c),   C = Q M,

an ordinary SVD of B, and M (r, d) is all that the sizes c enter. Its left singular vectors P come
from a one-sided Jacobi iteration, which is accurate relative to each singular value if columns
differ in size alone (Demmel and Veselic 1992; Drmac and Veselic 2008), in time r^3. Then `U = Q P`.

Where features depend on each other, M is first written as that of independent ones times the shares
that these have in all: the rounding of a large feature would else pass for a share of a small one,
and V be anything. Of features that depend on each other but for 10^-k of their length, k of the
sixteen digits of the direction in which they differ are lost, as in any units.
"""

import logging
from typing import NamedTuple

import numpy as np

from convexbn.calls import warn

_logger = logging.getLogger(__name__)

GRADED = 1e4  # largest ratio of the sizes of two features that one SVD takes
_DIGITS = 140  # between two features: the square of their ratio is an entry of V
_FAR = 16  # from zero in units of the spread: its mean is taken twice
_SWEEPS = 60  # about 10 do
_NOISES = 4  # left of a column that is a combination of others
_EPS = np.finfo(np.float64).eps
ROUNDED = 1e-12  # in sums of squares, relative
_OFF = 5e-14  # cosine of singular and constant vector that is not let stand
_LEAST = 1e-300  # singular value whose inverse, times what is of order 1, float64 holds


class SVD(NamedTuple):
    """`C = U diag(sigma) V^T`, without the directions that rounding explains."""

    U: np.ndarray  # (n, r)
    sigma: np.ndarray  # (r,), in descending order
    V: np.ndarray  # (d, r)


def centre(C: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Subtract the mean of each column of C, in place, and return it.

    Columns that vary by less than their rounding become 0.
    """
    before, mean = lengths(C), C.mean(axis=0)
    C -= mean
    # The rounding of a mean is relative to the data, not to what is left after it.
    far = before > _FAR * lengths(C)
    rest = C[:, far].mean(axis=0)
    C[:, far] -= rest
    mean[far] += rest
    after = lengths(C)
    lost = (after > 0) & (after <= rounding)
    warn_of_lost(np.flatnonzero(lost).tolist())
    C[:, lost] = 0
    return mean


def warn_of_lost(columns: list[int]) -> None:
    """Warn of columns, if there are some, of which rounding has left no variation."""
    if columns:
        warn(
            f"columns {columns} of X vary by less than the rounding of their numbers and count as "
            "constant; subtract an offset before they are rounded"
        )


def svd(C: np.ndarray, rounding: np.ndarray) -> SVD:
    """Return the compact SVD of centred data.

    Parameters
    ----------
    C : ndarray of float64, shape (n, d)
        With a largest entry whose square float64 can hold. Columns of zeros are allowed.
    rounding : ndarray, shape (d,)
        Bound of the rounding in each column, as a length. A right singular vector v is dropped if
        `||C v||` is at most `sum_j |v_j| rounding_j`, or the rounding of the SVD itself.

    Raises
    ------
    ValueError
        If features differ in size by more than the squares of float64 can hold.
    """
    sizes = lengths(C)
    some = sizes > 0
    check_range(sizes)
    if not some.all():
        # Apart from the others: an SVD would give them entries of V of the size of its rounding.
        if not some.any():
            return SVD(np.empty((len(C), 0)), np.empty(0), np.empty((C.shape[1], 0)))
        part = svd(C[:, some], rounding[some])
        V = np.zeros((C.shape[1], len(part.sigma)))
        V[some] = part.V
        return part._replace(V=V)
    if sizes.max() <= GRADED * sizes.min():
        return _plain(C, rounding)
    return _graded(C, sizes, rounding)


def largest_entries(C: np.ndarray) -> np.ndarray:
    """Return the largest magnitude in each column, shape (d,)."""
    return np.maximum(C.max(axis=0), -C.min(axis=0))


def lengths(C: np.ndarray) -> np.ndarray:
    """Return the norms of columns of any sizes, shape (d,)."""
    largest = largest_entries(C)
    scaled = C / np.where(largest > 0, largest, 1)
    return largest * np.sqrt(np.einsum("ij,ij->j", scaled, scaled))


def _plain(C: np.ndarray, rounding: np.ndarray) -> SVD:
    """Return the SVD of columns of about one size."""
    U, sigma, Vt = np.linalg.svd(C, full_matrices=False)
    by_svd = max(C.shape) * _EPS * sigma[0]
    # The centred data are orthogonal to the constant vector.
    found = (sigma > by_svd) & (np.arange(len(sigma)) < len(C) - 1)
    kept = found & (sigma > np.abs(Vt) @ rounding)
    if lost := np.count_nonzero(found & ~kept):
        _logger.info("%d directions of X are no more than rounding and are left out", lost)
    return SVD(U[:, kept], sigma[kept], np.ascontiguousarray(Vt[kept].T))


def _graded(C: np.ndarray, sizes: np.ndarray, rounding: np.ndarray) -> SVD:
    """Return the SVD of columns of very different sizes."""
    order = np.argsort(-sizes, kind="stable")
    c, noise = sizes[order] / sizes.max(), (rounding / sizes)[order]
    Q, s, W = _plain(C[:, order] / sizes[order], noise)
    B = (W * s).T  # (r, d): the columns of the data, at length 1, in the coordinates Q
    # B is as accurate as the SVD that it comes from, whatever the data are.
    chosen, shares = _independent(B, c, noise + max(C.shape) * _EPS * s[0])
    K, L = _orthogonal((shares * c / c[chosen, None]).T)
    c = c[chosen]
    M = B[:, chosen] * c @ L.T  # (r, r), and the data are Q M K^T
    P, sigma = _left_vectors(M)
    # Of its right vectors, with a rounding of `sigma_i / c_j` or of `c_j / sigma_i`.
    by_inverse = np.linalg.solve(M / c, P) / c[:, None] * sigma
    Z = np.where(sigma < c[:, None], by_inverse, M.T @ P / sigma)
    V = np.empty(W.shape)
    V[order] = K @ Z
    return SVD(Q @ P, sigma * sizes.max(), V)


def _independent(B: np.ndarray, c: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns that span those of B (r, d), and the shares (r, d) of each in all columns.

    The next one is always that of which the others leave most, in the sizes c (d,): shares are then
    about one at most in these sizes, also where a large column depends on others but for ten
    digits. A column of which only `noise` is left is a combination, and takes no further share:
    those chosen later may be smaller by any factor, so that a share of rounding would be none.
    """
    r, d = B.shape
    chosen: list[int] = []
    rest, shares, is_open = B.copy(), np.zeros((r, d)), np.ones(d, dtype=bool)
    basis, inverse = np.zeros((r, r)), np.zeros((r, r))
    for k in range(r):
        left = np.linalg.norm(rest, axis=0)
        is_open &= left > _NOISES * (noise + noise[chosen] @ np.abs(shares[:k]))
        if not is_open.any():
            return _independent(B, c, noise / 10)
        j = int(np.argmax(np.where(is_open, c * left, 0)))
        again = basis[:k] @ rest[:, j]  # once more, for what rounding left
        direction = rest[:, j] - again @ basis[:k]
        x, length = shares[:k, j] + inverse[:k, :k] @ again, np.linalg.norm(direction)
        basis[k], inverse[:k, k], inverse[k, k] = direction / length, -x / length, 1 / length
        share = np.where(is_open, basis[k] @ rest / length, 0)
        share[j] = 1
        rest -= np.outer(basis[k], share * length)
        shares[:k] -= np.outer(x, share)
        shares[:k, j], shares[k], is_open[j] = 0, share, False
        chosen.append(j)
    return np.array(chosen), shares


def _orthogonal(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `A = K L`, K with orthonormal columns and L lower triangular.

    A column of A begins at a smaller feature than those before it, and so does that of K. By its
    Gram matrix, as reflections would round small entries relative to large ones.
    """
    lower = np.linalg.cholesky((A.T @ A)[::-1, ::-1])
    upper = lower[::-1, ::-1]  # A^T A = upper upper^T
    return np.linalg.solve(upper, A.T).T, upper.T


def _left_vectors(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the left singular vectors (r, r) and singular values of M (r, d) of rank r.

    The columns may have any sizes.
    """
    order = np.argsort(-lengths(M), kind="stable")
    Q, R = np.linalg.qr(M[:, order])
    _, L = np.linalg.qr(R.T)  # R^T = Q2 L, so that M = Q L^T Q2^T
    J, sigma = _jacobi(L)
    order = np.argsort(-sigma, kind="stable")
    return Q @ J[:, order], sigma[order]


def _jacobi(L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the right singular vectors and the singular values of a square matrix.

    Rotations of two columns make them orthogonal, pair after pair, until all are.
    """
    columns, J = L.T.copy(), np.eye(len(L))  # rows are the columns of L and of the rotation
    for _ in range(_SWEEPS):
        if not sum(_rotate(columns, J, first, second) for first, second in _rounds(len(L))):
            break
    return J.T, lengths(columns.T)


def _rotate(columns: np.ndarray, J: np.ndarray, first: np.ndarray, second: np.ndarray) -> int:
    """Make disjoint pairs of columns orthogonal, in place; return how many were not."""
    a, b = columns[first], columns[second]
    aa, bb, ab = (np.einsum("ij,ij->i", x, y) for x, y in ((a, a), (b, b), (a, b)))
    wrong = np.abs(ab) > _EPS * np.sqrt(len(columns)) * np.sqrt(aa) * np.sqrt(bb)
    if not wrong.any():
        return 0
    first, second = first[wrong], second[wrong]
    cotangent = (bb - aa)[wrong] / ab[wrong] / 2  # of twice the angle
    tangent = 1 / (cotangent + np.copysign(np.hypot(1, cotangent), cotangent))
    cosine = (1 / np.hypot(1, tangent))[:, None]
    sine = tangent[:, None] * cosine
    for A in (columns, J):
        a, b = A[first], A[second]
        A[first], A[second] = cosine * a - sine * b, sine * a + cosine * b
    return len(first)


def _rounds(r: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return all pairs of 0..r-1 in rounds of disjoint pairs, as in a tournament."""
    ring, rounds = np.arange(r + r % 2), []
    for _ in range(len(ring) - 1):
        first, second = ring[: len(ring) // 2], ring[: len(ring) // 2 - 1 : -1]
        real = (first < r) & (second < r)
        rounds.append((first[real], second[real]))
        ring = np.concatenate([ring[:1], ring[-1:], ring[1:-1]])
    return rounds


def check_range(sizes: np.ndarray) -> None:
    """Raise ValueError if the sizes of features, but those of size 0, are too different."""
    logs = np.log10(sizes[sizes > 0])
    ratio = logs.max(initial=-np.inf) - logs.min(initial=np.inf)
    if ratio > _DIGITS:
        raise ValueError(
            f"the features must not differ in size by more than a factor of 1e{_DIGITS}, got "
            f"1e{ratio:.0f}; divide each by its spread"
        )


def centre_exactly(U: np.ndarray) -> None:
    """Subtract from singular vectors, in place, what a small singular value made of rounding."""
    mean = U.mean(axis=0)
    far = np.abs(mean) * np.sqrt(len(U)) > _OFF
    U[:, far] -= mean[far]


def squares(sigma: np.ndarray, first: float | None = None) -> np.ndarray:
    """Return squares; if float64 cannot hold them, in units of the first."""
    return (sigma / power_of_two(sigma[0] if first is None else first)) ** 2


def total_energy(sigma: np.ndarray, sizes: np.ndarray) -> float:
    """Return the sum of squares of the features of these sizes, in the units of `sigma`."""
    kept, every = float(squares(sigma).sum()), float(squares(sizes, sigma[0]).sum())
    return every if every > (1 + ROUNDED) * kept else kept


def power_of_two(size: float) -> float:
    """Return a unit near numbers whose squares float64 cannot hold, and 1 for others."""
    return 1.0 if size == 0 or 1e-100 < size < 1e100 else 2.0 ** int(np.log2(size))


def check_rank(sigma: np.ndarray) -> None:
    """Raise ValueError if there is no singular value, or one is too small for float64."""
    if len(sigma) == 0:
        raise ValueError(
            "all rows of X are equal, up to rounding, so the centred data have rank 0 and batch "
            "normalization has nothing to normalize; give data in which at least one feature varies"
        )
    if sigma[-1] < _LEAST:
        raise ValueError(
            f"the features must not be smaller than {_LEAST:.0e}, got a singular value of "
            f"{sigma[-1]:.1e}; divide them by their spreads"
        )
