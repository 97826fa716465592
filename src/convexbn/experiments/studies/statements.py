"""Statements across data sets: on trends with the number of samples or label noise, and on draws.

A trend gives one slope of least squares per seed, and draws of the images one difference each
(:mod:`convexbn.experiments.studies.comparisons`); Student's test says whether their mean is above
zero (:mod:`convexbn.reporting.significance`).
"""

from functools import partial

import numpy as np
import pandas as pd

from convexbn.experiments.studies.comparisons import over_draws, paired
from convexbn.reporting import selection, significance
from convexbn.reporting.claims import (
    Finding,
    Statement,
    about_cifar,
    chosen_of,
    judged,
    setting_words,
    uncertified,
    unless_uncertified,
)
from convexbn.reporting.methods import COMPARISONS, FULL, SGD, TRUNCATED, Comparison, find
from convexbn.reporting.registries import present
from convexbn.reporting.significance import DRAWS, LEVEL, SEEDS

RANKED = (FULL, TRUNCATED)  # programs that differ in their rank


def studies(
    runs: pd.DataFrame, studies: dict[str, dict[str, dict]], datasets: dict[str, dict]
) -> pd.DataFrame:
    """Judge the studies.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    studies : dict
        By the kind of a study ("samples", "noise", "draws") and its name: the values of what
        varies, by the name of the data set.
    datasets : dict
        Entries of the data sets in the config. The statements are about CIFAR.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`; no rows without studies.

    Raises
    ------
    ValueError
        If there is no statement about a kind of study.
    """
    present("kind of study", studies, _KINDS)
    tables = [_of_kind(kind, studies.get(kind, {}), runs, datasets) for kind in _KINDS]
    return pd.concat(tables, ignore_index=True)


def _of_kind(kind: str, named: dict, runs: pd.DataFrame, datasets: dict) -> pd.DataFrame:
    def findings_of(statement: Statement) -> dict[str, Finding]:
        return {
            f"{study} ({', '.join(values)})": _finding(statement, runs, values, datasets)
            for study, values in named.items()
        }

    return judged(_KINDS[kind], findings_of)


def _finding(statement: Statement, runs: pd.DataFrame, values: dict, datasets: dict) -> Finding:
    parts = {x: runs[runs["dataset"] == name] for name, x in values.items()}
    return about_cifar(statement.judge(parts), [datasets[name] for name in values])


def _rank_grows(parts: dict[float, pd.DataFrame]) -> Finding:
    """Judge whether the best k grows with n, as a power of it."""
    ranked = {
        n: selection.candidates(rows[rows["method"].isin(RANKED)]) for n, rows in parts.items()
    }
    if missing := [f"n = {n:,}" for n, rows in ranked.items() if rows.empty]:
        return Finding(f"no program of full rank or truncated at {', '.join(missing)}", "not run")
    ranks = pd.DataFrame({n: best_ranks(rows) for n, rows in ranked.items()}).T  # (n, seeds)
    log_n = np.log(ranks.index.to_numpy(dtype=float))
    half_steps = [_half_step(rows["rank"].unique(), ranks.loc[n]) for n, rows in ranked.items()]
    x = log_n - log_n.mean()
    # A hair more, so that rounding does not put a single step from end to end outside of it.
    hidden = (1 + 1e-9) * float(np.abs(x) @ half_steps / (x @ x))
    found = significance.interval(significance.slopes(log_n, np.log(ranks)), hidden)
    means = ", ".join(f"{k:.0f} (n = {n:,})" for n, k in np.exp(np.log(ranks).mean(axis=1)).items())
    words = (
        f"best k {means}, geometric mean of the seeds; as a power of n, to the {hidden:.2f} that "
        "the steps between ranks hide, exponent"
    )
    return _of_slope(found, 1, words, "", list(ranked.values()))


def _half_step(tried: np.ndarray, chosen: pd.Series) -> float:
    """Return the largest distance, in log k, of a best rank from the chosen ones.

    It is half the widest step of the grid beside one of them, and unbounded for a single rank.
    """
    grid = np.sort(tried)
    places = np.searchsorted(grid, chosen.dropna())
    steps = np.pad(np.diff(np.log(grid)), 1)  # 0 beyond the ends
    widest = np.maximum(steps[places], steps[places + 1]).max(initial=0)
    return float(widest) / 2 if len(grid) > 1 else np.inf


def best_ranks(rows: pd.DataFrame) -> pd.Series:
    """Return the rank with each seed's highest validation accuracy, the smallest of equals.

    Each rank is at the setting that :func:`convexbn.reporting.selection.select` chooses.
    """
    rows = selection.select(rows, ["rank"])
    order = rows.sort_values(["validation_accuracy", "rank"], ascending=[False, True])
    return order.dropna(subset="validation_accuracy").groupby("seed")["rank"].first()


def _advantage_grows(parts: dict[float, pd.DataFrame]) -> Finding:
    """Judge whether the advantage of truncation over SGD grows with the label noise."""
    differences, used = {}, []
    for noise, rows in parts.items():
        chosen, missing = chosen_of(rows, (TRUNCATED, SGD))
        if missing:
            return Finding(f"at noise {noise:.0%} {missing}", "not run")
        truncated, sgd = (part.set_index("seed")["test_accuracy"] for part in chosen)
        differences[noise] = truncated - sgd
        used.append(chosen[0])
    table = pd.DataFrame(differences).T  # (noise, seeds)
    found = significance.interval(significance.slopes(table.index, table))
    means = ", ".join(f"{100 * d:+.1f} ({x:.0%})" for x, d in table.mean(axis=1).items())
    words = f"truncated - SGD at each label noise, in points: {means}; per 10 % of noise"
    return _of_slope(found, 10, words, " points", used)


def _of_slope(
    found: significance.Interval, scale: float, words: str, unit: str, used: list[pd.DataFrame]
) -> Finding:
    """Return the finding on a slope, in words `scale` times as large."""
    if found.pairs < 2:
        return Finding(f"{words}: {found.pairs} seed(s), no interval", "not resolved")
    mean, low, high = (scale * value for value in (found.mean, found.low, found.high))
    measured = (
        f"{words} {mean:+.2f}{unit}, {LEVEL:.0%} interval {low:+.2f} to {high:+.2f}, "
        f"p = {found.p:.2g}, {found.pairs} seeds"
    )
    return unless_uncertified(Finding(measured, found.verdict(), found), uncertified(used))


def _over_draws(comparison: Comparison, parts: dict[float, pd.DataFrame]) -> Finding:
    """Judge whether one method is better than another over draws of the images."""
    pairs, missing = paired(parts, comparison)
    if missing:
        return Finding(missing, "not run")
    found = over_draws(pairs)
    means = ", ".join(_on_draw(draw, *pair) for draw, pair in pairs.items())
    settings = [
        " or ".join(dict.fromkeys(map(setting_words, rows)))
        for rows in zip(*pairs.values(), strict=True)
    ]
    tested = (
        f"{LEVEL:.0%} interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, p = {found.p:.2g}"
        if found.pairs > 1
        else "no interval"
    )
    words = f"{100 * found.mean:+.1f} points, {tested}, {found.pairs} draws: {means}; "
    words += " - ".join(settings)
    used = [rows for pair in pairs.values() for rows in pair]
    return unless_uncertified(Finding(words, found.verdict(), found), uncertified(used))


def _on_draw(draw: float, better: pd.DataFrame, worse: pd.DataFrame) -> str:
    first, second = (100 * rows["test_accuracy"].mean() for rows in (better, worse))
    words = f"{first - second:+.1f} = {first:.1f} - {second:.1f} %"
    return f"{words} (draw {draw:g}, {len(better)} seeds)"


_SLOPE = f"{LEVEL:.0%} interval of the {{}} above 0, over at least {SEEDS} seeds"
_OVER_DRAWS = (
    f"{LEVEL:.0%} interval of {{}} above 0: Student's, of the differences of the means over seeds, "
    f"one for each of at least {DRAWS} draws"
)
_OF_COMPARISONS = (
    ("E4f", "truncation generalizes better than SGD"),
    ("E4g", "a soft filter of the spectrum generalizes better than SGD"),
    ("E4h", "SGD generalizes better than the convex program at full rank"),
)
_KINDS = {
    "samples": (
        Statement(
            "E4c",
            "The best rank k grows with the number of training samples n",
            _SLOPE.format("slope of log k on log n"),
            _rank_grows,
        ),
    ),
    "noise": (
        Statement(
            "E4d",
            "The advantage of truncation over SGD grows with label noise",
            _SLOPE.format("slope of truncated - SGD on the noise"),
            _advantage_grows,
        ),
    ),
    "draws": tuple(
        Statement(
            name,
            f"Over draws of the training images {words}",
            _OVER_DRAWS.format(" - ".join(find(method).words for method in comparison)),
            partial(_over_draws, comparison),
        )
        for comparison, (name, words) in zip(COMPARISONS, _OF_COMPARISONS, strict=True)
    ),
}
