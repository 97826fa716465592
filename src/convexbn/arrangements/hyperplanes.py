"""The cells of a central arrangement of hyperplanes `{z : u_i^T z = 0}`, and a point in each.

**Deletion and restriction.** The plane of row k cuts exactly the cells of the rows before it that
it intersects, and the intersections are the cells of those rows' restriction to the plane: the same
problem in one dimension less. A point z inside such an intersection becomes two, `z +- eps u_k`,
where eps is half the way to the next plane. A basis of the rows comes first, whose cells are all
sign vectors; in rank 2 the cells are the gaps between sorted angles. A tree of cuts tells in which
cell a point lies. So n different planes of rank q have (Zaslavsky 1975)

    2^q + sum_(k>q) (cells of the rows before k, restricted to plane k)

cells, which is Cover's `2 sum_(j<q) binom(n-1, j)` in general position and, as each restriction has
at least 2^(q-1), never less than `2^(q-1) (n-q+2)`.

**Blur.** Rows are unit vectors, (n, q), each with the angle by which it may be wrong. Rows nearer
to one another than the sum of their blurs, up to sign, are one plane; beyond ten times that, they
are two; between, an error says so. Restriction to a plane at angle theta divides the two rows'
blurs by sin(theta), so that several planes go through one subspace if a change of each row within
its blur can bring them there.
"""

from collections import deque

import numpy as np

_CLEARLY = 10  # times the blur


def distinct(rows: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Return the sorted indices of one row per plane, the least blurred where rows coincide.

    Parameters
    ----------
    rows : ndarray, shape (n, q)
        Unit vectors; u and -u have the same plane.
    blur : ndarray, shape (n,)

    Raises
    ------
    ValueError
        If rows neither coincide nor clearly differ.
    """
    line = np.cos(np.arange(1, rows.shape[1] + 1))  # no lattice is symmetric about it
    shadow = np.abs(rows @ line)  # only rows of nearly the same shadow can coincide
    order = np.argsort(shadow)
    reach = 2 * _CLEARLY * blur.max(initial=0) * np.linalg.norm(line)
    apart = np.diff(shadow[order]) > reach
    if apart.all():
        return np.arange(len(rows))
    run = np.empty(len(rows), dtype=int)
    run[order] = np.cumsum(np.append(0, apart))
    return _leaders(rows, blur, run)


def count_cells(rows: np.ndarray, blur: np.ndarray, stop: float = np.inf) -> int:
    """Return the number of cells, or a lower bound that exceeds `stop` as soon as there is one.

    Parameters
    ----------
    rows : ndarray, shape (n, q)
        Unit vectors of different planes, of rank q.
    blur : ndarray, shape (n,)
    """
    total, queue = _fewest(rows), deque([(rows, blur)])
    while queue and total <= stop:
        rows, blur = queue.popleft()
        n, q = rows.shape
        if q <= 2 or n == q:
            continue  # the fewest cells are all
        order = _basis_first(rows)
        rows, blur = rows[order], blur[order]
        total += 2**q - _fewest(rows)
        for k in range(n - 1, q - 1, -1):
            inside, inside_blur, _ = _restrict(rows, blur, k)
            total += _fewest(inside)
            queue.append((inside, inside_blur))
            if total > stop:
                break
    return total


def interior_points(rows: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Return a unit vector inside each cell, shape (q, number of cells).

    Parameters
    ----------
    rows : ndarray, shape (n, q)
        Unit vectors of different planes, of rank q.
    blur : ndarray, shape (n,)

    Raises
    ------
    ValueError
        If the blur leaves the side of a plane on which a point lies in doubt.
    """
    n, q = rows.shape
    if n == q:
        return _orthants(rows)
    if q == 2:
        return _sectors(rows)
    order = _basis_first(rows)
    return _cut_one_by_one(rows[order], blur[order])


def check_clear(heights: np.ndarray, blur: np.ndarray) -> None:
    """Raise ValueError where a point's height above a plane, (n, P), is within its blur (n,)."""
    if (np.abs(heights) <= blur[:, None]).any():
        raise doubt()


def doubt() -> ValueError:
    """Return the error for rows between coincident and clearly apart."""
    return ValueError(
        "expected rows whose planes clearly coincide (or meet in a line or subspace) or clearly do "
        "not, but some are near the tolerance; round the data, raise the tolerance so that nearly "
        "coincident counts as coincident, or lower it"
    )


def unit(Z: np.ndarray) -> np.ndarray:
    """Return the columns of Z scaled to unit length; a zero column stays."""
    lengths = np.linalg.norm(Z, axis=0)
    return Z / np.where(lengths > 0, lengths, 1)


def _leaders(rows: np.ndarray, blur: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Return the sorted indices of one row per plane, comparing the rows of a run only."""
    rest, kept = np.lexsort((blur, run)), []
    while len(rest):
        first = np.append(True, np.diff(run[rest]) > 0)
        kept.append(rest[first])
        leader = rest[first][np.cumsum(first) - 1]
        distances = [np.linalg.norm(rows[rest] + s * rows[leader], axis=1) for s in (-1, 1)]
        quotient = np.minimum(*distances) / (blur[rest] + blur[leader])
        if ((quotient > 1) & (quotient < _CLEARLY)).any():
            raise doubt()
        rest = rest[quotient > 1]
    return np.sort(np.concatenate(kept))


def _fewest(rows: np.ndarray) -> int:
    """Return the least number of cells that n planes of rank q can have."""
    n, q = rows.shape
    return 2 ** (q - 1) * (n - q + 2) if q else 1


def _basis_first(rows: np.ndarray) -> np.ndarray:
    """Return an order of the rows that starts with a well conditioned basis."""
    rest, basis = rows.copy(), []
    for _ in range(rows.shape[1]):
        basis.append(int(np.argmax((rest**2).sum(axis=1))))
        direction = rest[basis[-1]] / np.linalg.norm(rest[basis[-1]])
        rest -= np.outer(rest @ direction, direction)
    return np.append(basis, np.delete(np.arange(len(rows)), basis))


def _restrict(rows, blur, k):
    """Restrict the rows before k to plane k: rows (n', q - 1), their blur, the plane's basis."""
    basis = _plane(rows[k])
    inside = rows[:k] @ basis
    sines = np.linalg.norm(inside, axis=1)
    inside, blur = inside / sines[:, None], (blur[:k] + blur[k]) / sines
    keep = distinct(inside, blur)
    return inside[keep], blur[keep], basis


def _plane(u: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis (q, q - 1) of the plane of u, from the reflection to an axis."""
    v = u.copy()
    v[0] += np.copysign(1, u[0])
    return (np.eye(len(u)) - np.outer(v, v / abs(v[0])))[:, 1:]  # v^T v = 2 |v_0|


def _orthants(rows: np.ndarray) -> np.ndarray:
    """Return points at the same distance from all planes of a basis, (q, 2^q).

    Bit i of the column's number is the side of row i.
    """
    q = len(rows)
    signs = np.where(np.arange(2**q) >> np.arange(q)[:, None] & 1, 1.0, -1.0)
    return unit(np.linalg.solve(rows, signs))


def _sectors(rows: np.ndarray) -> np.ndarray:
    """Return the middles of the sectors in rank 2, (2, 2 n)."""
    edges = np.sort(np.mod(np.arctan2(rows[:, 0], -rows[:, 1]), np.pi))
    middles = (edges + np.append(edges[1:], edges[0] + np.pi)) / 2
    Z = np.stack([np.cos(middles), np.sin(middles)])
    return np.hstack([Z, -Z])


def _cut_one_by_one(rows: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Return a point inside each cell, adding one plane after another to those of a basis."""
    n, q = rows.shape
    cuts, points = _Cuts(q), [_orthants(rows[:q])]
    for k in range(q, n):
        inside, inside_blur, basis = _restrict(rows, blur, k)
        Z = basis @ interior_points(inside, inside_blur)  # (q, R), one in each cell that is cut
        heights = rows[:k] @ Z  # (k, R)
        check_clear(heights, blur[:k])
        cuts.add(heights >= 0, k)
        points.append(_both_sides(Z, heights, rows[:k] @ rows[k], rows[k]))
    return np.hstack(points)[:, cuts.whole()]


def _both_sides(Z, heights, slopes, u):
    """Return points below and above plane u in turn, half the way to the next plane, or to 1."""
    heights = np.abs(heights)
    steps = heights / np.maximum(heights, np.abs(slopes)[:, None])
    step = steps.min(axis=0) / 2  # (R,)
    sides = np.stack([Z - step * u[:, None], Z + step * u[:, None]], axis=2)  # (q, R, 2)
    return unit(sides.reshape(len(u), -1))


class _Cuts:
    """The tree of cuts, which tells the cell of a point from its sides of the planes that cut.

    Nodes 0 to 2^q - 1 are the orthants of the basis. A cut gives a cell two parts, the nodes
    `first` below the plane and `first + 1` above; 0 is a cell that is whole.
    """

    def __init__(self, q: int):
        self.q, self.size = q, 2**q
        self.first, self.plane = np.zeros((2, 2 * self.size), dtype=np.intp)

    def add(self, above: np.ndarray, k: int) -> None:
        """Let plane k cut the cells of points with these sides, (k, R), one point in each."""
        cells = self._locate(above)
        parts = self.size + 2 * np.arange(len(cells))
        self.size += 2 * len(cells)
        while self.size > len(self.first):
            self.first = np.append(self.first, np.zeros_like(self.first))
            self.plane = np.append(self.plane, np.zeros_like(self.plane))
        self.first[cells], self.plane[cells] = parts, k
        if (self.first[cells] != parts).any():
            raise doubt()  # two points in one cell

    def whole(self) -> np.ndarray:
        """Return whether each node is a cell that was not cut."""
        return self.first[: self.size] == 0

    def _locate(self, above: np.ndarray) -> np.ndarray:
        """Return the node of the whole cell of each point."""
        node = 2 ** np.arange(self.q) @ above[: self.q]
        points = np.arange(len(node))
        while (parted := self.first[node] > 0).any():
            node = np.where(parted, self.first[node] + above[self.plane[node], points], node)
        return node
