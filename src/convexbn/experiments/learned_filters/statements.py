"""Statements on learned filters: as good as the best point of a grid, for fewer solves.

For each seed of the gates the grid's best point is that of the highest validation accuracy, as
everywhere in this project, and a descent's is that of the lowest validation loss. Their test
accuracies are compared in pairs (:mod:`convexbn.reporting.significance`). "Not below" is a
statement of non-inferiority: an interval that contains zero does not show it, for a few noisy seeds
would always do. It is taken as shown where the whole interval lies above -`MARGIN`, about one
standard error of an accuracy on 10,000 images, and as refuted where the interval lies below zero.
"""

from collections.abc import Sequence

import pandas as pd

from convexbn.experiments.learned_filters.choice import chosen
from convexbn.experiments.learned_filters.settings import FREE, GRID, SOFT_STEP
from convexbn.reporting import significance
from convexbn.reporting.claims import (
    Finding,
    Statement,
    about_cifar,
    judged,
    samples_words,
    stacked,
    unless_uncertified,
)
from convexbn.reporting.significance import LEVEL, SEEDS

MARGIN = 0.005  # of test accuracy


def learned_filters(learned: pd.DataFrame, datasets: dict[str, dict]) -> pd.DataFrame:
    """Judge the learned filters of every run against its grid.

    Parameters
    ----------
    learned : DataFrame
        Columns dataset, run and `convexbn.experiments.learned_filters.measure.SOLVES`; empty
        without runs.
    datasets : dict
        Entries of the data sets in the config, with n. The statements are about CIFAR; what is
        measured on any other source is listed, and they are "not run" there.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    runs = learned.groupby(["dataset", "run"]) if len(learned) else ()
    return stacked(_of_run(dataset, run, rows, datasets[dataset]) for (dataset, run), rows in runs)


def _of_run(dataset: str, run: str, solves: pd.DataFrame, entry: dict) -> pd.DataFrame:
    def findings_of(statement: Statement) -> dict[str, Finding]:
        finding = statement.judge(solves)
        finding = unless_uncertified(finding, int((~solves["certified"].astype(bool)).sum()))
        finding = about_cifar(finding, [entry])
        words = f"{run}, {samples_words(entry)}: {finding.measured}"
        return {dataset: finding._replace(measured=words)}

    return judged(_STATEMENTS, findings_of)


def _soft_step(solves: pd.DataFrame) -> Finding:
    return _against_grid(solves, SOFT_STEP, [SOFT_STEP])


def _free(solves: pd.DataFrame) -> Finding:
    """Judge the free filter, which starts where the soft step ends: the solves of both count."""
    return _against_grid(solves, FREE, [SOFT_STEP, FREE])


def _against_grid(solves: pd.DataFrame, method: str, spent: Sequence[str]) -> Finding:
    grid = solves[solves["method"].isin(GRID)]
    best = {"learned": chosen(solves[solves["method"] == method]), "grid": chosen(grid)}
    by_loss = chosen(grid, "validation_loss")
    found, other = (_difference(best["learned"], rows) for rows in (best["grid"], by_loss))
    cost = {"learned": solves[solves["method"].isin(spent)], "grid": grid}
    measured = (
        f"{100 * found.mean:+.1f} points, {_ends(found)}, {found.pairs} paired seed(s): "
        f"{_percent(best['learned'])} against {_percent(best['grid'])} % (chosen by validation "
        f"loss {_percent(by_loss)} %, {100 * other.mean:+.1f}); validation loss "
        f"{_loss(best['learned'])} against {_loss(by_loss)}; {_costs(cost)}"
    )
    counts = {name: rows.groupby("seed").size() for name, rows in cost.items()}
    return Finding(measured, _verdict(found, bool((counts["learned"] < counts["grid"]).all())))


def _verdict(found: significance.Interval, is_cheaper: bool) -> str:
    is_refuted = not is_cheaper or found.between(low=0) == "not reproduced"
    return "not reproduced" if is_refuted else found.between(low=-MARGIN)


def _difference(learned: pd.DataFrame, grid: pd.DataFrame) -> significance.Interval:
    pairs = significance.differences(learned.reset_index(), grid.reset_index())
    return significance.interval(pairs)


def _ends(found: significance.Interval) -> str:
    if found.pairs < 2:
        return "no interval"
    return f"{LEVEL:.0%} interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _percent(rows: pd.DataFrame) -> str:
    return f"{100 * rows['test_accuracy'].mean():.1f}"


def _loss(rows: pd.DataFrame) -> str:
    return f"{rows['validation_loss'].mean():.4f}"


def _costs(cost: dict[str, pd.DataFrame]) -> str:
    """Return numbers of solves per seed, and the share of their seconds, in words."""
    counts = {name: rows.groupby("seed").size() for name, rows in cost.items()}
    ends = " to ".join(str(n) for n in sorted({counts["learned"].min(), counts["learned"].max()}))
    seconds = {
        name: rows[["seconds", "backward_seconds"]].sum().sum() for name, rows in cost.items()
    }
    share = seconds["learned"] / seconds["grid"]
    kinks = int(cost["learned"]["at_kink"].astype(bool).sum())
    return (
        f"{ends} solves, {kinks} at a kink in all, instead of {counts['grid'].max()}, "
        f"in {share:.2f} of their seconds"
    )


_NOT_BELOW = (
    f"{LEVEL:.0%} interval of learned - best grid point above {-100 * MARGIN:g} points of test "
    f"accuracy, paired over at least {SEEDS} seeds; with every seed fewer solves than the grid"
)
_STATEMENTS = (
    Statement(
        "C5d",
        "A spectral filter of two parameters and the weight decay, learned by descent through the "
        "certified program, are not below the best of a grid of ranks and ridge filters",
        _NOT_BELOW,
        _soft_step,
    ),
    Statement(
        "C5e",
        "Nor are a filter of one gain per direction and the weight decay, learned from there on",
        f"{_NOT_BELOW}, those of the first filter included",
        _free,
    ),
)
