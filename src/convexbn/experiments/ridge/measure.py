"""From settings to tables of tuned risks: six panels, the quadratic gap, and real images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from convexbn.experiments.ridge import problems, regression, samples, sgd
from convexbn.experiments.ridge.problems import Problem
from convexbn.progress import progress
from convexbn.whitening import Whitening

RISKS = ["method", "seed", "n", "value", "at_edge", "risk"]
PANELS = ["decay", "target", "d", *RISKS]
GAP = ["signal", "tail", "energy", *RISKS]
DIRECTIONS = ["direction", "directions", "eigenvalue", "signal"]
IMAGES = ["d", "noise", *RISKS, *DIRECTIONS]
SIMULATED = ["decay", "target", "d", "n", "step", "runs", "exact", "simulated", "standard_error"]
BINS = 24  # rows for the directions of one risk, at most


def panels(settings: dict, seed: int) -> pd.DataFrame:
    """Tune both estimators on every pair of a spectrum and a target.

    Parameters
    ----------
    settings : dict
        `d`, `decays` and `targets` (exponents of H = diag(i^-decay) and w*_i = i^-target),
        `samples` (ridge's smallest and largest), `steps` and `penalties` (numbers of values
        tried), `seeds`.
    seed : int
        Of the first draw of X.

    Returns
    -------
    DataFrame
        Columns `PANELS`: for each number of samples n one row of SGD (exact, without a seed) and
        one of ridge regression per seed, with the tuned step or lambda as `value`.
    """
    tables = []
    for decay in settings["decays"]:
        cases = [problems.power(settings["d"], decay, target) for target in settings["targets"]]
        compared = _compared(cases, settings, seed)
        for target, table in zip(settings["targets"], compared, strict=True):
            tables.append(table.assign(decay=decay, target=target, d=settings["d"]))
    return pd.concat(tables, ignore_index=True)[PANELS]


def gap(settings: dict, seed: int) -> pd.DataFrame:
    """Tune both estimators on problems with a quadratic gap, :func:`problems.head`.

    Parameters
    ----------
    settings : dict
        `tail`, `energy` and `signals`, and the last four of :func:`panels`.
    seed : int

    Returns
    -------
    DataFrame
        Columns `GAP`, otherwise as of :func:`panels`.
    """
    sizes, tables = {key: settings[key] for key in ("tail", "energy")}, []
    for signal in settings["signals"]:
        case = problems.head(**sizes, signal=signal)
        (table,) = _compared([case], settings, seed)
        tables.append(table.assign(**sizes, signal=signal))
    return pd.concat(tables, ignore_index=True)[GAP]


def images(
    features: dict[str, np.ndarray], whitening: dict[str, np.ndarray], settings: dict, seed: int
) -> pd.DataFrame:
    """Tune both estimators on the spectrum and the labels of images.

    Parameters
    ----------
    features, whitening : dict of arrays
        Of a data set.
    settings : dict
        The last four of :func:`panels`.
    seed : int

    Returns
    -------
    DataFrame
        Columns `IMAGES`: as of :func:`panels`, but with one row for each of at most `BINS`
        log-spaced bins of singular directions, whose risks sum to the risk. A bin has its first
        direction, counted from 1, the number of its directions, their mean eigenvalue, and the risk
        of w = 0 along them as `signal`.
    """
    case = problems.of_images(Whitening.from_tensors(whitening), features["Y_train"])
    starts = bins(len(case.h))
    (table,) = _compared([case], settings, seed, starts)
    sizes = np.diff([*starts, len(case.h)])
    signal = case.h * (case.w**2).sum(axis=1)
    columns = {
        "direction": starts + 1,
        "directions": sizes,
        "eigenvalue": np.add.reduceat(case.h, starts) / sizes,
        "signal": np.add.reduceat(signal, starts),
    }
    place = table.pop("bin").to_numpy()
    table = table.assign(**{name: values[place] for name, values in columns.items()})
    return table.assign(d=len(case.h), noise=case.noise.sum())[IMAGES]


def bins(d: int) -> np.ndarray:
    """Return the first direction, from 0, of each of at most `BINS` log-spaced bins of d."""
    edges = np.unique(np.geomspace(1, d + 1, BINS + 1).round().astype(int))
    return edges[:-1] - 1


def agreement(settings: dict, seed: int) -> pd.DataFrame:
    """Simulate SGD on the panels' problems, each at the step that is best by the recursion.

    Parameters
    ----------
    settings : dict
        `d`, `decays`, `targets`, `steps` as of :func:`panels`, and `simulated`: `samples`, numbers
        of them, and `runs` of each.
    seed : int

    Returns
    -------
    DataFrame
        Columns `SIMULATED`: the exact risk, the mean over the runs and its standard error.
    """
    rows, (sizes, runs) = [], (settings["simulated"][key] for key in ("samples", "runs"))
    for decay in settings["decays"]:
        for target in settings["targets"]:
            case = problems.power(settings["d"], decay, target)
            steps = sgd.steps_for(case, settings["steps"])
            exact = sgd.risks(case, steps, sizes).sum(axis=2)
            for n, risks in zip(sizes, exact, strict=True):
                rng = np.random.default_rng([seed, n])
                found = sgd.simulate(case, steps[risks.argmin()], n, runs, rng)
                row = {"decay": decay, "target": target, "d": settings["d"], "n": n, "runs": runs}
                row |= {"step": steps[risks.argmin()], "exact": risks.min()}
                row |= {"simulated": found.mean(), "standard_error": found.std(ddof=1) / runs**0.5}
                rows.append(row)
    return pd.DataFrame(rows)[SIMULATED]


def _compared(
    cases: Sequence[Problem], settings: dict, seed: int, starts: Sequence[int] | np.ndarray = (0,)
) -> list[pd.DataFrame]:
    """Return a table of both methods for each of some problems with one spectrum.

    Columns `RISKS` and bin, the place of a bin in `starts`, the first directions of all bins.
    """
    lowest, highest = settings["samples"]
    seeds = range(seed, seed + settings["seeds"])
    ridge = _ridge(cases, samples.sizes(lowest, highest), seeds, settings["penalties"], starts)
    sizes = samples.for_sgd(lowest, highest)
    return [
        pd.concat([_sgd(case, sizes, settings["steps"], starts), table], ignore_index=True)
        for case, table in zip(cases, ridge, strict=True)
    ]


def _sgd(
    case: Problem, sizes: Sequence[int], count: int, starts: Sequence[int] | np.ndarray
) -> pd.DataFrame:
    steps = sgd.steps_for(case, count)
    risks = np.add.reduceat(sgd.risks(case, steps, sizes), starts, axis=2)  # (S, G, bins)
    return pd.concat(
        [_rows("sgd", n, steps, found[None], [None]) for n, found in zip(sizes, risks, strict=True)]
    )


def _ridge(
    cases: Sequence[Problem],
    sizes: Sequence[int],
    seeds: Sequence[int],
    count: int,
    starts: Sequence[int] | np.ndarray,
) -> list[pd.DataFrame]:
    """Return a table for each problem, all on the same draws of X."""
    tables: list[list[pd.DataFrame]] = [[] for _ in cases]
    with progress(total=len(sizes) * len(seeds), desc="ridge regression") as bar:
        for n in sizes:
            penalties, found = regression.penalties_for(cases[0], n, count), []
            for seed in seeds:
                X = regression.draw(cases[0], n, np.random.default_rng([seed, n]))
                factors = regression.factor(X)
                risks = [regression.risks(case, factors, penalties) for case in cases]
                found.append([np.add.reduceat(risk, starts, axis=1) for risk in risks])
                bar.step(f"{n} samples")
            # Of each problem (seeds, L, bins).
            for rows, risks in zip(tables, zip(*found, strict=True), strict=True):
                rows.append(_rows("ridge", n, penalties, np.stack(risks), seeds))
    return [pd.concat(rows) for rows in tables]


def _rows(
    method: str, n: int, values: np.ndarray, risks: np.ndarray, seeds: Sequence
) -> pd.DataFrame:
    """Return the rows of one tuned method on n samples; `risks` has shape (seeds, values, bins)."""
    place, at_edge = samples.best(risks.sum(axis=2), values)
    chosen = risks[:, place]  # (seeds, bins)
    columns = {
        "seed": np.repeat(seeds, chosen.shape[1]),
        "bin": np.tile(np.arange(chosen.shape[1]), len(seeds)),
        "risk": chosen.ravel(),
    }
    return pd.DataFrame(columns).assign(method=method, n=n, value=values[place], at_edge=at_edge)
