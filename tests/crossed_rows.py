"""Tables of cross-iteration BN, made by hand for the tests of figures and statements."""

import itertools

import pandas as pd

from convexbn.experiments.cross_iteration.settings import (
    AGE,
    CBN,
    DEVIATION,
    KINDS,
    MEAN,
    METHODS,
    NAIVE,
    SQUARE,
    WINDOW,
)


def statistics(compensated=0.5, window=2.0, first=1e-7, seeds=5, noise=0.02) -> pd.DataFrame:
    """Errors of four layers.

    Old errors grow like tau, and compensated ones are `compensated` times as large, and `first` for
    the mean of the first layer. Those of the window fall to 1 / `window` at 8. Seeds differ by the
    share `noise`.
    """
    rows = []
    grid = itertools.product(range(seeds), (10, 20), range(1, 5), KINDS.values())
    for seed, step, layer, method in grid:
        share = (compensated if method == KINDS[True] else 1.0) * (1 + noise * (seed - 2))
        row = {"seed": seed, "step": step, "layer": layer, "method": method}
        for x, statistic in itertools.product((1, 2, 4, 8), (MEAN, SQUARE)):
            error = 0.01 * x * layer * share
            if (layer, statistic, method) == (1, MEAN, KINDS[True]):
                error = first
            rows.append(row | {"against": AGE, "x": x, "statistic": statistic, "error": error})
        for x, statistic in itertools.product((1, 2, 4, 8), (MEAN, DEVIATION)):
            error = 0.2 * (1 + noise * (x - 1) * (seed - 2) / 7) * window ** (-(x - 1) / 7)
            rows.append(row | {"against": WINDOW, "x": x, "statistic": statistic, "error": error})
    return pd.DataFrame(rows)


def accuracies(gain=0.0, loss=0.1, seeds=5, noise=0.002) -> pd.DataFrame:
    """Accuracies at batches of 2 and 32.

    At 2 all methods lose `loss`, and cross-iteration BN `gain` less than that; half of it without
    compensation. Differences have a spread of `noise`.
    """
    rows = []
    for method, seed, size in itertools.product(METHODS, range(seeds), (2, 32)):
        deviation = noise * (seed - 2) * (1 if method in (CBN, NAIVE) else 0.5)
        better = {CBN: gain, NAIVE: gain / 2}.get(method, 0.0)
        accuracy = 0.5 + 0.01 * seed + (better - loss + deviation if size == 2 else 0.0)
        row = {"method": method, "seed": seed, "batch_size": size, "diverged": False}
        rows.append(row | {"test_accuracy": accuracy, "learning_rate": size / 800})
    return pd.DataFrame(rows)
