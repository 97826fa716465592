"""Statements on SGD against ridge regression.

A number of samples that SGD needs comes with a 95 % interval over the draws of ridge regression's
samples; SGD's own risk is exact. A statement is reproduced where the interval lies within the
stated bounds, at every number of samples, and not reproduced where one lies outside. Where SGD
reaches the risk with none of the sizes tried, its number of samples is infinite. Nothing is
resolved where the best step or lambda lies at the end of those tried.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy.special import ndtri

from convexbn.experiments.ridge.samples import Comparison, compare
from convexbn.reporting.claims import Finding, Statement, judged, stacked, verdict_of, worst
from convexbn.reporting.significance import SEEDS, Interval, interval

FEWEST = 32  # samples of ridge regression that the statements are about
SLOPE = 0.15  # tolerance of an exponent
LARGEST = 4  # times ridge's samples
HEAD = 10  # the exponent of a w* along the head of the spectrum
CHANCE = 0.01  # that exact and simulated risk are told apart although they are equal
WORDS = {"labels": "w* the labels' regression", "denoised": "w* without the regression's noise"}
_NONE = Finding(f"the config has no such target with {FEWEST} samples or more", "not run")


def ridge(**tables: pd.DataFrame) -> pd.DataFrame:
    """Judge the comparison.

    Parameters
    ----------
    **tables : DataFrame
        Some of `ridge_panels`, `ridge_agreement`, `ridge_gap` and `ridge_images`: the tables of
        :mod:`convexbn.experiments.ridge.measure`.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    return stacked(_judged(name, table) for name, table in tables.items())


def _judged(name: str, table: pd.DataFrame) -> pd.DataFrame:
    statements = _STATEMENTS[name]
    if name != "ridge_images":
        return judged(statements, lambda statement: {"synthetic": statement.judge(table)})
    datasets = dict(list(table.groupby("dataset")))
    return judged(
        statements, lambda statement: {key: statement.judge(t) for key, t in datasets.items()}
    )


def _agreed(table: pd.DataFrame) -> Finding:
    """Judge whether every simulated risk is within its error of the exact one."""
    distance = ((table["simulated"] - table["exact"]) / table["standard_error"]).abs()
    limit = -ndtri(CHANCE / 2 / len(table))  # Bonferroni
    relative = (table["simulated"] / table["exact"] - 1).abs().max()
    words = (
        f"{distance.max():.2f} standard errors at most (limit {limit:.2f}), {relative:.1%} of the "
        f"risk; {len(table)} risks, {table['runs'].min()} runs each"
    )
    return Finding(words, verdict_of(bool((distance <= limit).all())))


def _within_four(table: pd.DataFrame) -> Finding:
    """Judge ratio and slope for w* = 1."""
    cases = _cases(table[table["target"] == 0])
    if not cases:
        return _NONE
    ratio = _bounded(_ratios(cases), 1, LARGEST)
    slopes = {name: case.slope() for name, case in cases.items()}
    slope = _bounded(slopes, 1 - SLOPE, 1 + SLOPE)
    words = f"ratio {ratio.measured}; slope {_listed(slopes)}"
    return _flagged(Finding(words, worst([ratio.verdict, slope.verdict])), cases)


def _fewer(table: pd.DataFrame) -> Finding:
    """Judge whether SGD needs fewer samples where w* lies along the head."""
    cases = _cases(table[table["target"] == HEAD])
    return _flagged(_bounded(_ratios(cases), 0, 1), cases) if cases else _NONE


def _never_many(table: pd.DataFrame) -> Finding:
    cases = _cases(table)
    return _flagged(_bounded(_ratios(cases), 0, LARGEST), cases) if cases else _NONE


def _quadratic(table: pd.DataFrame) -> Finding:
    """Judge the exponent at the largest signal, where logarithms count least."""
    cases = {f"|w*| = {key}": compare(part) for key, part in table.groupby("signal")}
    exponents = {name: case.exponent() for name, case in cases.items()}
    *_, (name, last) = cases.items()
    finding = _bounded({name: exponents[name]}, 2 - SLOPE, 2 + SLOPE)
    words = f"exponent {_listed(exponents)}"
    if math.isfinite(last.needed[0, -1]):
        reach = f"{last.n[-1]:,} samples of ridge for {last.needed[0, -1]:,.0f} of SGD"
        words += f"; with {name} up to {reach}"
    return _flagged(finding._replace(measured=words), cases)


def _of_target(target: str) -> Callable[[pd.DataFrame], Finding]:
    def fewer(table: pd.DataFrame) -> Finding:
        cases = {WORDS[target]: compare(table[table["target"] == target])}
        return _flagged(_bounded(_ratios(cases), 0, 1), cases)

    return fewer


def _head(table: pd.DataFrame) -> Finding:
    """Judge whether SGD has the smaller risk in the head of the spectrum, at every n."""
    found = {target: _differences(table[table["target"] == target]) for target in WORDS}
    every = [head for sizes in found.values() for head, _ in sizes.values()]
    words = [
        f"{WORDS[target]}: {head.mean:+.1%} in the head and {tail.mean:+.1%} in the tail at {n:,}"
        for target, sizes in found.items()
        for n, (head, tail) in {n: sizes[n] for n in (min(sizes), max(sizes))}.items()
    ]
    ends = _at_edge(table[table["n"].isin(table.loc[table["method"] == "ridge", "n"])])
    return _unless_at_edge(Finding("; ".join(words), _verdict(every, -math.inf, 0)), ends)


def _differences(table: pd.DataFrame) -> dict[int, tuple[Interval, Interval]]:
    """Return SGD's risk minus ridge's, in head and tail, as shares of ridge's risk, for each n.

    The head is the directions whose eigenvalues are above the mean.
    """
    weights = table.drop_duplicates("direction")
    mean = np.average(weights["eigenvalue"], weights=weights["directions"])
    parts = table.assign(in_head=table["eigenvalue"] > mean)
    keys = ["n", "in_head"]
    sgd = parts[parts["method"] == "sgd"].groupby(keys)["risk"].sum()
    ridge = parts[parts["method"] == "ridge"]
    by_seed = ridge.groupby([*keys, "seed"])["risk"].sum().unstack("seed")
    whole = by_seed.groupby("n").sum().mean(axis=1)

    def difference(n: int, in_head: bool) -> Interval:
        return interval((sgd[n, in_head] - by_seed.loc[(n, in_head)].to_numpy()) / whole[n])

    return {n: (difference(n, True), difference(n, False)) for n in whole.index}


def _cases(table: pd.DataFrame) -> dict[str, Comparison]:
    """Return the comparison of each problem, from `FEWEST` samples of ridge regression on."""
    kept = table[(table["method"] == "sgd") | (table["n"] >= FEWEST)]
    return {
        f"i^-{decay}, w* {'= 1' if target == 0 else f'i^-{target}'}": compare(part)
        for (decay, target), part in kept.groupby(["decay", "target"])
        if (part["method"] == "ridge").any()
    }


def _ratios(cases: dict[str, Comparison]) -> dict[str, Interval]:
    """Return the interval of SGD's samples over ridge's, by problem and number of samples."""
    return {
        f"{name}, n = {n:,}": _exponential(ratio)
        for name, case in cases.items()
        for n, ratio in zip(case.n, case.ratios(), strict=True)
    }


def _exponential(logarithm: Interval) -> Interval:
    mean, low, high = (math.exp(value) for value in logarithm[:3])
    return logarithm._replace(mean=mean, low=low, high=high)


def _bounded(found: dict[str, Interval], low: float, high: float) -> Finding:
    """Judge whether all intervals lie within bounds; name the smallest and the largest."""
    order = sorted(found, key=lambda name: found[name].mean)
    words = " to ".join(f"{_interval(found[name])} ({name})" for name in (order[0], order[-1]))
    return Finding(words, _verdict(found.values(), low, high))


def _verdict(intervals: Iterable[Interval], low: float, high: float) -> str:
    intervals = list(intervals)
    if any(i.mean == math.inf for i in intervals) and high < math.inf:
        return "not reproduced"
    if any(i.pairs < SEEDS or math.isnan(i.low) for i in intervals):
        return "not resolved"
    if any(i.high < low or i.low > high for i in intervals):
        return "not reproduced"
    inside = all(low <= i.low and i.high <= high for i in intervals)
    return "reproduced" if inside else "not resolved"


def _flagged(finding: Finding, cases: dict[str, Comparison]) -> Finding:
    """Return a finding that is not resolved if a value it rests on lies at an end of those tried.

    Other sizes may be tuned as badly as they like: they are none of the statement's.
    """
    return _unless_at_edge(finding, sum(_at_edge(case.rows) for case in cases.values()))


def _at_edge(rows: pd.DataFrame) -> int:
    """Return how many tuned values lie at an end of those tried."""
    keys = [name for name in _TUNED if name in rows]
    return len(rows.loc[rows["at_edge"], keys].drop_duplicates())


def _unless_at_edge(finding: Finding, count: int) -> Finding:
    if not count:
        return finding
    words = f"{finding.measured}; {count} tuned value(s) at the end of the grid"
    return finding._replace(measured=words, verdict="not resolved")


def _listed(found: dict[str, Interval]) -> str:
    return ", ".join(f"{_interval(value)} ({name})" for name, value in found.items())


def _interval(value: Interval) -> str:
    if not math.isfinite(value.mean):
        return "beyond all sizes tried" if value.mean > 0 else "none"
    if math.isnan(value.low):
        return f"{value.mean:.2f}"
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"


# The columns that tell tuned values apart.
_TUNED = ("dataset", "decay", "target", "signal", "method", "n")
_EVERY = f"for all n >= {FEWEST} of ridge"
_STATEMENTS: dict[str, tuple[Statement, ...]] = {
    "ridge_agreement": (
        Statement(
            "Z0",
            "Simulated SGD has the risk that the exact recursion gives",
            f"no difference at the {CHANCE:.0%} level",
            _agreed,
        ),
    ),
    "ridge_panels": (
        Statement(
            "Z1",
            "With w* = 1 SGD needs a constant factor more samples than ridge regression",
            f"N_sgd / N_ridge in [1, {LARGEST}] {_EVERY}, log-log slope 1 ± {SLOPE:g}",
            _within_four,
        ),
        Statement(
            "Z2",
            "With w* along the head of the spectrum SGD needs fewer samples",
            f"N_sgd / N_ridge < 1 {_EVERY}",
            _fewer,
        ),
        Statement(
            "Z3",
            "Whatever w*, SGD needs at most a constant factor more samples",
            f"N_sgd / N_ridge <= {LARGEST} {_EVERY}, over all panels",
            _never_many,
        ),
    ),
    "ridge_gap": (
        Statement(
            "Z4",
            "On a flat-tailed spectrum with w* along its head ridge needs on the order of N_sgd^2",
            f"exponent 2 ± {SLOPE:g} of N_ridge in N_sgd, with the longest w*",
            _quadratic,
        ),
    ),
    "ridge_images": (
        Statement(
            "Z5a",
            "On the spectrum and the labels of real images SGD needs fewer samples",
            "N_sgd / N_ridge < 1 for all n of ridge",
            _of_target("labels"),
        ),
        Statement(
            "Z5b",
            "The same without the noise that the regression of the labels left in w*",
            "N_sgd / N_ridge < 1 for all n of ridge",
            _of_target("denoised"),
        ),
        Statement(
            "Z5c",
            "On real images SGD has the smaller risk along the head of the spectrum",
            "SGD - ridge < 0, as a share of ridge's risk, along eigenvalues above the mean",
            _head,
        ),
    ),
}
