"""Statements on the biases of SGD with batch normalization, and on weight rescaling.

Identities hold where they hold to `EXACT` at every step. Accuracies are compared in pairs over the
seeds (:mod:`convexbn.reporting.significance`). Each such statement is one of non-inferiority with a
margin: it is reproduced where the whole 95 % interval of the difference lies on the right side of
the margin, not reproduced where all of it lies on the other, and not resolved in between. The
settings that are compared are chosen on validation images.
"""

import numpy as np
import pandas as pd

from convexbn.experiments.rescaling.choice import SETTING, at_all_rates, chosen, finished
from convexbn.experiments.rescaling.settings import DECAY, METHODS, RESCALING
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
from convexbn.reporting.histories import last_rows
from convexbn.reporting.significance import LEVEL, SEEDS, Interval, interval

IDENTITIES = "rescaling_identities"  # a table; its statements come first
EXACT = 1e-6
SLOPE = (0.8, 1.6)  # of the growth of a squared norm in the learning rate, both logarithms
BELOW = 0.015  # of test accuracy, that weight rescaling may be below weight decay
WIDER = 0.01  # of test accuracy, by which its spread over learning rates may be larger
LOST = 0.005  # of test accuracy, that dropping a part of the weights may lose


def rescaling(datasets: dict[str, dict], **tables: pd.DataFrame) -> pd.DataFrame:
    """Judge identities and runs.

    Parameters
    ----------
    datasets : dict
        Entries of the data sets in the config, with n. Statements on accuracies are about CIFAR;
        what is measured on any other source is listed, and they are "not run" there.
    **tables : DataFrame
        `rescaling_identities`, if there are any, with the columns
        `convexbn.experiments.rescaling.measure.IDENTITIES`; all others are of runs: dataset, run
        and `convexbn.experiments.rescaling.measure.RUNS`.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    return stacked(
        _of_identities(table) if name == IDENTITIES else _of_run(table, datasets)
        for name, table in sorted(tables.items(), key=lambda item: item[0] != IDENTITIES)
    )


def _of_identities(table: pd.DataFrame) -> pd.DataFrame:
    (dataset,) = table["dataset"].unique()
    return judged(_IDENTITIES, lambda statement: {dataset: statement.judge(table)})


def _of_run(table: pd.DataFrame, datasets: dict[str, dict]) -> pd.DataFrame:
    dataset, run = table[["dataset", "run"]].iloc[0]
    ends = finished(table)
    has_part = ends["spanned_accuracy"].notna().any()
    statements = [*_ACCURACIES, *(_PART if has_part else ())]

    def findings_of(statement: Statement) -> dict[str, Finding]:
        finding = statement.judge(ends)
        finding = finding._replace(measured=f"{run}: {finding.measured}")
        return {dataset: about_cifar(finding, [datasets[dataset]])}

    return judged(statements, findings_of)


def _growth(table: pd.DataFrame) -> Finding:
    """Judge whether every step added what the gradient says, and no filter became shorter."""
    rows = table[table["weight_decay"] == 0]
    error, last = rows["growth_error"].max(), _last(rows)
    falls, steps = int(last["falls"].sum()), int(last["step"].sum())
    words = f"relative error {error:.1e} at most, {falls} fall(s), in {steps:,} steps of a layer"
    return Finding(words, verdict_of(bool(error <= EXACT) and falls == 0))


def _slope(table: pd.DataFrame) -> Finding:
    """Judge the exponent of the growth in the learning rate, layer by layer."""
    last = _last(table[table["weight_decay"] == 0])
    found = {}
    for layer, rows in last.groupby("layer"):
        growth = rows.pivot(index="learning_rate", columns="seed", values="growth")
        if len(growth) < 2:
            return Finding("one learning rate has no slope", "not run")
        found[layer] = interval(significance.slopes(np.log(growth.index), np.log(growth)))
    words = "; ".join(f"layer {layer}: {_ends(slope)}" for layer, slope in found.items())
    return Finding(words, worst(slope.between(*SLOPE) for slope in found.values()))


def _beside(table: pd.DataFrame) -> Finding:
    rows = table[table["beside_error"].notna()]
    has_decay = rows["weight_decay"] > 0
    errors = [rows.loc[mask, "beside_error"].max() for mask in (~has_decay, has_decay)]
    left = _last(rows[has_decay])["beside"]
    words = (
        f"relative error {errors[0]:.1e} at most without decay, and {errors[1]:.1e} with it, which "
        f"left {left.min():.1%} to {left.max():.1%}"
    )
    return Finding(words, verdict_of(max(errors) <= EXACT))


def _last(table: pd.DataFrame) -> pd.DataFrame:
    return last_rows(table, ["seed", "layer", "learning_rate", "weight_decay"], "step")


def _accuracy(ends: pd.DataFrame) -> Finding:
    """Judge the difference of both methods, each at its chosen setting."""
    best = {method: chosen(ends, method) for method in (RESCALING, DECAY)}
    if missing := [method for method, rows in best.items() if not len(rows)]:
        return Finding(f"{missing[0]} has diverged at every learning rate", "not resolved")
    difference = interval(significance.differences(best[RESCALING], best[DECAY]))
    words = (
        f"{difference.points}: "
        f"{_setting(best[RESCALING], ends)} against {_setting(best[DECAY], ends)}"
    )
    return Finding(words, difference.between(low=-BELOW))


def _setting(rows: pd.DataFrame, ends: pd.DataFrame) -> str:
    """Return the mean accuracy of a chosen setting, and what was chosen, in words."""
    tried = ends[ends["method"] == rows["method"].iloc[0]]
    words = []
    for key in SETTING:
        value, values = rows[key].iloc[0], tried[key]
        if value or values.nunique() > 1:
            is_end = values.nunique() > 1 and value in (values.min(), values.max())
            end = ", the " + ("largest" if value == values.max() else "smallest") + " tried"
            words.append(f"{key.replace('_', ' ')} {value:g}{end if is_end else ''}")
    return f"{100 * rows['test_accuracy'].mean():.1f} % ({'; '.join(words)})"


def _spread(ends: pd.DataFrame) -> Finding:
    """Judge the difference of both methods' spreads over the learning rates."""
    found = {}
    for method in (RESCALING, DECAY):
        rows = at_all_rates(ends, method)
        accuracies = rows.pivot(index="learning_rate", columns="seed", values="test_accuracy")
        if len(accuracies) < 2:
            return Finding("one learning rate has no spread", "not run")
        if rows["diverged"].astype(bool).any() or accuracies.isna().any(axis=None):
            return Finding(f"{method} has diverged at some learning rate", "not resolved")
        found[method] = accuracies.max() - accuracies.min()
    difference = interval((found[RESCALING] - found[DECAY]).dropna().to_numpy())
    words = (
        f"{difference.points}: spread "
        f"{100 * found[RESCALING].mean():.1f} against {100 * found[DECAY].mean():.1f} points"
    )
    return Finding(words, difference.between(high=WIDER))


def _dropped(ends: pd.DataFrame) -> Finding:
    """Judge what dropping the part beside the inputs' span costs each method."""
    best = {method: chosen(ends, method) for method in METHODS}
    found = {
        method: interval((rows["spanned_accuracy"] - rows["test_accuracy"]).to_numpy())
        for method, rows in best.items()
        if len(rows)
    }
    if not found:
        return Finding("every method has diverged at every learning rate", "not resolved")
    words = "; ".join(
        f"{method} {change.points} (share of the norm {best[method]['beside'].mean():.0%})"
        for method, change in found.items()
    )
    verdicts = [change.between(low=-LOST) for change in found.values()]
    return Finding(words, worst(verdicts))


def _ends(found: Interval) -> str:
    """Return a mean and its interval in words."""
    ends = f"[{found.low:.2f}, {found.high:.2f}]" if found.pairs > 1 else "(no interval)"
    return f"{found.mean:.2f} {ends}"


_IDENTITIES = (
    Statement(
        "W1a",
        "Without weight decay and momentum, a step of SGD adds eta^2 ||g||^2 to the squared norm "
        "of a filter that BN follows: it never becomes shorter",
        f"relative error of every step's growth, summed over a layer, <= {EXACT:g}; no fall",
        _growth,
    ),
    Statement(
        "W1b",
        "Norms, which gradient flow keeps, grow in proportion to the learning rate by a fixed time "
        "eta t",
        f"{LEVEL:.0%} interval, over at least {SEEDS} seeds, of the log-log slope in {SLOPE}, in "
        "every layer",
        _slope,
    ),
    Statement(
        "W2",
        "SGD leaves the part of the first layer that is orthogonal to the training inputs as it "
        "was drawn, and weight decay lambda multiplies it by 1 - eta lambda in each step",
        f"relative error at every step <= {EXACT:g}, without weight decay and with it",
        _beside,
    ),
)
_ACCURACIES = (
    Statement(
        "W3a",
        "Weight rescaling is as accurate as weight decay",
        f"{LEVEL:.0%} interval of weight rescaling - weight decay above {-100 * BELOW:g} points of "
        f"test accuracy, paired over at least {SEEDS} seeds, each at its chosen setting",
        _accuracy,
    ),
    Statement(
        "W3b",
        "Its accuracy does not depend more on the learning rate",
        f"{LEVEL:.0%} interval of the difference of both spreads (largest - smallest test accuracy "
        f"over the learning rates) below {100 * WIDER:g} point, paired over at least {SEEDS} seeds",
        _spread,
    ),
)
_PART = (
    Statement(
        "W4",
        "A trained network does without the part of its first layer that is orthogonal to the "
        "training inputs",
        f"{LEVEL:.0%} interval of the change of test accuracy without it above {-100 * LOST:g} "
        f"points for every method, paired over at least {SEEDS} seeds",
        _dropped,
    ),
)
