"""Statements on cross-iteration batch normalization.

Errors of statistics are means over the steps at which they were measured; each seed has one, and
statements are judged on 95 % intervals over the seeds (:mod:`convexbn.reporting.significance`).
Where one is about all layers, ages and statistics, every single interval has to show it.
"""

from collections.abc import Iterable

import pandas as pd

from convexbn.experiments.cross_iteration.settings import (
    AGE,
    BN,
    CBN,
    GROUPS,
    KINDS,
    MEAN,
    METHODS,
    NAIVE,
    RENORMALIZATION,
    WINDOW,
)
from convexbn.reporting import significance
from convexbn.reporting.claims import (
    Finding,
    Statement,
    about_cifar,
    judged,
    stacked,
    verdict_of,
    worst,
)
from convexbn.reporting.significance import LEVEL, SEEDS, Interval, interval

EXACT = 1e-5
SMALLER = 1.5  # times, the error of statistics over the window
WINDOWS = (1, 8)  # that are compared
COMPENSATED, NAIVELY = KINDS[True], KINDS[False]


def cross_iteration(
    cross_iteration_statistics: pd.DataFrame,
    cross_iteration_accuracies: pd.DataFrame,
    datasets: dict[str, dict],
) -> pd.DataFrame:
    """Judge the runs.

    Parameters
    ----------
    cross_iteration_statistics, cross_iteration_accuracies : DataFrame
        dataset, run and the columns `STATISTICS` and `ACCURACIES` of
        :mod:`convexbn.experiments.cross_iteration.measure`.
    datasets : dict
        Entries of the data sets in the config, with n. Statements on accuracies are about CIFAR;
        what is measured on any other source is listed, and they are "not run" there.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    tables = ((_STATISTICS, cross_iteration_statistics), (_ACCURACIES, cross_iteration_accuracies))
    return stacked(
        _of_run(dataset, run, rows, statements, datasets[dataset])
        for statements, table in tables
        for (dataset, run), rows in table.groupby(["dataset", "run"])
    )


def _of_run(
    dataset: str, run: str, rows: pd.DataFrame, statements: Iterable[Statement], entry: dict
) -> pd.DataFrame:
    def findings_of(statement: Statement) -> dict[str, Finding]:
        finding = statement.judge(rows)
        finding = finding._replace(measured=f"{run}: {finding.measured}")
        if statements is _ACCURACIES:
            finding = about_cifar(finding, [entry])
        return {dataset: finding}

    return judged(statements, findings_of)


def _old(table: pd.DataFrame) -> Finding:
    """Judge compensated against naive errors, less what no compensation is needed for."""
    errors = _by_seed(table[table["against"] == AGE])
    change = errors[COMPENSATED] / errors[NAIVELY]
    found = {case: interval(rows.to_numpy()) for case, rows in change.groupby(_CASE)}
    layers = errors.index.get_level_values("layer")
    last = errors.index.get_level_values("x") == errors.index.get_level_values("x").max()
    words = [
        f"{name}: {_number(rows[COMPENSATED])} against {_number(rows[NAIVELY])}"
        for name, rows in errors[last & (layers > 1)].groupby("statistic")
    ]
    smaller = sum(ratio.mean < 1 for ratio in found.values())
    measured = (
        f"smaller in {smaller} of {len(found)} cases, ratio {_range(found.values())}; "
        f"at tau = {errors.index.get_level_values('x').max()}, above the first layer, "
        f"{', '.join(words)}"
    )
    return Finding(measured, worst(ratio.between(high=1) for ratio in found.values()))


def _first_layer(table: pd.DataFrame) -> Finding:
    first = (table["layer"] == 1) & (table["statistic"] == MEAN) & (table["against"] == AGE)
    errors = table[first].groupby("method")["error"].max()
    words = f"largest error {errors[COMPENSATED]:.1e}, as they were {errors[NAIVELY]:.1e}"
    return Finding(f"{words} standard deviations", verdict_of(bool(errors[COMPENSATED] <= EXACT)))


def _window(table: pd.DataFrame) -> Finding:
    errors = _by_seed(table[table["against"] == WINDOW]).unstack("x")
    if missing := set(WINDOWS) - set(errors[COMPENSATED]):
        return Finding(f"no window of {min(missing)} was measured", "not run")
    found = {}
    for kind in KINDS.values():
        ratio = errors[kind][WINDOWS[0]] / errors[kind][WINDOWS[1]]
        cases = ratio.groupby([name for name in _CASE if name != "x"])
        found[kind] = [interval(rows.to_numpy()) for _, rows in cases]
    verdict = worst(ratio.between(low=SMALLER) for ratio in found[COMPENSATED])
    measured = (
        f"{_range(found[COMPENSATED])} times smaller (over layers and statistics); without "
        f"compensation {_range(found[NAIVELY])} times"
    )
    return Finding(measured, verdict)


_CASE = ["layer", "statistic", "x"]


def _by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean errors over the steps: a column per method, indexed by `_CASE` and seed."""
    means = rows.groupby([*_CASE, "seed", "method"])["error"].mean()
    return means.unstack("method")


def _smallest(table: pd.DataFrame) -> Finding:
    size = table["batch_size"].min()
    rows = table[table["batch_size"] == size]
    found = _difference(rows, CBN, BN)
    others = ", ".join(f"{name} {_percent(rows, name)}" for name in (GROUPS, RENORMALIZATION))
    words = (
        f"batches of {size}: {found.points}; {_percent(rows, CBN)} against {_percent(rows, BN)} "
        f"% ({others})"
    )
    return _unless_diverged(Finding(words, found.verdict(), found), rows, CBN, BN)


def _loss(table: pd.DataFrame) -> Finding:
    """Judge how much less the accuracy falls from the largest to the smallest batch.

    A method that is worse with large batches has less to lose: that refutes the statement.
    """
    small, large = table["batch_size"].min(), table["batch_size"].max()
    if small == large:
        return Finding("one batch size shows no loss", "not run")
    change = table.pivot(index=["method", "seed"], columns="batch_size", values="test_accuracy")
    fall = (change[large] - change[small]).unstack("method")
    found = interval((fall[BN] - fall[CBN]).dropna().to_numpy())
    at_large = _difference(table[table["batch_size"] == large], CBN, BN)
    words = ", ".join(f"{name} {100 * fall[name].mean():.1f}" for name in METHODS)
    measured = (
        f"{found.points} less; points from {large} to {small}: {words}; difference at {large}: "
        f"{at_large.points}"
    )
    finding = Finding(measured, found.verdict(), found)
    if at_large.between(low=0) == "not reproduced":
        finding = Finding(measured, "not reproduced")
    return _unless_diverged(finding, table[table["batch_size"].isin([small, large])], CBN, BN)


def _compensation(table: pd.DataFrame) -> Finding:
    size = table["batch_size"].min()
    rows = table[table["batch_size"] == size]
    found = _difference(rows, CBN, NAIVE)
    ends = f"{_percent(rows, CBN)} against {_percent(rows, NAIVE)} %"
    finding = Finding(f"batches of {size}: {found.points}; {ends}", found.verdict(), found)
    return _unless_diverged(finding, rows, CBN, NAIVE)


def _unless_diverged(finding: Finding, rows: pd.DataFrame, *methods: str) -> Finding:
    """Return a finding that resolves nothing where a network of the methods has diverged.

    Those that are left would be a selection.
    """
    if rows.loc[rows["method"].isin(methods), "diverged"].astype(bool).any():
        return finding._replace(verdict="not resolved")
    return finding


def _difference(rows: pd.DataFrame, first: str, second: str) -> Interval:
    one, other = (rows[rows["method"] == name] for name in (first, second))
    return interval(significance.differences(one, other))


def _percent(rows: pd.DataFrame, method: str) -> str:
    found = rows[rows["method"] == method]
    diverged = int(found["diverged"].astype(bool).sum())
    words = f"{100 * found['test_accuracy'].mean():.1f}"
    return f"{words} ({diverged} diverged)" if diverged else words


def _number(values: pd.Series) -> str:
    return f"{values.mean():.2g}"


def _range(found: Iterable[Interval]) -> str:
    means = [ratio.mean for ratio in found]
    return f"{min(means):.2f} to {max(means):.2f}"


_STATISTICS = (
    Statement(
        "X1",
        "Compensated for the change of a layer's own weights, means and means of squares of a "
        "batch of tau steps ago are nearer to what they are now than as they were",
        f"{LEVEL:.0%} interval of the ratio of both errors below 1 in every layer, for every tau "
        f"and both statistics, over at least {SEEDS} seeds",
        _old,
    ),
    Statement(
        "X2",
        "In the first layer, whose inputs do not change, compensated means are exact",
        f"error <= {EXACT:g} standard deviations",
        _first_layer,
    ),
    Statement(
        "X3",
        f"Statistics over a window of {WINDOWS[1]} iterations are nearer to those of a large batch "
        "than statistics of the batch",
        f"{LEVEL:.0%} interval of the ratio of both errors above {SMALLER:g} in every layer, for "
        f"means and standard deviations, over at least {SEEDS} seeds",
        _window,
    ),
)
_RESOLVED = f"{LEVEL:.0%} interval of the difference above 0, paired over at least {SEEDS} seeds"
_ACCURACIES = (
    Statement(
        "X4a",
        "At the smallest batch size, cross-iteration BN is more accurate than BN",
        _RESOLVED,
        _smallest,
    ),
    Statement(
        "X4b",
        "From the largest to the smallest batch size, cross-iteration BN loses less accuracy than "
        "BN, and it is not below BN at the largest",
        f"{_RESOLVED}; that of cross-iteration BN - BN at the largest batch size not below 0",
        _loss,
    ),
    Statement(
        "X4c",
        "At the smallest batch size, compensation makes the window more accurate",
        _RESOLVED,
        _compensation,
    ),
)
