"""Statements on batch normalization and learning rates.

Those on networks at initialization are judged with every seed: one is reproduced where all seeds
agree with it, not reproduced where none does, and else not resolved. They are about a network of
depth 110 on CIFAR; elsewhere the numbers are listed, and the statement was not run.
"""

from collections.abc import Callable

import pandas as pd

from convexbn.experiments.learning_rates import judges
from convexbn.experiments.learning_rates.judges import (
    ADDED,
    BETTER,
    CANCELLED,
    DEPTH,
    EXPONENT,
    GROWTH,
    MOMENT,
    RATIO,
    SMALL_LOSS,
    SMALL_STEP,
    STEP,
)
from convexbn.experiments.learning_rates.summaries import LIMIT
from convexbn.reporting.claims import Finding, Statement, about_cifar, judged, stacked
from convexbn.reporting.significance import SEEDS


def learning_rates(datasets: dict[str, dict], **tables: pd.DataFrame) -> pd.DataFrame:
    """Judge the effects of batch normalization.

    Parameters
    ----------
    datasets : dict
        Entries of the data sets in the config.
    **tables : DataFrame
        Some of `learning_rates_stability`, `..._landscape`, `..._gradients`, `..._noise`,
        `..._matrices` and `..._training`: the tables of the modules of that name, with a column
        dataset where images were seen.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    parts = {name.removeprefix("learning_rates_"): table for name, table in tables.items()}
    return stacked(
        judged(statements, _findings(part, parts[part], datasets))
        for part, statements in _STATEMENTS.items()
        if part in parts
    )


def _findings(
    part: str, table: pd.DataFrame, datasets: dict[str, dict]
) -> Callable[[Statement], dict[str, Finding]]:
    if part == "matrices":
        return lambda statement: {"synthetic": statement.judge(table)}

    def of_each(statement: Statement) -> dict[str, Finding]:
        found = {}
        for name, rows in table.groupby("dataset"):
            finding = statement.judge(rows)
            if part != "noise":
                finding = about_cifar(finding, [datasets[str(name)]])
            found[str(name)] = finding
        return found

    return of_each


_STATEMENTS = {
    "stability": (
        Statement(
            "B1",
            f"BN lets a ResNet-{DEPTH} take much larger steps",
            f"largest stable learning rate (relative loss <= {LIMIT:g}) with BN >= {RATIO} times "
            "that without, every seed",
            judges.rates,
        ),
    ),
    "landscape": (
        Statement(
            "B2a",
            f"Without BN, a step of {STEP:g} along the gradient at initialization explodes",
            f"relative loss > {LIMIT:g}, every seed",
            judges.of_deep(judges.explodes),
        ),
        Statement(
            "B2b",
            f"Without BN, so does every step that is larger than {STEP:g}",
            f"relative loss > {LIMIT:g} at each, every seed",
            judges.of_deep(judges.explodes_above),
        ),
        Statement(
            "B2c",
            "With BN, no small step along the gradient does",
            f"relative loss < {SMALL_LOSS} at steps <= {SMALL_STEP:g}, every seed",
            judges.of_deep(judges.stays),
        ),
        Statement(
            "B2d",
            "Without BN the variance of the channels explodes with depth at initialization",
            f"last block over first: >= {GROWTH[0]:g} without, <= {GROWTH[1]:g} with BN, every "
            "seed",
            judges.of_deep(judges.growth),
        ),
    ),
    "gradients": (
        Statement(
            "B3a",
            "With BN, the terms of a kernel's gradient cancel over samples and positions",
            f"sum |d| / |sum d| >= {CANCELLED} in an early, a middle and a late layer, every seed",
            judges.of_deep(judges.cancelled),
        ),
        Statement(
            "B3b",
            "Without BN they add up",
            f"sum |d| / |sum d| <= {ADDED} in the same layers, every seed",
            judges.of_deep(judges.added),
        ),
    ),
    "matrices": (
        Statement(
            "B4a",
            "Products of M Gaussian matrices are the more nearly singular the more factors they "
            "have: their squared singular values have a density ~ x^(-M / (M + 1)) near 0",
            f"exponent within {EXPONENT} of it",
            judges.exponents,
        ),
        Statement(
            "B4b",
            "Their largest singular values grow with M: the second moment is M + 1",
            f"within {MOMENT:.0%}",
            judges.second_moments,
        ),
    ),
    "training": (
        Statement(
            "B5",
            "A network with BN learns faster, thanks to larger steps",
            f"test accuracy at BN's best learning rate - that without BN at its best stable one >= "
            f"{100 * BETTER:g} points, paired over at least {SEEDS} seeds",
            judges.best,
        ),
    ),
    "noise": (
        Statement(
            "B6",
            "The noise of a minibatch's gradient is inversely proportional to its size",
            f"slope of log E ||step - full step||^2 on log(step size^2 / |B|) within {EXPONENT} of "
            "1 without BN, every seed (minibatches drawn with replacement)",
            judges.noise,
        ),
    ),
}
