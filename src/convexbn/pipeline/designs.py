"""Designs of the config's runs: stored whitenings, truncated or filtered as an entry says.

A run's entry may have `rank` or `energy`, and a `filter` on the directions that are left
(:mod:`convexbn.whitening`); without any the design keeps the full rank.
"""

import time
from collections.abc import Sequence

import numpy as np

from convexbn.arrangements.gates import sample_gates
from convexbn.whitening import Whitening


def truncated(tensors: dict, entry: dict) -> Whitening:
    """Return a stored whitening, with the `rank` or `energy`, and the `filter`, of an entry."""
    whitening = Whitening.from_tensors(tensors).truncate(entry.get("rank"), entry.get("energy"))
    return whitening.filtered(**entry["filter"]) if "filter" in entry else whitening


def filter_columns(entry: dict) -> dict:
    """Return the columns `filter_kind` and `filter_value` of a run; "" and NaN without a filter."""
    found = entry.get("filter", {"kind": "", "value": np.nan})
    return {f"filter_{key}": found[key] for key in ("kind", "value")}


def whitened(
    features: dict, whitening: Whitening, P: int, seeds: Sequence[int], seconds: float = 0.0
) -> dict:
    """Return the features on which the gated program is trained by SGD, and its gates.

    Parameters
    ----------
    features : dict of ndarray
        The features artifact.
    whitening : Whitening
        Truncated or filtered as the run wants it.
    P : int
        Number of gates.
    seeds : sequence of int
        One set of gates each: those of :func:`convexbn.sample_gates`, as for a solved program.
    seconds : float
        Time that the whitening took.

    Returns
    -------
    dict
        The artifact with `X_*` of unit variance, shape (n, r + 1) or (K, n, r + 1), in its own
        precision; `gates` (S, r + 1, P); `setup_seconds` (S,), the time of whitening and sampling.
    """
    gates, taken = [], []
    for seed in seeds:
        start = time.perf_counter()
        gates.append(sample_gates(whitening.U, P, seed))
        taken.append(seconds + time.perf_counter() - start)
    Z = {
        f"X_{split}": _unit_variance(features[f"X_{split}"], whitening, split == "train")
        for split in ("train", "validation", "test")
    }
    return {**features, **Z, "gates": np.stack(gates), "setup_seconds": np.array(taken)}


def _unit_variance(X: np.ndarray, whitening: Whitening, is_train: bool) -> np.ndarray:
    """Return whitened samples (m, p) or (K, m, p), times sqrt(N), in the precision of X."""
    # The stored coordinates of the training samples are orthonormal to the last digit.
    U = whitening.U.reshape(*X.shape[:-1], -1) if is_train else whitening.transform(X)
    return (len(whitening.U) ** 0.5 * U).astype(X.dtype)


def whitened_run(
    features: dict, tensors: dict, entry: dict, seeds: Sequence[int]
) -> tuple[dict, dict]:
    """Return the features of a run of the config, and its sizes as tables have them.

    Parameters
    ----------
    features, tensors : dict of ndarray
        The features and the whitening artifact.
    entry : dict
        The run's entry in the config: `gates`, and optionally `rank` or `energy`, and `filter`.
    seeds : sequence of int

    Returns
    -------
    features : dict
        The result of :func:`whitened`.
    sizes : dict
        Columns rank, energy, filter_kind, filter_value and gates.
    """
    design = truncated(tensors, entry)
    made = whitened(features, design, entry["gates"], seeds, float(tensors["seconds"]))
    sizes = {"rank": design.rank, "energy": design.energy, **filter_columns(entry)}
    return made, sizes | {"gates": entry["gates"]}
