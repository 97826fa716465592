"""Statements on the methods of the headline, each judged on every data set.

A statement compares methods at their settings chosen on validation data. Small differences are
paired by seed (:mod:`convexbn.reporting.significance`), and corrected for the number of data sets
that the same statement is tested on.
"""

from functools import partial

import numpy as np
import pandas as pd

from convexbn.reporting import significance
from convexbn.reporting.claims import (
    SIDES,
    Finding,
    Statement,
    about_cifar,
    chosen_of,
    judged,
    samples_words,
    setting_words,
    uncertified,
    unless_uncertified,
    verdict_of,
)
from convexbn.reporting.methods import FILTERED, FULL, SGD, SOLVED, TRUNCATED, by_sgd
from convexbn.reporting.significance import LEVEL, SEEDS

ADVANTAGE = 0.04  # of SGD over the full-rank program
EXACT = 0.999  # train accuracy that counts as an exact fit
ROUNDING = 1e-5  # relative, of objectives of networks trained in float32


def headline(runs: pd.DataFrame, datasets: dict[str, dict]) -> pd.DataFrame:
    """Judge the methods against each other on every data set that has a run.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    datasets : dict
        Entries of the data sets in the config, with their number n of training samples. The
        statements are about CIFAR; on any other source they are measured and "not run".

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`, data set by data set.
    """
    tried = set(runs["dataset"])
    names = {
        describe(name, entry): (name, entry) for name, entry in datasets.items() if name in tried
    }

    def findings_of(statement: Statement) -> dict[str, Finding]:
        return {
            words: _finding(statement, runs[runs["dataset"] == name], entry)
            for words, (name, entry) in names.items()
        }

    table = judged(STATEMENTS, findings_of)
    place = table["dataset"].map(list(names).index)
    return table.iloc[place.argsort(kind="stable")].reset_index(drop=True)


def _finding(statement: Statement, runs: pd.DataFrame, entry: dict) -> Finding:
    chosen, missing = chosen_of(runs, statement.needed)
    finding = Finding(missing, "not run") if missing else statement.judge(runs, *chosen)
    return about_cifar(unless_uncertified(finding, uncertified(chosen)), [entry])


def describe(name: str, entry: dict) -> str:
    """Return a data set's name with its view and scale, for which a statement holds.

    Parameters
    ----------
    name : str
    entry : dict
        The entry in the config, with n.
    """
    patches = entry.get("patches")
    words = ["fully connected"]
    if patches:
        words = ["convolutional, {size}x{size} patches, stride {stride}".format(**patches)]
    words.append(samples_words(entry))
    if entry["source"] in SIDES:
        side = SIDES[entry["source"]] // entry.get("pool", 1)
        words.append(f"{side}x{side} pixels")
    if entry.get("label_noise"):
        words.append(f"{entry['label_noise']:.0%} of the training labels wrong")
    if entry.get("draw"):
        words.append(f"draw {entry['draw']} of the images")
    return f"{name} ({', '.join(words)})"


def _advantage(runs: pd.DataFrame, sgd: pd.DataFrame, full: pd.DataFrame) -> Finding:
    """Judge whether SGD beats the full-rank program by at least `ADVANTAGE`."""
    difference = sgd["test_accuracy"].mean() - full["test_accuracy"].mean()
    found = significance.interval(significance.differences(sgd, full))
    interval = f", {_ends(found)}" if found.pairs > 1 else ""
    measured = f"{100 * difference:+.1f} points{interval}: {_means(sgd, full)}"
    # A difference of exactly 4 points counts, whatever the rounding of its two means.
    holds = difference >= ADVANTAGE - 1e-12
    return Finding(measured, verdict_of(holds))


def _fit(runs: pd.DataFrame, full: pd.DataFrame) -> Finding:
    """Judge whether the full-rank program fits the training set with every seed."""
    lowest = full["train_accuracy"].min()
    measured = f"lowest train accuracy {100 * lowest:.2f} % over {len(full)} seed(s)"
    return Finding(measured, verdict_of(lowest >= EXACT))


def _paired(
    runs: pd.DataFrame,
    better: pd.DataFrame,
    worse: pd.DataFrame,
    measure: str = "test_accuracy",
    sign: int = 1,
) -> Finding:
    """Judge whether one method is better than another, paired by seed.

    With `sign` -1 smaller values are better, and the difference is worse - better.
    """
    pairs = sign * significance.differences(better, worse, measure)
    means = _means(better, worse, measure=measure)
    found = significance.interval(pairs)
    if found.pairs < 2:
        return Finding(f"{means}; {found.pairs} paired seed(s), no interval", "not resolved")
    seeds = f"{found.pairs} paired seeds"
    if found.pairs < found.fewest:
        seeds += f" of the {found.fewest} that it takes"
    else:
        seeds = f"p = {found.p:.2g}, {seeds}"
    words = f"{100 * found.mean:+.1f} points, {_ends(found)}, {seeds}: {means}"
    return Finding(words, found.verdict(), found)


def _ends(found: significance.Interval) -> str:
    return f"{LEVEL:.0%} interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _means(*methods: pd.DataFrame, measure: str = "test_accuracy") -> str:
    return ", ".join(
        f"{setting_words(rows)} {100 * rows[measure].mean():.1f} % ({len(rows)} seeds)"
        for rows in methods
    )


def _never_above(runs: pd.DataFrame) -> Finding:
    """Judge the certified optimum against every objective that SGD reached on the same program."""
    pairs = pd.concat([_of_one_program(runs, solved, by_sgd(solved)) for solved in SOLVED])
    if pairs.empty:
        words = "no program trained by SGD with the gates, rank and beta of a certified one"
        return Finding(words, "not run")
    bound = pairs["objective"] * (1 - pairs["relative_gap"])
    lowest = (pairs["reached"] / bound).min()
    program = [pairs[name] for name in _PROGRAM]
    best = (pairs["reached"] / pairs["objective"]).groupby(program, dropna=False).min()
    words = (
        f"objectives of SGD at least {lowest:.5f} times the certified lower bound; its best one is "
        f"{best.median():.4f} times the optimum (median of {len(best)} programs, {len(pairs)} runs)"
    )
    return Finding(words, verdict_of(lowest >= 1 - ROUNDING))


def _of_one_program(runs: pd.DataFrame, solved: str, trained: str) -> pd.DataFrame:
    """Return a row per training of a solved program by SGD, with the objective it `reached`."""
    # SGD has the squared loss and the group penalty.
    like_sgd = runs["loss"].eq("squared") & runs["penalty"].eq("group")
    kept = [*_PROGRAM, "objective", "relative_gap"]
    certificates = runs.loc[runs["method"].eq(solved) & like_sgd, kept]
    found = runs[(runs["method"] == trained) & np.isfinite(runs["objective"])]
    found = found[_PROGRAM].assign(reached=found["objective"])
    return certificates.drop_duplicates(_PROGRAM).merge(found, on=_PROGRAM)


# The columns that tell the programs of a data set apart.
_PROGRAM = ["seed", "beta", "gates", "rank", "filter_kind", "filter_value"]
_ABOVE = f"{LEVEL:.0%} interval of {{}} above 0, paired over at least {SEEDS} seeds"

STATEMENTS = (
    Statement(
        "E3a",
        "Networks trained by SGD generalize better than the convex program at full rank",
        f"SGD - full rank >= {100 * ADVANTAGE:+.0f} points of test accuracy",
        _advantage,
        (SGD, FULL),
    ),
    Statement(
        "E3b",
        "Truncation, the bias of SGD made explicit, generalizes better than SGD",
        _ABOVE.format("truncated - SGD"),
        _paired,
        (TRUNCATED, SGD),
    ),
    Statement(
        "E3c",
        "The convex program at full rank fits the training set exactly",
        f"train accuracy >= {EXACT:.1%} with every seed",
        _fit,
        (FULL,),
    ),
    Statement(
        "E3d",
        "Truncation generalizes better than full rank",
        _ABOVE.format("truncated - full rank"),
        _paired,
        (TRUNCATED, FULL),
    ),
    Statement(
        "E3e",
        "The certified optimum is never above the objective that SGD reaches on the same program",
        f"every objective of SGD >= certified lower bound, to {ROUNDING:.0e} relative",
        _never_above,
    ),
    Statement(
        "E3f",
        "The truncated program generalizes better at its certified optimum than trained by SGD",
        _ABOVE.format("certified - by SGD"),
        _paired,
        (TRUNCATED, by_sgd(TRUNCATED)),
    ),
    Statement(
        "E3g",
        "The program at full rank generalizes better trained by SGD than at its certified optimum",
        _ABOVE.format("by SGD - certified"),
        _paired,
        (by_sgd(FULL), FULL),
    ),
    Statement(
        "E4a",
        "A soft filter of the spectrum generalizes better than hard truncation",
        _ABOVE.format("filtered - truncated"),
        _paired,
        (FILTERED, TRUNCATED),
    ),
    Statement(
        "E4b",
        "The truncated program is better calibrated than SGD, by temperatures set on validation",
        _ABOVE.format("the calibration error of SGD - that of truncated"),
        partial(_paired, measure="test_ece", sign=-1),
        (TRUNCATED, SGD),
    ),
    Statement(
        "E4e",
        "A soft filter of the spectrum generalizes better than SGD",
        _ABOVE.format("filtered - SGD"),
        _paired,
        (FILTERED, SGD),
    ),
)
