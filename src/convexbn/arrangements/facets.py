"""The facets of the cones of arrangements: which of their n constraints are needed.

Row i bounds the cone of a pattern, that is, the others do not imply its constraint, if and only if
the pattern with only entry i changed is an arrangement too: the cell on the other side of that
facet. In general position a cell in R^p has fewer than 2 (p - 1) facets on average, however many
samples there are (Fukuda, Saito, Tamura and Tokuyama 1991).
"""

import torch

from convexbn.arrangements.gates import number_of_arrangements

_KEYS_SEED = 0  # any: it decides nothing but which hashes the patterns have


def facets(D, rank: int) -> torch.Tensor | None:
    """Return for each pattern the rows that bound its cone.

    Parameters
    ----------
    D : Tensor of bool, shape (n, P)
        Patterns.
    rank : int
        Of the samples that made them.

    Returns
    -------
    Tensor of int, shape (P, f), or None
        f is the largest number of facets, and patterns with fewer have their first again. None
        unless D is known to hold every arrangement: it does if its patterns all differ and are as
        many as n points in general position have.
    """
    n, P = D.shape
    if number_of_arrangements(n, rank) != P:
        return None
    hashes, keys = _hashes(D)
    known = hashes.sort().values
    if (known[1:] == known[:-1]).any():
        return None
    # Two patterns with the same hash would only name a constraint too many.
    bounds = torch.stack([_contains(known, hashes ^ key) for key in keys], dim=1)  # (P, n)
    most = int(bounds.sum(dim=1).max())
    found, rows = bounds.to(torch.int8).sort(dim=1, descending=True, stable=True)
    return torch.where(found[:, :most] > 0, rows[:, :most], rows[:, :1])


def _hashes(D) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a hash per pattern (P,), the exclusive or of the keys (n,) of its active rows."""
    generator = torch.Generator().manual_seed(_KEYS_SEED)
    keys = torch.randint(2**63 - 1, (len(D),), generator=generator).to(D.device)
    hashes = torch.zeros(D.shape[1], dtype=torch.int64, device=D.device)
    for row, key in zip(D, keys, strict=True):
        hashes ^= row * key
    return hashes, keys


def _contains(known, wanted) -> torch.Tensor:
    """Return which of the wanted values are among the known ones, which are sorted."""
    places = torch.searchsorted(known, wanted).clamp_max_(len(known) - 1)
    return known[places] == wanted
