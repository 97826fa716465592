"""The paper's headline, and what goes beyond it, as statements that a run checks by itself.

Each statement is judged per data set, on each method's setting chosen on validation data. Small
differences are paired by seed (:mod:`convexbn.reporting.significance`), and corrected for the
number of data sets that the same statement is tested on. "Not resolved" is an outcome: too few
seeds, an interval that contains zero, or a solve without certificate.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from convexbn.reporting import selection, significance
from convexbn.reporting.significance import LEVEL, SEEDS

COLUMNS = ["id", "dataset", "statement", "expected", "measured", "verdict"]

SIDES = {"cifar10": 32, "cifar100": 32}  # of the sources that the statements are about, in pixels
ADVANTAGE = 0.04  # of SGD over the full-rank program
EXACT = 0.999  # train accuracy that counts as an exact fit
ROUNDING = 1e-5  # relative, of objectives of networks trained in float32
NAMES = {
    "SGD": "SGD",
    "convex": "full rank",
    "convex-truncated": "truncated",
    "convex-filtered": "filtered",
    "convex by SGD": "full rank by SGD",
    "convex-truncated by SGD": "truncated by SGD",
    "convex-filtered by SGD": "filtered by SGD",
}


class Finding(NamedTuple):
    """What one data set says of a statement; p is NaN where nothing was tested."""

    measured: str
    verdict: str
    interval: significance.Interval | None = None

    @property
    def p(self) -> float:
        """The p-value of no difference."""
        return np.nan if self.interval is None else self.interval.p


class Statement(NamedTuple):
    """A statement on a data set; `judge` takes its runs and the chosen rows of each method."""

    id: str
    words: str
    expected: str
    needed: tuple
    judge: object


def headline(runs: pd.DataFrame, datasets: dict) -> pd.DataFrame:
    """Judge the methods against each other on every data set.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    datasets : dict
        Entries of the data sets in the config, with their number n of training samples. The
        statements are about CIFAR ("cifar10", "cifar100"); on any other source they are listed as
        not run.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; verdict is "reproduced", "not resolved", "not reproduced" or "not run".
    """
    rows = []
    for statement in STATEMENTS:
        findings = {
            describe(name, entry): _judged(statement, runs[runs["dataset"] == name], entry)
            for name, entry in datasets.items()
        }
        rows += _written(statement, corrected(findings))
    order = [describe(name, entry) for name, entry in datasets.items()]
    table = pd.DataFrame(rows, columns=COLUMNS)
    place = table["dataset"].map(order.index)
    return table.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def describe(name: str, entry: dict) -> str:
    """Return a data set's name, view and scale: what a statement holds for.

    Parameters
    ----------
    name : str
    entry : dict
        From the config, with n.
    """
    patches = entry.get("patches")
    words = ["fully connected"]
    if patches:
        words = ["convolutional, {size}x{size} patches, stride {stride}".format(**patches)]
    words.append(f"n = {entry['n']:,}")
    if entry["source"] in SIDES:
        side = SIDES[entry["source"]] // entry.get("pool", 1)
        words.append(f"{side}x{side} pixels")
    if entry.get("label_noise"):
        words.append(f"{entry['label_noise']:.0%} of the training labels wrong")
    return f"{name} ({', '.join(words)})"


def _written(statement, findings: dict) -> list:
    words = statement.words, statement.expected
    return [(statement.id, name, *words, f.measured, f.verdict) for name, f in findings.items()]


def corrected(findings: dict) -> dict:
    """Correct the verdicts of one statement for how often it was tested."""
    tested = {name: f for name, f in findings.items() if np.isfinite(f.p)}
    if len(tested) < 2:
        return findings
    adjusted = significance.holm([finding.p for finding in tested.values()])
    for (name, finding), p in zip(tested.items(), adjusted, strict=True):
        words = f"{finding.measured}; p = {p:.2g} after Holm's correction for {len(tested)} tests"
        is_open = finding.verdict == "not resolved"
        verdict = finding.verdict if is_open else finding.interval.verdict(p)
        findings[name] = Finding(words, verdict, finding.interval)
    return findings


def _judged(statement, runs: pd.DataFrame, entry: dict) -> Finding:
    if entry["source"] not in SIDES:
        return Finding(f"the statement is about CIFAR, these data are {entry['source']}", "not run")
    chosen, missing = chosen_of(runs, statement.needed)
    if missing:
        return Finding(missing, "not run")
    return _unless_uncertified(statement.judge(runs, *chosen), chosen)


def chosen_of(runs: pd.DataFrame, methods) -> tuple[list, str]:
    """Return the rows of each method's chosen setting, and which methods have none, in words."""
    chosen = dict(list(selection.select(runs).groupby("method")))
    missing = " and ".join(method for method in methods if method not in chosen)
    found = [chosen[method] for method in methods if method in chosen]
    return found, missing and f"no run of {missing}, or only diverged ones"


def _unless_uncertified(finding, rows) -> Finding:
    missed = sum(int(selection.not_certified(some).sum()) for some in rows)
    if missed and finding.verdict != "not run":
        words = f"{finding.measured}; {missed} solve(s) not certified"
        return Finding(words, "not resolved", finding.interval)
    return finding


def _advantage(runs, sgd: pd.DataFrame, full: pd.DataFrame) -> Finding:
    """Judge whether SGD beats the full-rank program by at least `ADVANTAGE`."""
    difference = sgd["test_accuracy"].mean() - full["test_accuracy"].mean()
    found = significance.interval(significance.differences(sgd, full))
    interval = f", {_ends(found)}" if found.pairs > 1 else ""
    measured = f"{100 * difference:+.1f} points{interval}: {_means(sgd, full)}"
    # A difference of exactly 4 points counts, whatever the rounding of its two means.
    holds = difference >= ADVANTAGE - 1e-12
    return Finding(measured, "reproduced" if holds else "not reproduced")


def _fit(runs, full: pd.DataFrame) -> Finding:
    """Judge whether the full-rank program fits the training set with every seed."""
    lowest = full["train_accuracy"].min()
    measured = f"lowest train accuracy {100 * lowest:.2f} % over {len(full)} seed(s)"
    return Finding(measured, "reproduced" if lowest >= EXACT else "not reproduced")


def _paired(runs, better, worse, measure="test_accuracy", sign=1) -> Finding:
    """Judge whether one method is better than another, paired by seed.

    With `sign` -1 less is better, and the difference is worse - better.
    """
    pairs = sign * significance.differences(better, worse, measure)
    means = _means(better, worse, measure=measure)
    found = significance.interval(pairs)
    if found.pairs < 2:
        return Finding(f"{means}; {found.pairs} paired seed(s), no interval", "not resolved")
    tested = f"p = {found.p:.2g}, {found.pairs} paired seeds"
    words = f"{100 * found.mean:+.1f} points, {_ends(found)}, {tested}: {means}"
    return Finding(words, found.verdict(), found)


def _ends(found: significance.Interval) -> str:
    return f"{LEVEL:.0%} interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _means(*methods, measure="test_accuracy") -> str:
    return ", ".join(
        f"{_name(rows)} {100 * rows[measure].mean():.1f} % ({len(rows)} seeds)" for rows in methods
    )


def _name(rows: pd.DataFrame) -> str:
    """Return a method's name, with what was chosen."""
    first = rows.iloc[0]
    chosen = [f"beta {first['beta']:g}"]
    if first["method"].startswith("convex-truncated"):
        chosen.insert(0, f"k = {first['rank']:.0f}")
    elif first["method"].startswith("convex-filtered"):
        chosen.insert(0, first["filter"])
    return f"{NAMES[first['method']]} ({', '.join(chosen)})"


def _never_above(runs) -> Finding:
    """Judge the certified optimum against every objective that SGD reached on the same program."""
    twice = zip(selection.SOLVED, selection.TRAINED, strict=True)
    pairs = pd.concat([_of_one_program(runs, *methods) for methods in twice])
    if pairs.empty:
        words = "no program trained by SGD with the gates, rank and beta of a certified one"
        return Finding(words, "not run")
    bound = pairs["objective"] * (1 - pairs["relative_gap"])
    lowest = (pairs["reached"] / bound).min()
    program = [pairs[name] for name in _PROGRAM]
    best = (pairs["reached"] / pairs["objective"]).groupby(program).min()
    words = (
        f"objectives of SGD at least {lowest:.5f} times the certified lower bound; its best one is "
        f"{best.median():.4f} times the optimum (median of {len(best)} programs, {len(pairs)} runs)"
    )
    return Finding(words, "reproduced" if lowest >= 1 - ROUNDING else "not reproduced")


def _of_one_program(runs, solved: str, trained: str) -> pd.DataFrame:
    """Return solves that were trained by SGD too, once for each time, with what it `reached`."""
    certificates = runs.loc[runs["method"] == solved, [*_PROGRAM, "objective", "relative_gap"]]
    found = runs[(runs["method"] == trained) & np.isfinite(runs["objective"])]
    found = found[_PROGRAM].assign(reached=found["objective"])
    return certificates.drop_duplicates(_PROGRAM).merge(found, on=_PROGRAM)


# What tells the programs of a data set apart.
_PROGRAM = ["seed", "beta", "gates", "rank", "filter"]
_ABOVE = f"{LEVEL:.0%} interval of {{}} above 0, paired over at least {SEEDS} seeds"

STATEMENTS = (
    Statement(
        "E3a",
        "Networks trained by SGD generalize better than the convex program at full rank",
        f"SGD - full rank >= {100 * ADVANTAGE:+.0f} points of test accuracy",
        ("SGD", "convex"),
        _advantage,
    ),
    Statement(
        "E3b",
        "Truncation, the bias of SGD made explicit, generalizes better than SGD",
        _ABOVE.format("truncated - SGD"),
        ("convex-truncated", "SGD"),
        _paired,
    ),
    Statement(
        "E3c",
        "The convex program at full rank fits the training set exactly",
        f"train accuracy >= {EXACT:.1%} with every seed",
        ("convex",),
        _fit,
    ),
    Statement(
        "E3d",
        "Truncation generalizes better than full rank",
        _ABOVE.format("truncated - full rank"),
        ("convex-truncated", "convex"),
        _paired,
    ),
    Statement(
        "E3e",
        "The certified optimum is never above the objective that SGD reaches on the same program",
        f"every objective of SGD >= certified lower bound, to {ROUNDING:.0e} relative",
        (),
        _never_above,
    ),
    Statement(
        "E3f",
        "The truncated program generalizes better at its certified optimum than trained by SGD",
        _ABOVE.format("certified - by SGD"),
        ("convex-truncated", "convex-truncated by SGD"),
        _paired,
    ),
    Statement(
        "E3g",
        "The program at full rank generalizes better trained by SGD than at its certified optimum",
        _ABOVE.format("by SGD - certified"),
        ("convex by SGD", "convex"),
        _paired,
    ),
    Statement(
        "E4a",
        "A soft filter of the spectrum generalizes better than hard truncation",
        _ABOVE.format("filtered - truncated"),
        ("convex-filtered", "convex-truncated"),
        _paired,
    ),
    Statement(
        "E4b",
        "The truncated program is better calibrated than SGD, by temperatures set on validation",
        _ABOVE.format("the calibration error of SGD - that of truncated"),
        ("convex-truncated", "SGD"),
        partial(_paired, measure="test_ece", sign=-1),
    ),
)
