"""Selection of settings: from the tables of the runs to the numbers of the report.

A run tries several settings (run, beta, learning rate), each with several seeds. Settings are
chosen by their mean validation accuracy and judged by their last epoch or final iterate; the test
columns are reported, and never choose anything. A run that was tuned with some of its seeds has the
others in one setting only, and that is the run's setting. Runs that are not candidates show the
effect of a quantity, and are never chosen either.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convexbn.pipeline.artifacts import stack
from convexbn.reporting.histories import last_rows
from convexbn.reporting.methods import METHODS, SOLVED
from convexbn.reporting.registries import present
from convexbn.training.tuning import best_setting

RUNS = [
    *("dataset", "run", "method", "candidate", "seed", "beta", "learning_rate", "optimizer"),
    *("batch_size", "recipe", "rank", "energy", "filter_kind", "filter_value", "gates"),
    *("loss", "penalty"),
    *("train_accuracy", "validation_accuracy", "test_accuracy", "train_loss", "test_loss"),
    *("test_nll", "test_ece", "temperature"),
    *("objective", "relative_gap", "certified", "neurons", "seconds"),
]
SETTING = ["run", "beta", "learning_rate"]
# Columns that a run fixes for all its settings.
SIZES = [
    *("rank", "energy", "filter_kind", "filter_value", "gates", "loss", "penalty"),
    *("optimizer", "batch_size", "recipe"),
]
MEASURES = [
    *("validation_accuracy", "test_accuracy", "train_accuracy", "train_loss", "test_loss"),
    *("test_nll", "test_ece", "objective", "relative_gap", "neurons", "seconds"),
]


def collect(
    evaluations: pd.DataFrame, sgd: pd.DataFrame, aside: Collection[str] = ()
) -> pd.DataFrame:
    """Return one row per run, seed and setting, in the columns `RUNS`.

    Parameters
    ----------
    evaluations : DataFrame
        Final iterates of the convex runs, already in the columns `RUNS`.
    sgd : DataFrame
        Histories of the SGD runs; the last epoch of each is kept, whatever its accuracy.
    aside : collection of str
        The SGD runs that are no candidates.

    Raises
    ------
    ValueError
        If both are empty, or a method is unknown (named in the message).
    """
    runs = stack([evaluations, _last_epochs(sgd, aside) if len(sgd) else sgd])
    if runs.empty:
        raise ValueError("expected at least one run to tabulate, got none; add one to the config")
    present("method", runs["method"], METHODS)
    order = ["dataset", "method", "run", "beta", "learning_rate", "seed"]
    runs = runs.reindex(columns=RUNS).sort_values(order, key=_in_order, ignore_index=True)
    # Networks have no spectrum, hence no filter of it.
    kinds = runs["filter_kind"].astype(object).fillna("")
    return runs.assign(filter_kind=kinds, candidate=runs["candidate"].ne(False))


def _last_epochs(sgd: pd.DataFrame, aside: Collection[str]) -> pd.DataFrame:
    networks = last_rows(sgd, ["dataset", "seed", *SETTING]).rename(columns={"width": "neurons"})
    return networks.assign(candidate=~networks["run"].isin(aside))


def _in_order(column: pd.Series) -> pd.Series:
    """Sort methods as `METHODS` lists them and everything else as usual."""
    return column.map(list(METHODS).index) if column.name == "method" else column


def not_certified(rows: pd.DataFrame) -> pd.Series:
    """Return a mask of the convex solves that missed their tolerance; never true for SGD."""
    return rows["certified"].eq(False)


def select(runs: pd.DataFrame, by: Sequence[str] = ("dataset", "method")) -> pd.DataFrame:
    """Return the rows (all seeds) of the best setting in each group.

    The best setting has the highest mean validation accuracy over its seeds; ties go to the larger
    beta, then to the smaller learning rate, the smaller rank, the first name. Three kinds of
    settings are never chosen: those with a diverged seed (its objective or validation accuracy is
    not finite), those of a run that is not a candidate, and those that have fewer seeds than
    another setting of their run in the group. A group without any other setting has no rows in the
    result.

    Parameters
    ----------
    runs : DataFrame
        Columns `RUNS`.
    by : sequence of str
        Columns whose values make a group, for example ("method", "beta").

    Raises
    ------
    ValueError
        If the settings of a method that did not diverge have no validation accuracy.
    """
    runs = candidates(runs)
    _check_validation(runs)
    keys = list(dict.fromkeys([*by, *SETTING]))
    settings = runs.groupby(keys, dropna=False, as_index=False).agg(
        score=("validation_accuracy", _mean_of_all),
        loss=("objective", _mean_of_all),
        size=("rank", "max"),
        seeds=("seed", "nunique"),
    )
    most = settings.groupby([*dict.fromkeys([*by, "run"])], dropna=False)["seeds"].transform("max")
    settings = settings[settings["seeds"] == most]
    settings = settings[np.isfinite(settings["score"]) & np.isfinite(settings["loss"])]
    settings = settings.sort_values(
        ["score", "beta", "learning_rate", "size", "run"],
        ascending=[False, False, True, True, True],
    )
    best = settings.groupby(list(by), dropna=False).head(1)
    return runs.merge(best[keys], on=keys)


def best_rows(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows (all seeds) of the setting that did best on validation images.

    Parameters
    ----------
    rows : DataFrame
        The end of each training of one method: validation_accuracy, diverged and the columns
        `names`. A setting with a seed that diverged is left out; without any other, all are.
    names : sequence of str
        The columns that make a setting, see :func:`convexbn.training.tuning.best_setting`.
    """
    stable = ~rows["diverged"].astype(bool)
    scored = rows.assign(validation_accuracy=rows["validation_accuracy"].where(stable))
    best = best_setting(scored.to_dict("records"), names)
    return rows.iloc[:0] if best is None else rows[(rows[list(names)] == list(best)).all(axis=1)]


def candidates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of runs that may be chosen as their method's setting."""
    return runs[runs["candidate"].ne(False)]


def filter_words(kind: str, value: float) -> str:
    """Return the name of a spectral filter for readers: "ridge 0.01", or "" without one."""
    return f"{kind} {value:g}" if kind else ""


def programs(runs: pd.DataFrame, methods: Sequence[str] = SOLVED) -> pd.DataFrame:
    """Return the rows of some convex programs, at least one.

    Raises
    ------
    ValueError
        If there is none.
    """
    rows = runs[runs["method"].isin(methods)]
    if rows.empty:
        raise ValueError(
            "expected at least one convex run to draw, got none; add one to the config"
        )
    return rows


def _mean_of_all(column: pd.Series) -> float:
    """Return the mean, NaN if a value is, rounded so that the order of the seeds breaks no tie."""
    return round(column.mean(skipna=False), 12)


def _check_validation(runs: pd.DataFrame) -> None:
    stable = runs[np.isfinite(runs["objective"])]
    for (dataset, method), rows in stable.groupby(["dataset", "method"]):
        if rows["validation_accuracy"].isna().all():
            raise ValueError(
                f"expected validation accuracies to choose a setting of {method!r} on {dataset!r}, "
                "got none; give the dataset some `validation` images in the config"
            )


def chosen(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows at each method's chosen setting, by the method; see :func:`select`."""
    return dict(list(select(runs).groupby("method")))


def summarize(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return mean and standard deviation (ddof 1, NaN for one seed) of `MEASURES` in each group.

    Returns
    -------
    DataFrame
        Columns `by`; those of `SIZES` that are not among them; seeds (their number); certified
        (True if every solve of the group is, NaN for SGD); `{measure}_mean` and `{measure}_std` for
        each of `MEASURES`.
    """
    groups = rows.groupby(list(by), dropna=False)
    spread = groups[MEASURES].agg(["mean", "std"])
    spread.columns = [f"{measure}_{statistic}" for measure, statistic in spread.columns]
    sizes = groups[[column for column in SIZES if column not in by]].first()
    certified = groups["certified"].agg(_all_certified).astype(object)
    seeds = groups["seed"].nunique().rename("seeds")
    return pd.concat([sizes, seeds, certified, spread], axis=1).reset_index()


def _all_certified(column: pd.Series) -> bool | float:
    return bool(column.eq(True).all()) if column.notna().any() else np.nan


def methods(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per dataset and method with a candidate, at the setting chosen on validation.

    Column `edges` names the parts of the setting that are the smallest or the largest of several
    tried, also by runs that are no candidates (beta and learning rate by its run and those that
    differ from it in nothing of `SIZES`; rank by its method, and the value of a filter by its
    method and kind): with others the method might do better still. Column `fixed` names those of
    beta and learning rate of which these runs tried one value only.

    Raises
    ------
    ValueError
        If there is no validation data, or every setting of a method diverged.
    """
    by = ["dataset", "method"]
    chosen = select(runs, by)
    missing = set(candidates(runs).groupby(by).groups) - set(chosen.groupby(by).groups)
    if missing:
        raise ValueError(
            "expected a setting without a diverged seed for each dataset and method, found none "
            f"for {sorted(missing)}; add smaller learning rates in the config"
        )
    table = summarize(chosen, [*by, *SETTING])
    table["edges"] = [_edges(setting, runs) for setting in table.itertuples()]
    table["fixed"] = [_fixed(setting, runs) for setting in table.itertuples()]
    return table.sort_values(by, key=_in_order, ignore_index=True)


def _edges(setting, runs: pd.DataFrame) -> str:
    method, run = _of_method(setting, runs), alike(setting, runs)
    of_kind = method[method["filter_kind"] == setting.filter_kind]
    tried = {"beta": run, "learning_rate": run, "rank": method, "filter_value": of_kind}
    several = {name: rows[name] for name, rows in tried.items() if rows[name].nunique() > 1}
    ends = {name: (values.min(), values.max()) for name, values in several.items()}
    return ", ".join(name for name, found in ends.items() if getattr(setting, name) in found)


def _fixed(setting, runs: pd.DataFrame) -> str:
    run = alike(setting, runs)
    return ", ".join(name for name in ("beta", "learning_rate") if run[name].nunique() == 1)


def _of_method(setting, runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["dataset"].eq(setting.dataset) & runs["method"].eq(setting.method)]


def alike(setting: Any, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a setting's run, and of those that differ from it in nothing of `SIZES`.

    Parameters
    ----------
    setting : named tuple
        A row of :func:`methods`.
    runs : DataFrame
        Columns `RUNS`.
    """
    method = _of_method(setting, runs)
    sizes = method[SIZES].astype(object)
    own = sizes[method["run"].eq(setting.run)].iloc[0]
    return method[(sizes.eq(own) | (sizes.isna() & own.isna())).all(axis=1)]
