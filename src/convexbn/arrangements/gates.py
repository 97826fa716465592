"""Gates and their activation patterns: the samples on which each gate's neurons are active.

A gate g in R^(r+1) makes the arrangement `D = diag(1[U g >= 0])` (Ergen et al. 2022, Section 2;
Pilanci and Ergen 2020).
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from convexbn.calls import public
from convexbn.containers import is_tensor
from convexbn.inputs import ArrayLike, as_array, as_tensor, check_between

if TYPE_CHECKING:
    import torch

_ROUNDS = 200  # rounds of redrawing duplicates before giving up
_AT_LEAST = 64  # gates drawn in a round: the last few patterns are the rarest
CHUNK_BYTES = 64 * 2**20  # largest part of the product of design and gates, in float64
_ROWS = 192  # chunks are multiples of it: whole blocks of a matrix product round as in one piece

# Numbers in, numbers of the same kind out.
Array = TypeVar("Array", np.ndarray, "torch.Tensor")


@public
def activation(U: Array, G: Array) -> Array:
    """Return the activation patterns of gates, which are open where `U G >= 0`.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1) or (K, n, r + 1)
    G : array or tensor, shape (r + 1, P)

    Returns
    -------
    array or tensor of bool, shape (n, P) or (K, n, P)
        A tensor if U is one. The product is in single precision if both are, else in double.

    Raises
    ------
    ValueError
        If U or G is not finite, or they do not fit together.
    """
    design, gates = _pair(U, G)
    if design.ndim not in (2, 3) or gates.ndim != 2 or design.shape[-1] != len(gates):
        raise ValueError(
            "U and G must have shapes (n, r + 1), or (K, n, r + 1) in patches, and (r + 1, P), got "
            f"{tuple(design.shape)} and {tuple(gates.shape)}; give gates drawn for this design"
        )
    return active(design, gates)


def _pair(U: Any, G: Any) -> tuple[Any, Any]:
    """Return both as tensors if U is one, else as arrays; in single precision if both are."""
    single = all(str(getattr(A, "dtype", "")).endswith("float32") for A in (U, G))
    dtype = np.float32 if single else np.float64
    if is_tensor(U):
        U = as_tensor("U", U, dtype, copy=False)
        return U, as_tensor("G", G, dtype, device=U.device, copy=False)
    return as_array("U", U, dtype, copy=False), as_array("G", G, dtype, copy=False)


def active(U: Array, G: Array) -> Array:
    """Return the patterns for arrays or tensors that fit together."""
    pieces = [is_open(U[..., rows, :] @ G) for rows in _chunks(U.shape[-2], G.shape[-1])]
    if len(pieces) == 1:
        return pieces[0]
    if isinstance(U, np.ndarray):
        return np.concatenate(pieces, -2)
    import torch  # so that a script that samples gates does not wait for it

    return torch.cat(pieces, -2)


def is_open(Z: Array) -> Array:
    """Return where gates with the pre-activations Z are open; no other place decides about 0."""
    return Z >= 0


def _chunks(n: int, P: int) -> Iterator[slice]:
    """Yield slices of n samples, more than `_ROWS` each, whose products take `CHUNK_BYTES`."""
    step = max(1, CHUNK_BYTES // (8 * max(P, 1) * _ROWS)) * _ROWS
    starts = [*range(0, max(1, n - _ROWS), step), n]
    return (slice(*ends) for ends in pairwise(starts))


def as_matrix(name: str, U: ArrayLike) -> np.ndarray:
    """Return a design as a float64 matrix that is not empty."""
    U = as_array(name, U, copy=False)
    if U.ndim != 2 or 0 in U.shape:
        raise ValueError(
            f"{name} must be a matrix (n, r + 1) with at least one row and column, got shape "
            f"{U.shape}; stack the positions (K, n, r + 1) of a CNN to (K n, r + 1)"
        )
    return U


def number_of_arrangements(n: int, p: int) -> int:
    """Return the number of arrangements of n points in general position in R^p.

    `2 sum_{k<p} binom(n-1, k)` (Cover 1965); for other data it is an upper bound.
    """
    return 2 * sum(math.comb(n - 1, k) for k in range(min(p, n)))


@public
def sample_gates(
    U: ArrayLike, P: int, seed: int | np.random.SeedSequence, *, at_most: bool = False
) -> np.ndarray:
    """Draw P standard normal gates whose activation patterns on U all differ.

    Parameters
    ----------
    U : array or tensor, shape (n, r + 1)
        For a CNN the stacked positions, `U.reshape(K * n, r + 1)`.
    P : int
        Number of gates.
    seed : int or numpy.random.SeedSequence
    at_most : bool
        Whether to be content with those that 200 rounds find, where there are fewer than P.

    Returns
    -------
    ndarray of float64, shape (r + 1, P)

    Raises
    ------
    ValueError
        If U is not a finite matrix, or, unless `at_most`, has fewer than P different patterns or
        200 rounds of redrawing do not find P.
    """
    U = as_matrix("U", U)
    if not isinstance(seed, np.random.SeedSequence):
        check_between("seed", seed, 0, 2**63 - 1)
    n, p = U.shape
    # More than 64 columns have as many as can be asked for; all of full-rank CIFAR take a second to
    # count, and thousands of digits.
    most = min(number_of_arrangements(n, min(p, 64)), 2**63 - 1)
    check_between("P", P, 1, math.inf if at_most else most)
    P = min(P, most)
    generator = np.random.default_rng(seed)
    patterns: set[bytes] = set()
    gates: list[np.ndarray] = []
    for _ in range(_ROUNDS):
        for gate, pattern in _draw(U, max(P - len(gates), _AT_LEAST), generator):
            if pattern not in patterns:
                patterns.add(pattern)
                gates.append(gate)
        if len(gates) >= P:
            break
    if at_most or len(gates) >= P:
        return np.stack(gates[:P], axis=1)
    raise ValueError(
        f"found {len(gates)} different activation patterns in {_ROUNDS} rounds of sampling, "
        f"not the P = {P} asked for; ask for fewer gates or at_most=True, or remove repeated rows "
        "from the data"
    )


def _draw(
    U: np.ndarray, count: int, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, bytes]]:
    """Yield `count` gates, each with the bytes of its pattern."""
    G = generator.standard_normal((U.shape[1], count))
    packed = np.packbits(active(U, G), axis=0)
    for j in range(count):
        yield G[:, j], packed[:, j].tobytes()
