"""Statements on the bias of gradient descent.

The order of the directions is Spearman's correlation, over all directions, of the singular values
with the cosines of the last iteration. Its mean over the seeds must clear the limit by one standard
deviation; where it does not, or there is one seed alone, nothing is resolved.
"""

import pandas as pd

from convexbn.reporting.claims import Finding, Statement, judged, stacked, verdict_of

ORDER = -0.9  # correlations at most this large count as an order
IDENTITY = 1e-10  # relative: what counts as equal
TRAINED = 0.5  # share of the BN network's progress, beyond a constant, that the whitened one makes


def bias(histories: pd.DataFrame) -> pd.DataFrame:
    """Judge every run of gradient descent.

    Parameters
    ----------
    histories : DataFrame
        Columns dataset, run and `convexbn.experiments.bias.measure.HISTORY`; empty without runs.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    runs = histories.groupby(["dataset", "run"]) if len(histories) else ()
    return stacked(_of_run(dataset, run, history) for (dataset, run), history in runs)


def _of_run(dataset: str, run: str, history: pd.DataFrame) -> pd.DataFrame:
    def findings_of(statement: Statement) -> dict[str, Finding]:
        finding = statement.judge(history)
        return {dataset: finding._replace(measured=f"{run}: {finding.measured}")}

    return judged(_STATEMENTS, findings_of)


def _ordered(history: pd.DataFrame) -> Finding:
    """Judge whether the BN network turned most along the directions of large singular values."""
    values = _last(history, "bn")["spearman"]
    verdict = {"below": "reproduced", "above": "not reproduced"}.get(_side(values))
    return Finding(f"{_words(values)}; {_losses(history)}", verdict or "not resolved")


def _unordered(history: pd.DataFrame) -> Finding:
    """Judge whether the whitened model has trained without such an order."""
    values = _last(history, "whitened")["spearman"]
    measured = f"{_words(values)}; {_losses(history)}"
    needed = max(0.0, TRAINED * _progress(history, "bn"))
    if not _progress(history, "whitened") > needed:
        return Finding(f"{measured}: hardly trained", "not resolved")
    verdict = {"above": "reproduced", "below": "not reproduced"}.get(_side(values))
    return Finding(measured, verdict or "not resolved")


def _identical(history: pd.DataFrame) -> Finding:
    """Judge whether steps on w moved q as the formula says."""
    steps = history["iteration"].isin([0, history["iteration"].max()])
    errors = history.loc[steps & (history["model"] == "bn"), "identity_error"]
    largest = errors.max(skipna=False)
    measured = f"largest relative error {largest:.1e}, {len(errors)} steps in float64"
    return Finding(measured, verdict_of(largest <= IDENTITY))


def _last(history: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return a model's rows after its last iteration, one per seed."""
    ends = history[history["model"] == model]
    return ends[ends["iteration"] == ends["iteration"].max()]


def _side(values: pd.Series) -> str:
    """Return the side of `ORDER` on which the mean lies by at least one standard deviation."""
    mean, deviation = values.mean(), values.std()
    if mean + deviation <= ORDER:
        return "below"
    return "above" if mean - deviation > ORDER else "unclear"


def _progress(history: pd.DataFrame, model: str) -> float:
    """Return the distance of the loss below that of a constant, on average over the seeds."""
    ends = _last(history, model)
    return (ends["constant_loss"] - ends["loss"]).mean()


def _words(values: pd.Series) -> str:
    mean, deviation = values.mean(), values.std()
    return f"{mean:+.3f} ± {deviation:.3f} ({len(values)} seeds)"


def _losses(history: pd.DataFrame) -> str:
    bn, whitened = (_last(history, model)["loss"].mean() for model in ("bn", "whitened"))
    reached = f"loss {bn:.3f} (BN) and {whitened:.3f} (whitened)"
    constant, steps = history["constant_loss"].mean(), history["iteration"].max()
    return f"{reached} after {steps} iterations, {constant:.3f} if constant"


_MEASURE = "Spearman(singular value, cosine with the start)"
_STATEMENTS = (
    Statement(
        "E2a",
        "Gradient descent turns a BN network most along the directions of large singular values",
        f"{_MEASURE} <= {ORDER:g}, by one standard deviation over the seeds",
        _ordered,
    ),
    Statement(
        "E2b",
        "On whitened data, from the same start, the network trains without this order",
        f"{_MEASURE} > {ORDER:g}, likewise, and a loss at least half as far below "
        "that of a constant as with BN",
        _unordered,
    ),
    Statement(
        "E2c",
        "A step on w moves the whitened weights by sigma^2, over its mean, times a step on them",
        f"relative error <= {IDENTITY:g} in every direction, before and after training",
        _identical,
    ),
)
