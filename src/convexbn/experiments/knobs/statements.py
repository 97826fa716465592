"""Statements on the headline's network under each knob, against the truncated convex program.

Everything is chosen on validation images: the program's rank and weight decay, and the learning
rate of each knob. Test accuracies are paired by seed (:mod:`convexbn.reporting.significance`).
"""

from collections.abc import Callable
from functools import partial

import pandas as pd

from convexbn.experiments.knobs.choice import KNOB, chosen
from convexbn.experiments.knobs.settings import ALL, BN, CROSS_ITERATION, LAST, RESCALED, Knob
from convexbn.reporting import significance
from convexbn.reporting.claims import (
    Finding,
    Statement,
    about_cifar,
    chosen_of,
    judged,
    samples_words,
    stacked,
    uncertified,
    unless_uncertified,
    worst,
)
from convexbn.reporting.methods import TRUNCATED
from convexbn.reporting.significance import LEVEL, SEEDS, Interval

MARGIN = 0.015  # of test accuracy: that of Liu et al. (2021) here, as in the experiment on theirs
_NO_PROGRAM = Finding("no run of the truncated program on this data set", "not run")


def knobs(knobs: pd.DataFrame, runs: pd.DataFrame, datasets: dict[str, dict]) -> pd.DataFrame:
    """Judge every run of knobs.

    Parameters
    ----------
    knobs : DataFrame
        Columns dataset, run and `convexbn.experiments.knobs.settings.COLUMNS`; empty without runs.
    runs : DataFrame
        The runs of the headline, columns `convexbn.reporting.selection.RUNS`.
    datasets : dict
        Entries of the data sets in the config, with n. The statements are about CIFAR; on any other
        source they are measured and "not run".

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    groups = knobs.groupby(["dataset", "run"]) if len(knobs) else ()
    return stacked(
        _of_run(dataset, run, rows, runs[runs["dataset"] == dataset], datasets[dataset])
        for (dataset, run), rows in groups
    )


def _of_run(
    dataset: str, run: str, rows: pd.DataFrame, runs: pd.DataFrame, entry: dict
) -> pd.DataFrame:
    program, missing = chosen_of(runs, [TRUNCATED])

    def findings_of(statement: Statement) -> dict[str, Finding]:
        if statement.needed and missing:
            return {dataset: _NO_PROGRAM}
        finding = statement.judge(rows, *program if statement.needed else ())
        if statement.needed:
            finding = unless_uncertified(finding, uncertified(program))
        finding = about_cifar(finding, [entry])
        words = f"{run}, {samples_words(entry)}: {finding.measured}"
        return {dataset: finding._replace(measured=words)}

    return judged(_STATEMENTS, findings_of)


def against(rows: pd.DataFrame, program: pd.DataFrame) -> dict[Knob, Interval]:
    """Return the difference program - network in test accuracy of each knob, paired by seed.

    Parameters
    ----------
    rows : DataFrame
        Those of :func:`convexbn.experiments.knobs.choice.chosen`.
    program : DataFrame
        The chosen setting of the convex program, one row per seed.
    """
    return {
        Knob(*knob): significance.interval(significance.differences(program, part))
        for knob, part in rows.groupby(KNOB, sort=False)
    }


def _ahead(tried: pd.DataFrame, program: pd.DataFrame) -> Finding:
    """Judge whether the program is ahead of the network under every knob.

    A knob under which no network was trained resolves nothing.
    """
    rows = chosen(tried)
    found = against(rows, program)
    lost = [
        Knob(*knob).words for knob, _ in tried.groupby(KNOB, sort=False) if Knob(*knob) not in found
    ]
    if not found:
        return Finding("every network diverged", "not resolved")
    p = significance.holm([interval.p for interval in found.values()])
    verdicts = [
        interval.verdict(adjusted) for interval, adjusted in zip(found.values(), p, strict=True)
    ]
    closest, smallest = min(found.items(), key=lambda item: item[1].mean)
    farthest, largest = max(found.items(), key=lambda item: item[1].mean)
    edges = sum(bool(part["at_edge"].iloc[0]) for _, part in rows.groupby(KNOB))
    words = (
        f"program {_percent(program)} % ({len(program)} seeds); {smallest.points} over "
        f"{closest.words}, {largest.points} over {farthest.words}; ahead of "
        f"{verdicts.count('reproduced')} of {len(found)} knobs, behind "
        f"{verdicts.count('not reproduced')}, after Holm's correction; {edges} learning rate(s) at "
        "an end of those tried"
    )
    if lost:
        words += f"; diverged at every learning rate: {', '.join(lost)}"
    return Finding(words, worst([*verdicts, *["not resolved"] * len(lost)]))


def _above(
    first: Callable[[pd.DataFrame], Knob],
    second: Callable[[pd.DataFrame], Knob],
    margin: float,
    tried: pd.DataFrame,
) -> Finding:
    """Judge whether the first knob is above the second, or below it by less than a margin."""
    rows = chosen(tried)
    pair = [_of(rows, knob(tried)) for knob in (first, second)]
    if any(part.empty for part in pair):
        return Finding("no learning rate at which one of the two did not diverge", "not run")
    found = significance.interval(significance.differences(*pair))
    words = (
        f"{found.points}: {first(tried).words} {_percent(pair[0])} %, {second(tried).words} "
        f"{_percent(pair[1])} %"
    )
    return Finding(words, found.between(low=-margin))


def _of(rows: pd.DataFrame, knob: Knob) -> pd.DataFrame:
    return rows[(rows[KNOB] == list(knob)).all(axis=1)]


def _smallest(normalization: str, rows: pd.DataFrame) -> Knob:
    """Return the knob of the smallest batch that both normalizations tried."""
    sizes = rows[rows["decay"] == LAST].groupby("batch_size")["normalization"].nunique()
    return Knob(normalization, int(sizes.index[sizes == sizes.max()].min()), LAST)


def _base(decay: str, rows: pd.DataFrame) -> Knob:
    """Return the knob of a decay; all but that of the last layers have the headline's batch."""
    batch = rows.loc[rows["decay"] != LAST, "batch_size"]
    return Knob(BN, int(batch.iloc[0]) if len(batch) else 0, decay)


def _percent(rows: pd.DataFrame) -> str:
    return f"{100 * rows['test_accuracy'].mean():.1f}"


_STATEMENTS = (
    Statement(
        "K1",
        "The truncated convex program has a higher test accuracy than the BN network under every "
        "knob: batch size with BN and cross-iteration BN, weight decay and rescaling, each at its "
        "learning rate chosen on validation data",
        f"program - network above zero for every knob, paired over at least {SEEDS} seeds, after "
        "Holm's correction for the number of knobs",
        _ahead,
        (TRUNCATED,),
    ),
    Statement(
        "K2",
        "In the headline's network cross-iteration BN is above BN at the smallest batch of both",
        f"{LEVEL:.0%} interval of cross-iteration BN - BN in test accuracy above zero, at "
        f"least {SEEDS} seeds",
        partial(_above, partial(_smallest, CROSS_ITERATION), partial(_smallest, BN), 0.0),
    ),
    Statement(
        "K3",
        "In the headline's network rescaling the first layer is not below decaying it",
        f"{LEVEL:.0%} interval of rescaled - decayed above {-100 * MARGIN:g} points of test "
        f"accuracy, at least {SEEDS} seeds",
        partial(_above, partial(_base, RESCALED), partial(_base, ALL), MARGIN),
    ),
)
