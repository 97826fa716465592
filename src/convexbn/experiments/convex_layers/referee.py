"""The referee of a solved cone program: residuals from the solution alone, whoever solved it."""

import numpy as np
import scipy.sparse as sp


def residual(
    c: np.ndarray, augmented: sp.csc_array, x: np.ndarray, y: np.ndarray, *, cones: list
) -> float:
    """Return the largest relative residual of a solution of min c^T x, A x + s = b, s in K.

    Parameters
    ----------
    c : array (n,)
    augmented : sparse array (m, n + 1)
        [-A, b].
    x, y : array (n,), array (m,)
        The solution and its dual variables.
    cones : list of (name, size or sizes)
        K, as diffcp has it.

    Returns
    -------
    float
        Of the distances of s from K and of y from its dual, of A^T y + c, and of the gap
        c^T x + b^T y, each over one plus the size of what it belongs to. NaN if anything is.
    """
    s = augmented @ np.append(x, 1)
    reduced = augmented.T @ y  # (-A^T y, b^T y)
    primal = outside(s, cones, dual=False) / (1 + np.abs(s).max())
    dual = np.abs(c - reduced[:-1]).max() / (1 + np.abs(c).max())
    gap = abs(c @ x + reduced[-1]) / (1 + abs(c @ x))
    beyond = outside(y, cones, dual=True) / (1 + np.abs(y).max())
    return float(np.max([primal, dual, beyond, gap]))


def outside(v: np.ndarray, cones: list, dual: bool) -> float:
    """Return the largest distance, in one entry, of v (m,) from the cones or from their duals."""
    from diffcp import cones as lib

    distances, start = [0.0], 0
    for cone, sizes in cones:
        for size in np.atleast_1d(sizes).tolist():
            length: int = {lib.PSD: size * (size + 1) // 2, lib.EXP: 3 * size}.get(cone, size)
            part, start = v[start : start + length], start + length
            if not length:
                continue
            if cone == lib.SOC:  # diffcp takes what is nearly in this cone for in it
                distances.append((np.linalg.norm(part[1:]) - part[0]) / 2)
            else:
                distances.append(np.abs(part - lib.pi(part, [(cone, size)], dual)).max())
    return float(np.max(distances))  # NaN if any is
