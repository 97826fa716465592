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
IMAGES = ["dataset", "target", "d", "noise", *RISKS, *DIRECTIONS]
SIMULATED = ["decay", "target", "d", "n", "step", "runs", "exact", "simulated", "standard_error"]
TARGETS = ("labels", "denoised")  # the labels' regression, as it is and without its noise
BINS = 24  # rows for the directions of one risk, at most


def panels(settings: dict, seed: int) -> pd.DataFrame:
    """Tune both estimators on every pair of a spectrum and a target.

    Parameters
    ----------
    settings : dict
        `d`, `decays` and `targets` (exponents of H = diag(i^-decay) and w*_i = i^-target),
        `samples` (ridge's smallest and largest), `step_sizes` and `penalties` (numbers of values
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
    # Four times as many samples of SGD as the problem's theory says that it needs at most.
    above = samples.ABOVE / max(1, settings["energy"] * settings["samples"][1]) ** 0.5
    for signal in settings["signals"]:
        case = problems.head(**sizes, signal=signal)
        (table,) = _compared([case], settings, seed, above=above)
        tables.append(table.assign(**sizes, signal=signal))
    return pd.concat(tables, ignore_index=True)[GAP]


def images(
    features: dict[str, np.ndarray],
    whitening: dict[str, np.ndarray],
    name: str,
    settings: dict,
    seed: int,
) -> pd.DataFrame:
    """Tune both estimators on the spectrum and the labels of images.

    Parameters
    ----------
    features, whitening : dict of arrays
        Of a data set.
    name : str
        Its name.
    settings : dict
        The last four of :func:`panels`.
    seed : int

    Returns
    -------
    DataFrame
        Columns `IMAGES`: as of :func:`panels`, for each of `TARGETS`, but with one row for each of
        at most `BINS` log-spaced bins of singular directions, whose risks sum to the risk. A bin
        has its first direction, counted from 1, the number of its directions, their mean
        eigenvalue, and the risk of w = 0 along them as `signal`.
    """
    design, Y = Whitening.from_tensors(whitening), features["Y_train"]
    labels = problems.of_images(design, Y)
    cases = [labels, problems.denoised(labels, len(design.U))]
    starts = bins(len(labels.h))
    compared = _compared(cases, settings, seed, starts)
    tables = [
        _binned(table, case, starts).assign(target=target)
        for target, case, table in zip(TARGETS, cases, compared, strict=True)
    ]
    return pd.concat(tables, ignore_index=True).assign(dataset=name)[IMAGES]


def _binned(table: pd.DataFrame, case: Problem, starts: np.ndarray) -> pd.DataFrame:
    """Return a table with the columns `DIRECTIONS` of its bins."""
    sizes = np.diff([*starts, len(case.h)])
    signal = case.h * (case.w**2).sum(axis=1)
    columns = {
        "direction": starts + 1,
        "directions": sizes,
        "eigenvalue": np.add.reduceat(case.h, starts) / sizes,
        "signal": np.add.reduceat(signal, starts),
    }
    place = table["bin"].to_numpy()
    described = {name: values[place] for name, values in columns.items()}
    return table.assign(**described, d=len(case.h), noise=case.noise.sum())


def bins(d: int) -> np.ndarray:
    """Return the first direction, from 0, of each of at most `BINS` log-spaced bins of d."""
    edges = np.unique(np.geomspace(1, d + 1, BINS + 1).round().astype(int))
    return edges[:-1] - 1


def agreement(settings: dict, seed: int) -> pd.DataFrame:
    """Simulate SGD on the panels' problems, each at the step that is best by the recursion.

    Parameters
    ----------
    settings : dict
        `d`, `decays`, `targets` and `step_sizes` as of :func:`panels`, `sizes` (numbers of samples)
        and `runs` (of each).
    seed : int

    Returns
    -------
    DataFrame
        Columns `SIMULATED`: the exact risk, the mean over the runs and its standard error.
    """
    rows = [
        _simulated(decay, target, settings, np.random.default_rng([seed, i, j]))
        for i, decay in enumerate(settings["decays"])
        for j, target in enumerate(settings["targets"])
    ]
    return pd.concat(rows, ignore_index=True)[SIMULATED]


def _simulated(decay: int, target: int, settings: dict, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows of one problem."""
    sizes, runs = settings["sizes"], settings["runs"]
    case = problems.power(settings["d"], decay, target)
    steps = sgd.steps_for(case, settings["step_sizes"])
    exact = sgd.risks(case, steps, sizes).sum(axis=2)  # (S, G)
    chosen = steps[exact.argmin(axis=1)]
    found = np.array(
        [sgd.simulate(case, *pair, runs, rng) for pair in zip(chosen, sizes, strict=True)]
    )
    columns = {
        "n": sizes,
        "step": chosen,
        "exact": exact.min(axis=1),
        "simulated": found.mean(axis=1),
        "standard_error": found.std(axis=1, ddof=1) / np.sqrt(runs),
    }
    return pd.DataFrame(columns).assign(decay=decay, target=target, d=settings["d"], runs=runs)


def _compared(
    cases: Sequence[Problem],
    settings: dict,
    seed: int,
    starts: Sequence[int] | np.ndarray = (0,),
    above: float = samples.ABOVE,
) -> list[pd.DataFrame]:
    """Return a table of both methods for each of some problems with one spectrum.

    Columns `RISKS` and bin, the place of a bin in `starts`, the first directions of all bins.
    """
    lowest, highest = settings["samples"]
    seeds = range(seed, seed + settings["seeds"])
    ridge = _ridge(cases, samples.sizes(lowest, highest), seeds, settings["penalties"], starts)
    sizes = samples.sizes(lowest, highest, samples.BELOW, above)
    return [
        pd.concat([_sgd(case, sizes, settings["step_sizes"], starts), table], ignore_index=True)
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
            for rows, drawn in zip(tables, zip(*found, strict=True), strict=True):
                rows.append(_rows("ridge", n, penalties, np.stack(drawn), seeds))
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
