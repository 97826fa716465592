"""Two runs of one config, compared: the verdicts of their claims, the accuracies of their methods.

A claim is the same where its verdict is. A method agrees where both means of its test accuracy are
at most `WIDEST` standard deviations of their difference apart,

    |mean - mean'| <= WIDEST sqrt(s^2 / n + s'^2 / n'),

s and s' the standard deviations over the n and n' seeds (with one seed: that of the other run), or
less than `SHOWN`. With other seeds, by Student's distribution, one method in sixty differs by
chance with five seeds in each run, and one in 25 with three.
"""

import numpy as np
import pandas as pd

WIDEST = 3.0
SHOWN = 0.001  # the last digit of an accuracy in the tables that are shown
FAILURES = ("changed", "missing")  # outcomes with which the run does not stand for the record


def claims(recorded: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the claims of two runs side by side.

    Parameters
    ----------
    recorded, found : DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.

    Returns
    -------
    DataFrame
        Columns id, dataset, recorded and found (the verdicts), outcome ("same", "changed",
        "missing" in the run, or "new" there, also where the record says "not run") and measured,
        what both measured if they differ.
    """
    # Several runs of one experiment may judge a statement on one data set.
    keys = ["id", "dataset", "nth"]
    first, second = (
        table.assign(nth=table.groupby(keys[:2]).cumcount())[[*keys, "verdict", "measured"]]
        for table in (recorded, found)
    )
    pairs = _paired(first, second, keys)
    is_same = pairs["verdict_recorded"] == pairs["verdict_found"]
    outcome = _outcome(pairs, is_same, "same", "changed")
    outcome[(pairs["verdict_recorded"] == "not run") & (outcome == "changed")] = "new"
    was, now = (pairs[f"measured_{side}"].astype(str) for side in ("recorded", "found"))
    return pairs[keys[:2]].assign(
        recorded=pairs["verdict_recorded"].fillna(""),
        found=pairs["verdict_found"].fillna(""),
        outcome=outcome,
        measured=(was + " -> " + now).where(outcome == "changed", ""),
    )


def methods(recorded: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracies of the methods of two runs side by side.

    Parameters
    ----------
    recorded, found : DataFrame
        As of :func:`convexbn.reporting.selection.methods`.

    Returns
    -------
    DataFrame
        Columns dataset, method, recorded and found (mean test accuracies), deviations (of their
        difference, see above), outcome ("agrees", "differs", "one seed" in each, which tells no
        deviation, "missing" or "new") and setting, "" or the settings that were chosen, if they are
        two.
    """
    keys = ["dataset", "method"]
    pairs = _paired(_settled(recorded, keys), _settled(found, keys), keys)
    first, second = (pairs[f"std_{side}"] for side in ("recorded", "found"))
    variance = first.fillna(second) ** 2 / pairs["seeds_recorded"]
    variance += second.fillna(first) ** 2 / pairs["seeds_found"]
    distance = (pairs["mean_recorded"] - pairs["mean_found"]).abs()
    deviations = distance / np.sqrt(variance)  # infinite where every seed has one accuracy
    agrees = (deviations <= WIDEST) | (distance < SHOWN)
    settings = pairs["setting_recorded"] + " -> " + pairs["setting_found"]
    is_other = pairs["setting_recorded"] != pairs["setting_found"]
    return pairs[keys].assign(
        recorded=pairs["mean_recorded"],
        found=pairs["mean_found"],
        deviations=deviations,
        outcome=_outcome(pairs, agrees, "agrees", np.where(variance.isna(), "one seed", "differs")),
        setting=settings.where(is_other).fillna(""),
    )


def _settled(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return what is compared of a table of methods; its setting in words."""
    rates = (
        table["learning_rate"]
        .map(", learning rate {:g}".format)
        .where(table["learning_rate"].notna(), "")
    )
    words = table["run"] + ", beta " + table["beta"].map("{:g}".format) + rates
    mean, std = table["test_accuracy_mean"], table["test_accuracy_std"]
    return table[keys].assign(mean=mean, std=std, seeds=table["seeds"], setting=words)


def _paired(recorded: pd.DataFrame, found: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    sides = ("_recorded", "_found")
    return recorded.merge(found, on=keys, how="outer", suffixes=sides, indicator="where")


def _outcome(pairs: pd.DataFrame, holds: pd.Series, yes: str, no: str | np.ndarray) -> np.ndarray:
    one_sided = [pairs["where"] == "left_only", pairs["where"] == "right_only"]
    return np.select([*one_sided, holds], ["missing", "new", yes], no)


def claims_words(compared: pd.DataFrame) -> str:
    """Return the result of :func:`claims` as text."""
    changed = compared[compared["measured"] != ""]
    lines = [f"{row.id} on {row.dataset}: {row.measured}" for row in changed.itertuples()]
    table = compared.drop(columns="measured").to_string(index=False)
    return "\n".join([table, *lines, _counted(compared, "claims")])


def methods_words(compared: pd.DataFrame) -> str:
    """Return the result of :func:`methods` as text, accuracies in percent, with the rule."""
    accuracies = {
        side: compared[side].map("{:.1%}".format).replace("nan%", "")
        for side in ("recorded", "found")
    }
    deviations = compared["deviations"].map("{:.1f}".format).replace("nan", "")
    table = compared.assign(**accuracies, deviations=deviations).to_string(index=False)
    rule = (
        f"A method agrees where both mean test accuracies are at most {WIDEST:g} standard "
        f"deviations of their difference apart, or less than {100 * SHOWN:g} points."
    )
    return "\n".join([table, _counted(compared, "methods"), rule])


def _counted(compared: pd.DataFrame, noun: str) -> str:
    counts = compared["outcome"].value_counts()
    words = ", ".join(f"{outcome} {count}" for outcome, count in counts.items())
    return f"{len(compared)} {noun}: {words or 'none'}."
