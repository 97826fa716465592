"""Claims: statements that a run checks by itself, and the table of their verdicts.

Each experiment has its own statements. They share the form of a statement and of what was found,
the correction for repeated tests, and the rule that nothing is resolved on uncertified solves.
"Not resolved" is an outcome: too few seeds, an interval that contains zero, or a solve without
certificate.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from convexbn.data.sources import SOURCES
from convexbn.reporting import selection, significance
from convexbn.reporting.methods import FILTERED, SOLVED, TRAINED, TRUNCATED, by_sgd, find

COLUMNS = ["id", "dataset", "statement", "expected", "measured", "verdict"]
# Sides, in pixels, of the images of the sources that the statements are about.
SIDES = {name: SOURCES[name].shape[0] for name in ("cifar10", "cifar100", "cifar10_sample")}


class Finding(NamedTuple):
    """The outcome of one statement on one data set."""

    measured: str
    verdict: str
    interval: significance.Interval | None = None

    @property
    def p(self) -> float:
        """The p-value of no difference; NaN where nothing was tested, or no p could resolve it."""
        found = self.interval
        return np.nan if found is None or found.pairs < found.fewest else found.p


class Statement(NamedTuple):
    """A statement of a claim.

    Attributes
    ----------
    id, words, expected : str
    judge : callable
        From an experiment's tables to a `Finding`.
    needed : tuple of str
        Methods whose chosen rows `judge` takes besides, if the experiment has methods.
    """

    id: str
    words: str
    expected: str
    judge: Callable[..., Finding]
    needed: tuple[str, ...] = ()


def joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the claims of all experiments in one table.

    Parameters
    ----------
    tables : dict of DataFrame
        Columns `COLUMNS`, by the name of the function that judged.

    Raises
    ------
    ValueError
        If two experiments use one id.
    """
    homes: dict[str, str] = {}
    for judge, table in tables.items():
        for name in table["id"].unique():
            if name in homes:
                raise ValueError(
                    f"the claim id {name!r} is used by {homes[name]} and by {judge}; give each "
                    "experiment ids of its own"
                )
            homes[name] = judge
    return pd.concat(tables.values(), ignore_index=True)


def stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the claims of one experiment in one table, which is empty where it did not run."""
    found = list(tables)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def judged(
    statements: Iterable[Statement], findings_of: Callable[[Statement], dict[str, Finding]]
) -> pd.DataFrame:
    """Return the table of some statements.

    Parameters
    ----------
    statements : iterable of Statement
    findings_of : callable
        From a statement to its findings by the name of the data set. Verdicts are corrected for the
        number of these that are tests.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; verdict is "reproduced", "not resolved", "not reproduced" or "not run".
    """
    rows = [
        (statement.id, name, statement.words, statement.expected, finding.measured, finding.verdict)
        for statement in statements
        for name, finding in corrected(findings_of(statement)).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict_of(holds: bool) -> str:
    """Return the verdict of a statement that holds or does not, without a test."""
    return "reproduced" if holds else "not reproduced"


def worst(verdicts: Iterable[str]) -> str:
    """Return the verdict of a statement that holds where each of its parts does."""
    return min(verdicts, key=("not reproduced", "not resolved", "reproduced").index)


def corrected(findings: dict[str, Finding]) -> dict[str, Finding]:
    """Return findings of one statement with verdicts corrected for the number of its tests."""
    tested = {name: f for name, f in findings.items() if np.isfinite(f.p)}
    if len(tested) < 2:
        return findings
    adjusted = significance.holm([finding.p for finding in tested.values()])
    found = zip(tested.items(), adjusted, strict=True)
    return findings | {name: _adjusted(finding, p, len(tested)) for (name, finding), p in found}


def _adjusted(finding: Finding, p: float, tests: int) -> Finding:
    words = f"{finding.measured}; p = {p:.2g} after Holm's correction for {tests} tests"
    if finding.interval is None or finding.verdict == "not resolved":
        return finding._replace(measured=words)
    return finding._replace(measured=words, verdict=finding.interval.verdict(p))


def unless_uncertified(finding: Finding, missed: int, unit: str = "solve(s)") -> Finding:
    """Return a finding that is not resolved if some solves it rests on are not certified.

    Parameters
    ----------
    finding : Finding
    missed : int
        Number of solves that are not certified.
    unit : str
        The noun for them.
    """
    if not missed or finding.verdict == "not run":
        return finding
    words = f"{finding.measured}; {missed} {unit} not certified"
    return finding._replace(measured=words, verdict="not resolved")


def uncertified(rows: Iterable[pd.DataFrame]) -> int:
    """Return the number of convex solves in some tables that missed their tolerance."""
    return sum(int(selection.not_certified(some).sum()) for some in rows)


def about_cifar(finding: Finding, entries: Iterable[dict]) -> Finding:
    """Return the finding of a statement about CIFAR: on other data what was measured, "not run".

    Parameters
    ----------
    finding : Finding
        As if the statement were about any data.
    entries : iterable of dict
        Entries of the data sets in the config.
    """
    others = sorted({entry["source"] for entry in entries} - SIDES.keys())
    words = f"the statement is about CIFAR, these data are {', '.join(others)}; here: "
    return Finding(words + finding.measured, "not run") if others else finding


def samples_words(entry: dict) -> str:
    """Return the number of training samples in words, from an entry of the config with n."""
    return f"n = {entry['n']:,}" if entry["n"] else "all training images"


def setting_words(rows: pd.DataFrame) -> str:
    """Return the name of a method for readers with its setting, from the rows of the setting."""
    first = rows.iloc[0]
    chosen = [f"beta {first['beta']:g}"]
    if first["method"] in (*SOLVED, *TRAINED):
        chosen.insert(0, f"P = {first['gates']:.0f}")
    if first["method"] in (TRUNCATED, by_sgd(TRUNCATED)):
        chosen.insert(0, f"k = {first['rank']:.0f}")
    elif first["method"] in (FILTERED, by_sgd(FILTERED)):
        chosen.insert(0, selection.filter_words(first["filter_kind"], first["filter_value"]))
    return f"{find(first['method']).words} ({', '.join(chosen)})"


def chosen_of(runs: pd.DataFrame, methods: Iterable[str]) -> tuple[list[pd.DataFrame], str]:
    """Return the rows of each method's chosen setting, and in words the methods that have none."""
    chosen = selection.chosen(runs)
    missing = " and ".join(method for method in methods if method not in chosen)
    found = [chosen[method] for method in methods if method in chosen]
    return found, missing and f"no run of {missing}, or only diverged ones"
