"""Statements on differentiable convex layers, judged on the tables of the experiments."""

import math
from collections.abc import Iterable

import pandas as pd

from convexbn.reporting.claims import Finding, Statement, judged, stacked, verdict_of

ERROR = 1e-3  # relative error of a gradient
RISE = (0.9, 1.1)  # realised rise of the test loss over the predicted one
SAVED = (0.3, 0.5)  # share of the cost
FASTER = 4  # times
AGREEMENT = 1e-4  # relative error of a derivative of the BN program
COST = 1  # seconds of backward over those of forward
SEEDS = 3  # fewer, or fewer repetitions, resolve nothing
RADIUS = 0.01  # of the paper's poisoning
# The paper's setting.
CONTROL = {
    **{"horizon": 25, "batch": 8, "iterations": 100},
    **{"learning_rate": 0.02, "momentum": 0.9},
}


def layers(**tables: pd.DataFrame) -> pd.DataFrame:
    """Judge the experiments that have run.

    Parameters
    ----------
    **tables : DataFrame
        By name: gradients, poisoning, control, canonicalization, agreement.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    return stacked(_judged(name, tables[name]) for name in _STATEMENTS if name in tables)


def _judged(name: str, table: pd.DataFrame) -> pd.DataFrame:
    return judged(_STATEMENTS[name], lambda statement: {"synthetic": statement.judge(table)})


def _differences(table: pd.DataFrame) -> Finding:
    """Judge the errors against central differences at the step of the config; name the worst."""
    rows = table[table["judged"]]
    step = rows["step"].iloc[0]
    return _largest(rows, "relative_error", f"step {step:.0e}")


def _closed_forms(table: pd.DataFrame) -> Finding:
    known = table["closed_form_error"].notna()
    return _largest(table[table["judged"] & known], "closed_form_error", "closed forms")


def _largest(rows: pd.DataFrame, measure: str, against: str) -> Finding:
    """Judge whether a measure is at most `ERROR` in every row; a NaN counts as infinite."""
    values = rows[measure].fillna(float("inf"))
    worst = rows.loc[values.idxmax(), "layer"]
    words = (
        f"{values.max():.1e} at most ({worst}), {rows['layer'].nunique()} layers, "
        f"{rows['seed'].nunique()} seed(s), {against}; residuals of the solves "
        f"{rows['residual'].max():.0e} at most"
    )
    return Finding(words, verdict_of(bool((values <= ERROR).all())))


def _poisoned(table: pd.DataFrame) -> Finding:
    """Judge the ratio of the realised to the predicted rise in every seed."""
    first = table.groupby("seed").first()
    points = int(table.groupby("seed").size().iloc[0])
    ratio = first["realised"] / first["predicted"]
    words = f"{_spread(ratio)}, {points} + {points} points, radius {first['radius'].iloc[0]:g}"
    if points != 30 or first["radius"].iloc[0] != RADIUS:
        return Finding(f"{words}; the statement is about 30 + 30, radius {RADIUS:g}", "not run")
    return Finding(words, _within(ratio, RISE))


def _learned(table: pd.DataFrame) -> Finding:
    """Judge the share of the cost on held-out noise that learning saves, in every seed."""
    costs = table.pivot(index="iteration", columns="seed", values="cost").sort_index()
    start, end = costs.iloc[0], costs.iloc[-1]  # NaN where the cost was not finite
    saved = 1 - end / start
    words = (
        f"{_spread(saved)}; mean cost {start.mean():.3g} to {end.mean():.3g}, "
        f"{table.groupby('seed')['uncontrolled_cost'].first().mean():.3g} without control"
    )
    ran = {"iterations": table["iteration"].max()} | table.iloc[0].to_dict()
    other = [f"{key} {ran[key]:g}" for key, value in CONTROL.items() if ran[key] != value]
    if other:
        return Finding(f"{words}; not the statement's setting: {', '.join(other)}", "not run")
    if lost := int(saved.isna().sum()):
        words += f"; {lost} policies diverged"
    return Finding(words, _within(saved.fillna(-math.inf), SAVED))


def _spread(values: pd.Series) -> str:
    ends = f"{values.min():.3f} to {values.max():.3f}"
    return f"mean {values.mean():.3f} ({ends}, {len(values)} seed(s))"


def _within(values: pd.Series, limits: tuple[float, float]) -> str:
    """Return the verdict on a range: all seeds inside, the mean outside, or neither."""
    if len(values) < SEEDS:
        return "not resolved"
    if values.between(*limits).all():
        return "reproduced"
    return "not resolved" if limits[0] <= values.mean() <= limits[1] else "not reproduced"


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return how much longer the other ways take than the cached one, in each repetition.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.canonicalization.COLUMNS`.

    Returns
    -------
    DataFrame
        Columns program, stage, backend, solver, way; and low, median, high: the quartiles of the
        ratio of two times of one repetition.
    """
    keys = ["program", "stage", "backend", "solver"]
    rows = table[table["installed"]].fillna({"backend": "", "solver": ""})
    wide = rows.pivot(index=[*keys, "repetition"], columns="way", values="ms")
    ratio = wide.drop(columns="cached").div(wide["cached"], axis=0).stack().rename("ratio")
    quartiles = ratio.groupby([*keys, "way"]).quantile([0.25, 0.5, 0.75]).unstack()
    return quartiles.set_axis(["low", "median", "high"], axis=1).dropna().reset_index()


def _cached(table: pd.DataFrame) -> Finding:
    """Judge whether the cached form is `FASTER` for every program, backend and other way."""
    found = ratios(table)
    canonical = found[found["stage"] == "canonicalization"]
    worst = canonical.loc[canonical["median"].idxmin()]
    place = f"{worst['program']}, {worst['backend']}, {_WAYS[worst['way']]}"
    words = f"{_ratio(worst)} at least ({place}); {_others(table, found)}"
    if table["repetition"].nunique() < SEEDS:
        return Finding(f"{words}; fewer than {SEEDS} repetitions", "not resolved")
    if worst["median"] < FASTER:
        return Finding(words, "not reproduced")
    return Finding(words, "reproduced" if (canonical["low"] >= FASTER).all() else "not resolved")


def _others(table: pd.DataFrame, found: pd.DataFrame) -> str:
    """Return the ratios of CVXPY's default backend and of layers, and what is not installed."""
    default, steps = found[found["backend"] == "CPP"], found[found["stage"] == "derivative"]
    absent = table.loc[~table["installed"], ["backend", "solver"]].fillna("").agg("".join, axis=1)
    parts = {
        f"CVXPY {table['cvxpy'].iloc[0]}, CPP": [_named(row) for _, row in default.iterrows()],
        "whole step by a layer kept, not judged": [_named(row) for _, row in steps.iterrows()],
        "not installed": absent.unique(),
    }
    return "; ".join(f"{what}: {', '.join(words)}" for what, words in parts.items() if len(words))


_WAYS = {"without": "against no DPP", "fresh": "against a fresh one"}


def _ratio(row: pd.Series) -> str:
    return f"{row['median']:.1f}x [{row['low']:.1f}, {row['high']:.1f}]"


def _named(row: pd.Series) -> str:
    return f"{row['program']} {_WAYS[row['way']]} {_ratio(row)}"


def _range(limits: Iterable[float]) -> str:
    return " to ".join(f"{limit:g}" for limit in limits)


def _with_cvxpylayers(table: pd.DataFrame) -> Finding:
    rows = table[table["part"] == "cvxpylayers"]
    return _agreeing(rows, f"layer to {rows['tolerance'].iloc[0]:.0e}")


def _with_differences(table: pd.DataFrame) -> Finding:
    rows = table[table["part"] == "differences"]
    return _agreeing(rows, f"n = {rows['n'].iloc[0]:,}, relative step {rows['step'].iloc[0]:.0e}")


def _agreeing(rows: pd.DataFrame, words: str) -> Finding:
    """Judge whether derivatives agree to `AGREEMENT` in every row but those at a kink."""
    smooth = rows[~rows["is_at_kink"].astype(bool)]
    words += f"; {len(rows) - len(smooth)} of {len(rows)} comparisons at a kink, not judged"
    if smooth.empty:
        return Finding(words, "not resolved")
    worst = smooth.loc[smooth["relative_error"].idxmax()]
    of = f"{worst['variable']}, {worst['loss']}, {worst['penalty']}, C = {worst['C']}"
    words = f"{worst['relative_error']:.1e} at most ({of}), {words}"
    seeds = f"{rows['seed'].nunique()} seed(s)"
    return Finding(f"{words}; {seeds}", verdict_of(bool(worst["relative_error"] <= AGREEMENT)))


def costs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the seconds of forward and backward passes, and their ratio.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.agreement.COLUMNS`.

    Returns
    -------
    DataFrame
        Columns loss, penalty, n, tolerance; forward_s, backward_s: medians over the repetitions;
        low, ratio, high: the quartiles of the ratio of a repetition.
    """
    rows = table[table["part"] == "cost"]
    rows = rows.assign(ratio=rows["backward_s"] / rows["forward_s"])
    groups = rows.groupby(["loss", "penalty", "n", "tolerance"], sort=False)
    quartiles = groups["ratio"].quantile([0.25, 0.5, 0.75]).unstack()
    quartiles = quartiles.set_axis(["low", "ratio", "high"], axis=1)
    return groups[["forward_s", "backward_s"]].median().join(quartiles).reset_index()


def _cheap(table: pd.DataFrame) -> Finding:
    """Judge whether backward takes at most `COST` times as long as forward, in every program."""
    found = costs(table)
    words = "; ".join(
        f"{row['loss']}, {row['penalty']}, n = {row['n']:,}, tolerance {row['tolerance']:.0e}: "
        f"{row['backward_s']:.2g} s / {row['forward_s']:.2g} s = {row['ratio']:.2f}"
        for _, row in found.iterrows()
    )
    if len(table[table["part"] == "cost"]) < SEEDS * len(found):
        return Finding(f"{words}; fewer than {SEEDS} repetitions", "not resolved")
    if (found["high"] <= COST).all():
        return Finding(words, "reproduced")
    return Finding(words, "not reproduced" if (found["ratio"] > COST).any() else "not resolved")


_STATEMENTS = {
    "gradients": (
        Statement(
            "C1a",
            "Gradients of convex layers agree with central differences",
            f"relative error <= {ERROR:.0e}",
            _differences,
        ),
        Statement(
            "C1b",
            "Gradients of convex layers agree with those of closed forms",
            f"relative error <= {ERROR:.0e}",
            _closed_forms,
        ),
    ),
    "poisoning": (
        Statement(
            "C2",
            "Training points moved along the gradient's signs raise the test loss as predicted",
            f"realised over predicted rise {_range(RISE)} in every seed",
            _poisoned,
        ),
    ),
    "control": (
        Statement(
            "C3",
            "SGD through a convex policy lowers the cost of control on noise it has not seen",
            f"cost lower by a share of {_range(SAVED)} in every seed",
            _learned,
        ),
    ),
    "canonicalization": (
        Statement(
            "C4",
            "The cached canonical form of a DPP program saves most of its canonicalization",
            f"cached >= {FASTER}x faster, every program and backend",
            _cached,
        ),
    ),
    "agreement": (
        Statement(
            "C5a",
            "Derivatives of the BN program agree with those of cvxpylayers",
            f"relative error <= {AGREEMENT:.0e}",
            _with_cvxpylayers,
        ),
        Statement(
            "C5b",
            "Derivatives of the BN program agree with central differences of programs solved again",
            f"relative error <= {AGREEMENT:.0e}",
            _with_differences,
        ),
        Statement(
            "C5c",
            "The derivative of the BN program takes at most as long as its solution",
            f"backward / forward <= {COST}, every program and tolerance",
            _cheap,
        ),
    ),
}
