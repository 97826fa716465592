"""All arrangements of a data set, exactly, by enumerating the cells of its gates' space.

The rows of U cut the space of gates by the planes `{g : u_i^T g = 0}` into cells; inside one, the
pattern `1[U g >= 0]` does not change (Ergen et al. 2022, Section 2; Cover 1965). **The cells of
full dimension are enough**: their closures cover the space, so that every neuron s lies in the
closed cone `(2 D_i - I) U s >= 0` of one, and there `relu(U s) = D_i U s`, because a row with
`u^T s = 0` adds nothing whichever way it is counted. A gate exactly on a plane can have a pattern
of its own, but the cone of that pattern is part of the boundary of a cell's.

Every pattern sampled from a continuous distribution is one of these, unless its gate lies within
rounding, or within the tolerance below, of where planes meet.
"""

import math

import numpy as np

from convexbn.arrangements.gates import active, as_matrix, number_of_arrangements
from convexbn.arrangements.hyperplanes import (
    check_clear,
    count_cells,
    distinct,
    doubt,
    interior_points,
    unit,
)
from convexbn.calls import public
from convexbn.inputs import ArrayLike, check_between, is_number
from convexbn.svd import check_range, largest_entries

_LIMIT = 2_000_000
_TOLERANCE = 1e-11  # far above rounding, far below what happens by chance among millions of cells
_ENTRIES = 2**22  # entries of a product with the design that are held at once


@public
def enumerate_arrangements(
    U: ArrayLike, limit: int = _LIMIT, *, tolerance: float = _TOLERANCE
) -> np.ndarray:
    """Return the activation patterns `1[U g >= 0]` of all cells of full dimension, each once.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1)
        For a CNN the stacked positions, `U.reshape(K * n, r + 1)`.
    limit : int
        Largest number of arrangements; it is checked before the enumeration.
    tolerance : float
        Planes of rows coincide, or meet in one line or subspace, if a change of each row by this
        share of its length (in columns of equal scale) can make them do so. They do not if it takes
        more than ten times this share; anything between is an error. Raise it for data that repeat
        only to float32 precision.

    Returns
    -------
    ndarray of bool, shape (n, P)
        `activation(U, arrangement_gates(U))`, in lexicographic order of the columns. A row of
        zeros is always active; without one, column P - 1 - i is the complement of column i.

    Raises
    ------
    ValueError
        If U is not a finite matrix, its columns differ in size by more than float64 can hold, there
        are more than `limit` arrangements, or rows are neither coincident nor clearly apart.
    """
    U = as_matrix("U", U)
    return _patterns(U, arrangement_gates(U, limit, tolerance=tolerance))


@public
def arrangement_gates(
    U: ArrayLike, limit: int = _LIMIT, *, tolerance: float = _TOLERANCE
) -> np.ndarray:
    """Return a unit gate inside each cell, in the order of :func:`enumerate_arrangements`.

    Parameters and errors are those of :func:`enumerate_arrangements`. Each gate is clear of every
    plane of a row other than zero by more than `tolerance`.

    Returns
    -------
    ndarray of float64, shape (r + 1, P)
    """
    U = as_matrix("U", U)
    check_between("limit", limit, 1, np.inf)
    _check_tolerance(tolerance)
    check_range(largest_entries(U))
    rows, blur, back = _whitened_rows(U, tolerance)
    keep = distinct(rows, blur)
    _check_limit(rows[keep], blur[keep], limit)
    Z = interior_points(rows[keep], blur[keep])  # (q, P)
    for piece in _pieces(len(rows), Z.shape[1]):
        check_clear(rows @ Z[:, piece], blur)
    G = unit(back @ Z)
    return G[:, _lexicographic(_patterns(U, G))]


def _check_tolerance(tolerance: float) -> None:
    """Raise ValueError unless the tolerance is above rounding and far below 1."""
    if not (is_number(tolerance) and 1e-14 <= tolerance <= 1e-3):
        raise ValueError(
            f"tolerance must be from 1e-14 to 1e-3, got {tolerance!r}; {_TOLERANCE} suits float64, "
            "and 1e-6 data that repeat to float32 precision"
        )


def _whitened_rows(U, tolerance):
    """Return the rows other than zero as unit vectors (n', q), their blur, and the way back.

    With columns and rows of one scale, `E = Q diag(sigma) V^T`, the plane of row q_i for z is that
    of row e_i for the gate `V diag(1/sigma) z`. The map is invertible, and the cells are less thin.
    A change of e_i by `tolerance` is one of q_i by at most `tolerance / sigma_q`.
    """
    size = np.abs(U).max(axis=1)
    E = U[size > 0] / size[size > 0, None]  # a row has no scale: only a row of zeros is zero
    scale = np.abs(E).max(axis=0, initial=0)
    scale[scale == 0] = 1
    E = unit((E / scale).T).T
    Q, sigma, Vt = np.linalg.svd(E, full_matrices=False)
    q = np.count_nonzero(sigma > tolerance * np.sqrt(len(E)))  # else a change within tolerance
    lengths = np.linalg.norm(Q[:, :q], axis=1)
    blur = tolerance / (lengths * sigma[:q].min(initial=np.inf))
    return Q[:, :q] / lengths[:, None], blur, Vt[:q].T / sigma[:q] / scale[:, None]


def _check_limit(rows: np.ndarray, blur: np.ndarray, limit: int) -> None:
    """Raise ValueError if these different planes have more than `limit` cells."""
    n, q = rows.shape
    bound = number_of_arrangements(n, q)
    if bound > limit and count_cells(rows, blur, limit) > limit:
        raise ValueError(
            f"expected at most limit = {limit} arrangements, but U, with {n} different directions "
            f"of rank {q}, has more: up to 2 sum_(k<{q}) binom({n - 1}, k) = {_in_words(bound)}; "
            "take fewer samples, truncate to a smaller rank, sample with sample_gates, or raise "
            "the limit"
        )


def _in_words(number: int) -> str:
    """Return a number, or its size: Python writes none of more than 4,300 digits."""
    return str(number) if number < 10**18 else f"about 10^{math.log10(number):.0f}"


def _patterns(U: np.ndarray, G: np.ndarray) -> np.ndarray:
    """Return `activation(U, G)`, (n, P), in pieces that bound the memory of the product."""
    D = np.empty((len(U), G.shape[1]), dtype=bool)
    for piece in _pieces(len(U), G.shape[1]):
        D[:, piece] = active(U, G[:, piece])
    return D


def _pieces(n: int, P: int) -> list[slice]:
    """Return slices of P columns, each with about _ENTRIES entries in n rows."""
    step = max(1, _ENTRIES // max(n, 1))
    return [slice(start, start + step) for start in range(0, P, step)]


def _lexicographic(D: np.ndarray) -> np.ndarray:
    """Return the order of the columns of D as binary numbers; raise if two are the same."""
    packed = np.packbits(D, axis=0)  # (bytes, P)
    padded = np.pad(packed, ((0, -len(packed) % 8), (0, 0)))
    words = np.ascontiguousarray(padded.T).view(">u8").astype(np.uint64)  # (P, words)
    order = np.lexsort(words.T[::-1])
    if (words[order[1:]] == words[order[:-1]]).all(axis=1).any():
        raise doubt()
    return order
