"""Numbers of arrangements: enumerated, by the formula, and found by sampling gates.

The convex program has two blocks per arrangement `1[U g >= 0]`. For n points in general position
in R^p, p = r + 1, there are `2 sum_{k<p} binom(n-1, k)` of them (Cover 1965): a polynomial
in n of degree r, which makes training polynomial (Ergen et al. 2022, Section 2). Sampled gates find
the wide arrangements first and may need very many draws for the narrow ones.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.arrangements.gates import activation, number_of_arrangements
from convexbn.experiments.theory.data import gates_of, regression
from convexbn.whitening import whiten

COLUMNS = ["rank", "n", "kind", "draws", "arrangements"]

_AT_ONCE = 2**16  # gates drawn at a time


def count(settings: dict, seed: int) -> pd.DataFrame:
    """Count the arrangements of standard normal data for every rank and number of samples.

    Parameters
    ----------
    settings : dict
        `ranks`, `samples` (values of n), `limit` (the most arrangements to enumerate; larger
        problems are left out), `draws` (numbers of sampled gates).
    seed : int

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; kind is "enumerated", "formula" or "sampled", and `draws` is the number
        of sampled gates, empty for the others.
    """
    rows = []
    for rank in settings["ranks"]:
        for n in settings["samples"]:
            formula = number_of_arrangements(n, rank + 1)
            if n > rank and formula <= settings["limit"]:
                U = whiten(regression(n, rank, seed)[0]).U
                counts = _counts(U, formula, settings, seed)
                rows += [(rank, n, *entry) for entry in counts]
    return pd.DataFrame(rows, columns=COLUMNS)


def _counts(
    U: np.ndarray, formula: int, settings: dict, seed: int
) -> Iterator[tuple[str, int | None, int]]:
    """Yield kind, draws and number of arrangements of one design."""
    enumerated = enumerate_arrangements(U, limit=settings["limit"])
    yield "enumerated", None, enumerated.shape[1]
    yield "formula", None, formula
    for draws, found in distinct(U, settings["draws"], gates_of(seed)).items():
        yield "sampled", draws, found


def distinct(
    U: np.ndarray, draws: Iterable[int], seed: int | np.random.SeedSequence
) -> dict[int, int]:
    """Return the number of different patterns of the first N gates, for each N of `draws`."""
    generator = np.random.default_rng(seed)
    patterns: set[bytes] = set()
    found: dict[int, int] = {}
    drawn = 0
    for N in sorted(draws):
        while drawn < N:
            G = generator.standard_normal((U.shape[1], min(N - drawn, _AT_ONCE)))
            packed = np.packbits(activation(U, G), axis=0)
            patterns.update(column.tobytes() for column in np.unique(packed, axis=1).T)
            drawn += G.shape[1]
        found[N] = len(patterns)
    return found
