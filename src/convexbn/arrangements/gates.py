"""Gates and the arrangements they make: which neuron is active on which sample.

A gate g in R^(r+1) makes the arrangement `D = diag(1[U g >= 0])` (Ergen et al. 2022, Section 2;
Pilanci and Ergen 2020).
"""

from itertools import pairwise
from math import comb

import numpy as np
import torch

from convexbn.inputs import check_between

_ROUNDS = 200  # of redrawing duplicates before giving up
_AT_LEAST = 64  # gates drawn in a round: the last few patterns are the rarest
CHUNK_BYTES = 64 * 2**20  # of the product of design and gates, in float64: no more at once
_ROWS = 192  # chunks are multiples of it: whole blocks of matrix products, to round as in one piece


def activation(U, G):
    """Return which gate is active on which sample: the one place that decides `>= 0`.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1)
    G : array or tensor, shape (r + 1, P)

    Returns
    -------
    array or tensor of bool, shape (n, P)
    """
    pieces = [U[..., rows, :] @ G >= 0 for rows in _chunks(U.shape[-2], G.shape[-1])]
    if len(pieces) == 1:
        return pieces[0]
    join = np.concatenate if isinstance(pieces[0], np.ndarray) else torch.cat
    return join(pieces, -2)


def _chunks(n, P):
    """Yield slices of n samples, more than `_ROWS` each, whose products take `CHUNK_BYTES`."""
    step = max(1, CHUNK_BYTES // (8 * P * _ROWS)) * _ROWS
    starts = [*range(0, max(1, n - _ROWS), step), n]
    return (slice(*ends) for ends in pairwise(starts))


def number_of_arrangements(n: int, p: int) -> int:
    """Return the number of arrangements of n points in general position in R^p.

    `2 sum_{k<p} binom(n-1, k)` (Cover 1965); for other data it is an upper bound.
    """
    return 2 * sum(comb(n - 1, k) for k in range(min(p, n)))


def sample_gates(U, P: int, seed) -> np.ndarray:
    """Draw P standard normal gates whose activation patterns on U all differ.

    Parameters
    ----------
    U : ndarray, shape (n, r + 1)
    P : int
        Number of gates.
    seed : int or numpy.random.SeedSequence

    Returns
    -------
    ndarray of float64, shape (r + 1, P)

    Raises
    ------
    ValueError
        If U has fewer than P different patterns, or if 200 rounds of redrawing did not find P.
    """
    U = np.asarray(U)
    n, p = U.shape
    check_between("P", P, 1, number_of_arrangements(n, p))
    generator = np.random.default_rng(seed)
    patterns, gates = set(), []
    for _ in range(_ROUNDS):
        for gate, pattern in _draw(U, max(P - len(gates), _AT_LEAST), generator):
            if pattern not in patterns:
                patterns.add(pattern)
                gates.append(gate)
        if len(gates) >= P:
            return np.stack(gates[:P], axis=1)
    raise ValueError(
        f"found {len(gates)} different activation patterns in {_ROUNDS} rounds of sampling, "
        f"not the P = {P} asked for; ask for fewer gates, or remove repeated rows from the data"
    )


def _draw(U, count, generator):
    """Yield `count` gates, each with the bytes of its pattern."""
    G = generator.standard_normal((U.shape[1], count))
    packed = np.packbits(activation(U, G), axis=0)
    for j in range(count):
        yield G[:, j], packed[:, j].tobytes()
