"""From the tables of the measurements to what was found on each statement."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from convexbn.experiments.learning_rates.summaries import (
    LIMIT,
    cancellation,
    ends,
    largest_stable,
    slopes,
)
from convexbn.reporting import significance
from convexbn.reporting.claims import Finding, verdict_of
from convexbn.reporting.selection import best_rows

DEPTH = 110
RATIO = 100  # of the largest stable learning rates with BN and without
STEP = 1e-3  # along the gradient; larger ones without BN are too large
SMALL_STEP, SMALL_LOSS = 0.1, 10  # steps with BN up to the first leave the loss below the second
GROWTH = 1000, 50  # of the variance: at least without BN, at most with it
CANCELLED, ADDED = 20, 5  # sum |d| / |sum d|: at least with BN, at most without
EXPONENT = 0.05  # tolerance of an exponent
MOMENT = 0.02  # tolerance of a second moment, relative
BETTER = 0.05  # of test accuracy
NEAR = 1e-9  # relative, of numbers that were written and read again


def of_deep(judge: Callable[[pd.DataFrame], Finding]) -> Callable[[pd.DataFrame], Finding]:
    """Return a judge of the deepest networks, whose statement is about those of `DEPTH`."""

    def deepest(table: pd.DataFrame) -> Finding:
        depth = table["depth"].max()
        finding = judge(table[table["depth"] == depth])
        words = f"depth {depth}: {finding.measured}"
        return Finding(words, finding.verdict if depth == DEPTH else "not run")

    return deepest


def _by_seed(holds: Iterable[bool]) -> str:
    """Return the verdict of a statement that holds with each seed or does not."""
    found = {bool(value) for value in holds}
    return verdict_of(found.pop()) if len(found) == 1 else "not resolved"


def rates(table: pd.DataFrame) -> Finding:
    """Judge the ratio at the largest depth; name the learning rates at every depth."""
    stable = largest_stable(table)
    rates = stable.pivot(index=["depth", "seed"], columns="normalization", values="learning_rate")
    words = [
        f"depth {depth}: {_range(rows['plain'])} without, {_range(rows['bn'])} with BN"
        for depth, rows in rates.groupby("depth")
    ]
    depth = rates.index.get_level_values("depth").max()
    bn, plain = rates.loc[depth, "bn"].to_numpy(), rates.loc[depth, "plain"].to_numpy()
    # Where none is stable without BN, the smallest one tried is too large: the ratio is above that.
    ratio = bn / np.where(plain > 0, plain, table["learning_rate"].min())
    holds = (bn > 0) & (ratio >= RATIO * (1 - NEAR))
    edges = stable.pivot(index=["depth", "seed"], columns="normalization", values="at_edge")
    is_bound = (bn > 0) & ((plain == 0) | edges.loc[depth, "bn"].to_numpy(dtype=bool))
    more = " or more" if is_bound.any() else ""
    words.append(f"ratio at {depth} {_range(ratio)}{more}")
    measured = f"{'; '.join(words)}; {len(ratio)} seed(s)"
    verdict = "not resolved" if (is_bound & ~holds).any() else _by_seed(holds)
    return Finding(measured, verdict if depth == DEPTH else "not run")


def _losses(table: pd.DataFrame, normalization: str, steps: Callable) -> pd.DataFrame:
    """Return the relative loss at some steps (rows) with every seed (columns)."""
    rows = table[(table["normalization"] == normalization) & steps(table["step"])]
    return rows.pivot_table("relative_loss", index="step", columns="seed", aggfunc="first")


def explodes(table: pd.DataFrame) -> Finding:
    losses = _losses(table, "plain", lambda step: np.isclose(step, STEP, rtol=NEAR))
    if losses.empty:
        return Finding(f"the config has no step {STEP:g}", "not run")
    return Finding(f"{_listed(losses)}, without BN", _by_seed(losses.iloc[0] > LIMIT))


def explodes_above(table: pd.DataFrame) -> Finding:
    losses = _losses(table, "plain", lambda step: step > STEP * (1 + NEAR))
    if losses.empty:
        return Finding(f"the config has no step above {STEP:g}", "not run")
    return Finding(f"{_listed(losses)}, without BN", _by_seed((losses > LIMIT).all()))


def stays(table: pd.DataFrame) -> Finding:
    losses = _losses(table, "bn", lambda step: (step > 0) & (step <= SMALL_STEP * (1 + NEAR)))
    if losses.empty:
        return Finding(f"the config has no step up to {SMALL_STEP:g}", "not run")
    largest = losses.max()
    words = f"at most {_range(largest)} at steps {losses.index[0]:g} to {losses.index[-1]:g}"
    return Finding(f"{words}, with BN", _by_seed(largest < SMALL_LOSS))


def growth(table: pd.DataFrame) -> Finding:
    """Judge the variance of the last block over that of the first one."""
    start = table[table["step"] == 0].pivot_table(
        "variance", index=["normalization", "seed"], columns="block"
    )
    ratio = start.iloc[:, -1] / start.iloc[:, 0]
    words = f"{_range(ratio['plain'])} without, {_range(ratio['bn'])} with BN"
    least, most = GROWTH
    holds = [
        ratio["plain"][seed] >= least and ratio["bn"][seed] <= most for seed in ratio["bn"].index
    ]
    return Finding(f"{words}; {len(holds)} seed(s)", _by_seed(holds))


def cancelled(table: pd.DataFrame) -> Finding:
    ratio = cancellation(table)["bn"]
    return _at_layers(ratio, ratio >= CANCELLED)


def added(table: pd.DataFrame) -> Finding:
    ratio = cancellation(table)["plain"]
    return _at_layers(ratio, ratio <= ADDED)


def _at_layers(ratio: pd.Series, holds: pd.Series) -> Finding:
    words = [f"{_range(values)} (layer {layer})" for layer, values in ratio.groupby("layer")]
    seeds = holds.groupby("seed").all()
    return Finding(f"{', '.join(words)}; {len(seeds)} seed(s)", _by_seed(seeds))


def _draws(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each draw of matrices, without its bins."""
    return table.drop_duplicates(["factors", "draw"])


def exponents(table: pd.DataFrame) -> Finding:
    draws = _draws(table)
    mean = draws.groupby("factors")["exponent"].mean()
    words = [f"{value:.3f} for M = {M} ({-M / (M + 1):.3f})" for M, value in mean.items()]
    holds = [abs(value + M / (M + 1)) <= EXPONENT for M, value in mean.items()]
    size = f"N = {table['size'].iloc[0]:,}, {draws['draw'].nunique()} draw(s)"
    return Finding(f"{', '.join(words)}; {size}", verdict_of(all(holds)))


def second_moments(table: pd.DataFrame) -> Finding:
    draws = _draws(table)
    mean = draws.groupby("factors")[["second_moment", "distance"]].mean()
    moments = mean["second_moment"]
    words = [f"{value:.3f} for M = {M}" for M, value in moments.items()]
    holds = np.abs(moments / (moments.index.to_numpy() + 1) - 1) <= MOMENT
    distance = f"distribution functions {mean['distance'].max():.4f} apart at most"
    return Finding(f"{', '.join(words)}; {distance}", verdict_of(bool(holds.all())))


def noise(table: pd.DataFrame) -> Finding:
    """Judge the slope without BN, where a gradient is the mean of those of its samples."""
    found = {name: slopes(table, name) for name in ("plain", "bn")}
    words = f"{_range(found['plain'], '.3f')} without BN, {_range(found['bn'], '.3f')} with it"
    holds = np.abs(found["plain"] - 1) <= EXPONENT
    return Finding(f"{words}; {len(holds)} seed(s)", _by_seed(holds))


def best(table: pd.DataFrame) -> Finding:
    """Judge each network's best stable learning rate, the best by mean validation accuracy."""
    last = ends(table)
    chosen, words = {}, []
    for name, label in (("bn", "with BN"), ("plain", "without")):
        rows = last[last["normalization"] == name]
        chosen[name] = best_rows(rows, ["learning_rate"])
        if chosen[name].empty:
            return Finding(f"every learning rate {label} diverges", "not resolved")
        rate, test = chosen[name]["learning_rate"].iloc[0], chosen[name]["test_accuracy"].mean()
        lost = np.unique(rows.loc[rows["diverged"].astype(bool), "learning_rate"])
        left = [f"{diverged:g} diverged" for diverged in lost]
        words += [f"{100 * test:.1f} % {label} at {rate:g}", *left]
    found = significance.interval(significance.differences(chosen["bn"], chosen["plain"]))
    depth, tried = table["depth"].max(), last["learning_rate"].unique()
    measured = (
        f"{found.points}: {', '.join(words)}; depth {depth}, learning rates "
        f"{', '.join(f'{rate:g}' for rate in tried)}"
    )
    return Finding(measured, found.between(low=BETTER))


def _listed(losses: pd.DataFrame) -> str:
    words = [f"{_range(row)} at {step:g}" for step, row in losses.iterrows()]
    return f"{', '.join(words)} ({losses.shape[1]} seed(s))"


def _range(values: pd.Series | np.ndarray, kind: str = "") -> str:
    """Return the smallest and the largest of some values, one if they are written alike."""
    low, high = (_number(float(value), kind) for value in (np.min(values), np.max(values)))
    return low if low == high else f"{low} to {high}"


def _number(value: float, kind: str) -> str:
    if np.isinf(value):
        return "overflow"
    return format(value, kind or (",.0f" if 100 <= value < 1e6 else ".2g"))
