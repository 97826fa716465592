"""Facets of the cones of arrangements: the constraints that do not follow from the others.

Row i bounds the cone of a pattern if and only if the pattern with only entry i changed is an
arrangement too: the cell on the other side of that facet. In general position a cell in R^p has
fewer than 2 (p - 1) facets on average, however many samples there are (Fukuda, Saito, Tamura and
Tokuyama 1991).
"""

import torch

from convexbn.arrangements.gates import number_of_arrangements

_KEYS_SEED = 0  # any seed will do: it decides only the hashes of the patterns


def facets(D: torch.Tensor, rank: int) -> torch.Tensor | None:
    """Return the rows that bound the cone of each pattern.

    Parameters
    ----------
    D : Tensor of bool, shape (n, P)
        Patterns.
    rank : int
        Rank of the samples that made them.

    Returns
    -------
    Tensor of int, shape (P, f), or None
        f is the largest number of facets; patterns with fewer repeat their first. None unless D is
        known to hold every arrangement, which it does if all its patterns differ and their number
        is that of n points in general position. Samples of rank 1 are not: their planes coincide.
    """
    n, P = D.shape
    if number_of_arrangements(n, rank) != P or (rank == 1 and n > 1):
        return None
    hashes, keys = _hashes(D)
    known = hashes.sort().values
    if (known[1:] == known[:-1]).any():
        return None
    # Two patterns with the same hash would only add a constraint that is not needed.
    bounds = torch.stack([_contains(known, hashes ^ key) for key in keys], dim=1)  # (P, n)
    most = int(bounds.sum(dim=1).max())
    found, rows = bounds.to(torch.int8).sort(dim=1, descending=True, stable=True)
    return torch.where(found[:, :most] > 0, rows[:, :most], rows[:, :1])


def _hashes(D: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a hash per pattern (P,), the exclusive or of the keys (n,) of its active rows."""
    generator = torch.Generator("cpu").manual_seed(_KEYS_SEED)
    keys = torch.randint(2**63 - 1, (len(D),), generator=generator, device="cpu").to(D.device)
    hashes = torch.zeros(D.shape[1], dtype=torch.int64, device=D.device)
    for row, key in zip(D, keys, strict=True):
        hashes ^= row * key
    return hashes, keys


def _contains(known: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return whether each wanted value is among the known ones, which are sorted."""
    places = torch.searchsorted(known, wanted).clamp_max_(len(known) - 1)
    return known[places] == wanted
