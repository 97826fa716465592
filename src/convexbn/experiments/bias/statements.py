"""The bias of gradient descent as statements that a run checks by itself.

An order of the directions is Spearman's correlation, over all directions, of the singular values
with the cosines of the last iteration. Its mean over the seeds must clear the limit by one standard
deviation; where it does not, or there is one seed alone, nothing is resolved.
"""

import pandas as pd

from convexbn.reporting.claims import COLUMNS

ORDER = -0.9  # correlations at most this large count as an order
IDENTITY = 1e-10  # relative: what counts as equal
TRAINED = 0.5  # share of the BN network's progress, beyond a constant, that the whitened one makes


def bias(histories: pd.DataFrame) -> pd.DataFrame:
    """Judge every run of gradient descent.

    Parameters
    ----------
    histories : DataFrame
        Columns dataset, run and `convexbn.experiments.bias.measure.HISTORY`; or empty, if there was
        no run.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    rows = []
    for (dataset, run), history in histories.groupby(["dataset", "run"]) if len(histories) else ():
        for name, statement, expected, judge in _STATEMENTS:
            measured, verdict = judge(history)
            rows.append((name, dataset, statement, expected, f"{run}: {measured}", verdict))
    return pd.DataFrame(rows, columns=COLUMNS)


def _ordered(history) -> tuple[str, str]:
    """Judge whether the BN network turned most along the directions of large singular values."""
    values = _last(history, "bn")["spearman"]
    verdict = {"below": "reproduced", "above": "not reproduced"}.get(_side(values))
    return f"{_words(values)}; {_losses(history)}", verdict or "not resolved"


def _unordered(history) -> tuple[str, str]:
    """Judge whether the whitened model has trained without such an order."""
    values = _last(history, "whitened")["spearman"]
    measured = f"{_words(values)}; {_losses(history)}"
    needed = max(0.0, TRAINED * _progress(history, "bn"))
    if not _progress(history, "whitened") > needed:
        return f"{measured}: hardly trained", "not resolved"
    verdict = {"above": "reproduced", "below": "not reproduced"}.get(_side(values))
    return measured, verdict or "not resolved"


def _identical(history) -> tuple[str, str]:
    """Judge whether steps on w moved q as the formula says."""
    steps = history["iteration"].isin([0, history["iteration"].max()])
    errors = history.loc[steps & (history["model"] == "bn"), "identity_error"]
    largest = errors.max(skipna=False)
    measured = f"largest relative error {largest:.1e}, {len(errors)} steps in float64"
    return measured, "reproduced" if largest <= IDENTITY else "not reproduced"


def _last(history, model: str) -> pd.DataFrame:
    """Return a model's rows after its last iteration, one per seed."""
    ends = history[history["model"] == model]
    return ends[ends["iteration"] == ends["iteration"].max()]


def _side(values) -> str:
    """Return on which side of `ORDER` the mean lies by at least one standard deviation."""
    mean, deviation = values.mean(), values.std()
    if mean + deviation <= ORDER:
        return "below"
    return "above" if mean - deviation > ORDER else "unclear"


def _progress(history, model: str) -> float:
    """Return how far the loss is below that of a constant, on average over the seeds."""
    ends = _last(history, model)
    return (ends["constant_loss"] - ends["loss"]).mean()


def _words(values) -> str:
    mean, deviation = values.mean(), values.std()
    return f"{mean:+.3f} ± {deviation:.3f} ({len(values)} seeds)"


def _losses(history) -> str:
    bn, whitened = (_last(history, model)["loss"].mean() for model in ("bn", "whitened"))
    reached = f"loss {bn:.3f} (BN) and {whitened:.3f} (whitened)"
    constant, steps = history["constant_loss"].mean(), history["iteration"].max()
    return f"{reached} after {steps} iterations, {constant:.3f} if constant"


_MEASURE = "Spearman(singular value, cosine with the start)"
_STATEMENTS = (
    (
        "E2a",
        "Gradient descent turns a BN network most along the directions of large singular values",
        f"{_MEASURE} <= {ORDER:g}, by one standard deviation over the seeds",
        _ordered,
    ),
    (
        "E2b",
        "On whitened data, from the same start, the network trains without this order",
        f"{_MEASURE} > {ORDER:g}, likewise, and a loss at least half as far below "
        "that of a constant as with BN",
        _unordered,
    ),
    (
        "E2c",
        "A step on w moves the whitened weights by sigma^2, over its mean, times a step on them",
        f"relative error <= {IDENTITY:g} in every direction, before and after training",
        _identical,
    ),
)
