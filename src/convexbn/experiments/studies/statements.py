"""Statements on how things move across data sets: with the number of samples, with label noise.

A study gives one slope of least squares per seed; Student's test says whether their mean is above
zero (:mod:`convexbn.reporting.significance`).
"""

import numpy as np
import pandas as pd

from convexbn.reporting import selection, significance
from convexbn.reporting.claims import COLUMNS, SIDES, Finding, chosen_of, corrected
from convexbn.reporting.significance import LEVEL, SEEDS

RANKED = ("convex", "convex-truncated")  # programs that differ in their rank


def studies(runs: pd.DataFrame, studies: dict, datasets: dict) -> pd.DataFrame:
    """Judge the studies.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    studies : dict
        Of kind ("samples", "noise"), and of name, to what varies, by the name of the data set.
    datasets : dict
        Entries of the data sets in the config. The statements are about CIFAR.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`; none without studies.
    """
    rows = []
    for kind, (name, statement, expected, judge) in _STATEMENTS.items():
        findings = {
            f"{study} ({', '.join(values)})": _judged(judge, runs, values, datasets)
            for study, values in studies.get(kind, {}).items()
        }
        rows += [
            (name, where, statement, expected, finding.measured, finding.verdict)
            for where, finding in corrected(findings).items()
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged(judge, runs, values: dict, datasets: dict) -> Finding:
    others = sorted({datasets[name]["source"] for name in values} - set(SIDES))
    if others:
        words = f"the statement is about CIFAR, these data are {', '.join(others)}"
        return Finding(words, "not run")
    return judge({x: runs[runs["dataset"] == name] for name, x in values.items()})


def _rank_grows(parts: dict) -> Finding:
    """Judge whether the best k grows with n, as a power of it."""
    ranked = {
        n: selection.candidates(rows[rows["method"].isin(RANKED)]) for n, rows in parts.items()
    }
    ranks = pd.DataFrame({n: best_ranks(rows) for n, rows in ranked.items()}).T  # (n, seeds)
    log_n = np.log(ranks.index.to_numpy(dtype=float))
    half_steps = [_half_step(rows["rank"].unique(), ranks.loc[n]) for n, rows in ranked.items()]
    x = log_n - log_n.mean()
    # A hair more: a single step from one end to the other is within it, however it is rounded.
    hidden = (1 + 1e-9) * float(np.abs(x) @ half_steps / (x @ x))
    found = significance.interval(significance.slopes(log_n, np.log(ranks)), hidden)
    means = ", ".join(f"{k:.0f} (n = {n:,})" for n, k in np.exp(np.log(ranks).mean(axis=1)).items())
    words = (
        f"best k {means}, geometric mean of the seeds; as a power of n, to the {hidden:.2f} that "
        "the steps between ranks hide, exponent"
    )
    return _finding(found, 1, words, "", list(ranked.values()))


def _half_step(tried, chosen) -> float:
    """Return how far, in log k, a best rank may be from the chosen ones: half a step of the grid.

    Half the widest step beside one of them; with a single rank nothing is known.
    """
    grid = np.sort(tried)
    places = np.searchsorted(grid, chosen.dropna())
    steps = np.pad(np.diff(np.log(grid)), 1)  # 0 beyond the ends
    widest = np.maximum(steps[places], steps[places + 1]).max(initial=0)
    return float(widest) / 2 if len(grid) > 1 else np.inf


def best_ranks(rows: pd.DataFrame) -> pd.Series:
    """Return the rank with each seed's highest validation accuracy, of equals the smallest.

    Of each rank in the setting that :func:`convexbn.reporting.selection.select` chooses.
    """
    rows = selection.select(rows, ["rank"])
    order = rows.sort_values(["validation_accuracy", "rank"], ascending=[False, True])
    return order.dropna(subset="validation_accuracy").groupby("seed")["rank"].first()


def _advantage_grows(parts: dict) -> Finding:
    """Judge whether the advantage of truncation over SGD grows with the label noise."""
    differences, used = {}, []
    for noise, rows in parts.items():
        chosen, missing = chosen_of(rows, ("convex-truncated", "SGD"))
        if missing:
            return Finding(f"at noise {noise:.0%} {missing}", "not run")
        truncated, sgd = (part.set_index("seed")["test_accuracy"] for part in chosen)
        differences[noise] = truncated - sgd
        used.append(chosen[0])
    table = pd.DataFrame(differences).T  # (noise, seeds)
    found = significance.interval(significance.slopes(table.index, table))
    means = ", ".join(f"{100 * d:+.1f} ({x:.0%})" for x, d in table.mean(axis=1).items())
    words = f"truncated - SGD at each label noise, in points: {means}; per 10 % of noise"
    return _finding(found, 10, words, " points", used)


def _finding(found, scale: float, words: str, unit: str, used: list) -> Finding:
    """Write a slope down, `scale` times as large; nothing is resolved on uncertified solves."""
    if found.pairs < 2:
        return Finding(f"{words}: {found.pairs} seed(s), no interval", "not resolved")
    mean, low, high = (scale * value for value in (found.mean, found.low, found.high))
    measured = (
        f"{words} {mean:+.2f}{unit}, {LEVEL:.0%} interval {low:+.2f} to {high:+.2f}, "
        f"p = {found.p:.2g}, {found.pairs} seeds"
    )
    if missed := sum(int(selection.not_certified(rows).sum()) for rows in used):
        return Finding(f"{measured}; {missed} solve(s) not certified", "not resolved", found)
    return Finding(measured, found.verdict(), found)


_SLOPE = f"{LEVEL:.0%} interval of the {{}} above 0, over at least {SEEDS} seeds"
_STATEMENTS = {
    "samples": (
        "E4c",
        "The best rank k grows with the number of training samples n",
        _SLOPE.format("slope of log k on log n"),
        _rank_grows,
    ),
    "noise": (
        "E4d",
        "The advantage of truncation over SGD grows with label noise",
        _SLOPE.format("slope of truncated - SGD on the noise"),
        _advantage_grows,
    ),
}
