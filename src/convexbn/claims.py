"""The paper's headline as statements that a run checks by itself.

Each statement is judged per dataset, on the test accuracies of each method's setting chosen on
validation data. "Not resolved" is an outcome: too few seeds, an interval that contains zero, or a
solve without certificate.
"""

import numpy as np
import pandas as pd
from scipy import stats

from convexbn import tables

COLUMNS = ["id", "dataset", "statement", "expected", "measured", "verdict"]

CIFAR = ("cifar10", "cifar100")
ADVANTAGE = 0.04  # of SGD over the full-rank program
EXACT = 0.999  # train accuracy that counts as an exact fit
LEVEL = 0.95  # of the confidence interval
SEEDS = 5  # fewest that can resolve a small difference


def headline(runs: pd.DataFrame, sources: dict) -> pd.DataFrame:
    """Judge SGD, convex and convex-truncated against each other on every dataset.

    Parameters
    ----------
    runs : DataFrame
        Columns `tables.RUNS`.
    sources : dict
        Source of each dataset. The statements are about CIFAR ("cifar10", "cifar100"); on any
        other source they are listed as not run.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; verdict is "reproduced", "not resolved", "not reproduced" or "not run".
    """
    rows = []
    for dataset, source in sources.items():
        chosen = _chosen(runs[runs["dataset"] == dataset]) if source in CIFAR else {}
        for name, statement, expected, needed, judge in _STATEMENTS:
            measured, verdict = _judged(judge, needed, chosen, source)
            rows.append((name, dataset, statement, expected, measured, verdict))
    return pd.DataFrame(rows, columns=COLUMNS)


def _chosen(runs: pd.DataFrame) -> dict:
    return dict(list(tables.select(runs, ["dataset", "method"]).groupby("method")))


def _judged(judge, needed, chosen: dict, source: str) -> tuple[str, str]:
    if source not in CIFAR:
        return f"the statement is about CIFAR, these data are {source}", "not run"
    missing = [method for method in needed if method not in chosen]
    if missing:
        return f"no run that did not diverge of {' and '.join(missing)}", "not run"
    measured, verdict = judge(*(chosen[method] for method in needed))
    missed = sum(int(tables.not_certified(chosen[method]).sum()) for method in needed)
    if missed:
        return f"{measured}; {missed} solve(s) not certified", "not resolved"
    return measured, verdict


def _advantage(sgd: pd.DataFrame, full: pd.DataFrame) -> tuple[str, str]:
    """Judge whether SGD beats the full-rank program by at least `ADVANTAGE`."""
    difference = sgd["test_accuracy"].mean() - full["test_accuracy"].mean()
    measured = f"{_points(difference)}: SGD {_percent(sgd)}, full rank {_percent(full)}"
    # A difference of exactly 4 points counts, whatever the rounding of its two means.
    return measured, "reproduced" if difference >= ADVANTAGE - 1e-12 else "not reproduced"


def _improvement(truncated: pd.DataFrame, sgd: pd.DataFrame) -> tuple[str, str]:
    """Judge whether the truncated program beats SGD, paired by seed."""
    pairs = truncated.set_index("seed")["test_accuracy"] - sgd.set_index("seed")["test_accuracy"]
    pairs = pairs.dropna()
    means = f"truncated (k = {truncated['rank'].iloc[0]:.0f}) {_percent(truncated)}"
    means = f"{means}, SGD {_percent(sgd)}"
    if len(pairs) < 2:
        return f"{means}; {len(pairs)} paired seed(s), no interval", "not resolved"
    low, high = paired_interval(pairs.to_numpy())
    interval = f"{LEVEL:.0%} interval {100 * low:+.1f} to {100 * high:+.1f}"
    measured = f"{_points(pairs.mean())}, {interval}, {len(pairs)} paired seeds: {means}"
    return measured, interval_verdict(low, high, len(pairs))


def _fit(full: pd.DataFrame) -> tuple[str, str]:
    """Judge whether the full-rank program fits the training set with every seed."""
    lowest = full["train_accuracy"].min()
    measured = f"lowest train accuracy {100 * lowest:.2f} % over {len(full)} seed(s)"
    return measured, "reproduced" if lowest >= EXACT else "not reproduced"


def paired_interval(differences) -> tuple[float, float]:
    """Return the two-sided Student t confidence interval of the mean of paired differences.

    Parameters
    ----------
    differences : array, shape (seeds,)
        At least two.
    """
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    reach = stats.t.ppf((1 + LEVEL) / 2, df=len(differences) - 1) * error
    return float(np.mean(differences) - reach), float(np.mean(differences) + reach)


def interval_verdict(low: float, high: float, seeds: int) -> str:
    """Return what the confidence interval of an expected improvement says."""
    if high < 0:
        return "not reproduced"
    return "reproduced" if low > 0 and seeds >= SEEDS else "not resolved"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def _percent(rows: pd.DataFrame) -> str:
    return f"{100 * rows['test_accuracy'].mean():.1f} % ({len(rows)} seeds)"


_STATEMENTS = (
    (
        "E3a",
        "Networks trained by SGD generalize better than the convex program at full rank",
        f"SGD - full rank >= {100 * ADVANTAGE:+.0f} points of test accuracy",
        ("SGD", "convex"),
        _advantage,
    ),
    (
        "E3b",
        "Truncation, the bias of SGD made explicit, generalizes better than SGD",
        f"{LEVEL:.0%} interval of truncated - SGD above 0, paired over at least {SEEDS} seeds",
        ("convex-truncated", "SGD"),
        _improvement,
    ),
    (
        "E3c",
        "The convex program at full rank fits the training set exactly",
        f"train accuracy >= {EXACT:.1%} with every seed",
        ("convex",),
        _fit,
    ),
)
