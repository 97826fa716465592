"""Statements on the theorems, judged on the tables of the theory."""

import math

import pandas as pd

from convexbn.experiments.theory import NEAR
from convexbn.reporting.claims import Finding, Statement, judged, unless_uncertified, verdict_of

EXACT = 1e-6  # relative: what counts as equal, and as certified


def exactness(**tables: pd.DataFrame) -> pd.DataFrame:
    """Judge the theorems.

    Parameters
    ----------
    **tables : DataFrame
        By name: theorems, duality, depth and counting. Without any of them, as in a run without the
        theory, there is nothing to judge.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`, no rows without the theory. A statement on
        solves that are not certified is "not resolved".
    """
    missed = int((~tables["theorems"]["certified"]).sum()) if tables else 0

    def findings_of(statement: Statement) -> dict[str, Finding]:
        resting = missed if statement.id in _RESTING else 0
        return {"synthetic": unless_uncertified(statement.judge(tables), resting, "row(s)")}

    return judged(_STATEMENTS if tables else (), findings_of)


def _recovered(tables: dict[str, pd.DataFrame]) -> Finding:
    return _largest(tables["theorems"], "relative_difference")


def _round_trip(tables: dict[str, pd.DataFrame]) -> Finding:
    return _largest(tables["theorems"], "round_trip_difference")


def _largest(theorems: pd.DataFrame, measure: str) -> Finding:
    """Judge whether a measure of every theorem is at most `EXACT`; name the worst."""
    values = theorems[measure].fillna(math.inf)
    worst = theorems.loc[values.idxmax(), "id"]
    words = f"{values.max():.1e} at most ({worst}), {len(theorems)} programs"
    return Finding(words, verdict_of(bool((values <= EXACT).all())))


def _never_below(tables: dict[str, pd.DataFrame]) -> Finding:
    """Judge whether every trained network is at or above the optimum."""
    best = tables["theorems"]["relative_excess"]
    excess = pd.concat([best, tables["duality"]["relative_excess"], _ends(tables["depth"])])
    words = f"lowest relative excess {excess.min():+.1e}, {len(excess)} trained networks"
    return Finding(words, verdict_of(bool((excess >= -EXACT).all())))


def _reached(tables: dict[str, pd.DataFrame]) -> Finding:
    """Judge whether the best trial at the largest width reaches the optimum, for each problem."""
    duality = tables["duality"]
    widest = duality[duality["width"] == duality.groupby("problem")["width"].transform("max")]
    best = widest.groupby("problem")["relative_excess"].min()
    ends = _ends(tables["depth"])
    best = pd.concat([best, ends.groupby(tables["depth"].loc[ends.index, "depth"]).min()])
    best.index = [name if isinstance(name, str) else f"depth {name}" for name in best.index]
    words = f"relative excess {best.max():.1e} at most ({best.idxmax()}), {len(best)} problems"
    return Finding(words, verdict_of(bool((best <= NEAR).all())))


def _ends(depth: pd.DataFrame) -> pd.Series:
    """Return the relative excess of each deep network at the end of its training."""
    return depth.loc[depth["iteration"] == depth["iteration"].max(), "relative_excess"]


def _certified(tables: dict[str, pd.DataFrame]) -> Finding:
    solved = tables["theorems"].query("program != 'closed_form'")
    if solved.empty:
        return Finding("no theorem but closed forms in the config", "not run")
    gap, violation = solved["relative_gap"], solved["violation"]
    words = f"relative gap {gap.max():.1e} and violation {violation.max():.1e} at most"
    return Finding(words, verdict_of(bool((gap <= EXACT).all() and (violation <= EXACT).all())))


def _closed(tables: dict[str, pd.DataFrame]) -> Finding:
    closed = tables["theorems"].query("program == 'closed_form'")
    if closed.empty:
        return Finding("no closed form in the config", "not run")
    return _largest(closed, "relative_gap")


def _counted(tables: dict[str, pd.DataFrame]) -> Finding:
    """Judge whether enumeration and formula agree on every design."""
    kinds = tables["counting"].query("kind != 'sampled'")
    if "enumerated" not in set(kinds["kind"]):
        return Finding("no design small enough to enumerate in the config", "not run")
    wide = kinds.pivot(index=["rank", "n"], columns="kind", values="arrangements")
    equal = wide["enumerated"] == wide["formula"]
    words = f"{equal.sum()} of {len(equal)} equal, up to {wide['enumerated'].max():,} arrangements"
    return Finding(words, verdict_of(bool(equal.all())))


_RESTING = ("E1a", "E1b", "E1c")  # the statements that rest on the convex optimum

_STATEMENTS = (
    Statement(
        "E1a",
        "The network recovered from a convex solution has the convex optimum as its objective",
        f"relative difference <= {EXACT:.0e}",
        _recovered,
    ),
    Statement(
        "E1b",
        "No trained network comes below the convex optimum",
        f"relative excess >= -{EXACT:.0e}",
        _never_below,
    ),
    Statement(
        "E1c",
        "Wide networks trained from many random starts reach the convex optimum",
        f"best relative excess <= {NEAR:.0e} at the largest width",
        _reached,
    ),
    Statement(
        "E1d",
        "The convex solutions are feasible and certified",
        f"relative gap and constraint violation <= {EXACT:.0e}",
        _certified,
    ),
    Statement(
        "E1e",
        "With centred data of rank n - 1 the optimum is a closed form, for every depth",
        f"relative distance from the exact program's dual bound <= {EXACT:.0e}",
        _closed,
    ),
    Statement(
        "E1f",
        "There are 2 sum_(k<=r) binom(n-1, k) arrangements of n points of rank r",
        "enumeration and formula equal",
        _counted,
    ),
    Statement(
        "E1g",
        "The way back from the recovered network to blocks of the program keeps the objective",
        f"relative difference <= {EXACT:.0e}",
        _round_trip,
    ),
)
