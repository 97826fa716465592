"""Tables of the learning rates' measurements, made by hand for the tests of claims and figures."""

import numpy as np
import pandas as pd

from convexbn.experiments.learning_rates.gradients import EDGES
from convexbn.experiments.learning_rates.matrices import density
from convexbn.experiments.learning_rates.summaries import ABSOLUTE, CLASS, DENSITY, RMS, SUM

RATES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
STEPS = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


def _seeds(tables) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True).assign(dataset="images")


def stability(plain=(1e-3, 1e-3), bn=(1.0, 1.0), depth=110) -> pd.DataFrame:
    """The largest stable learning rates of each seed; above them the loss overflows."""
    return _seeds(
        pd.DataFrame({"learning_rate": RATES, "updates": 12}).assign(
            depth=d,
            normalization=name,
            seed=seed,
            relative_loss=[1.0 if rate <= largest else np.inf for rate in RATES],
        )
        for d in (20, depth)
        for name, rates in (("plain", plain), ("bn", bn))
        for seed, largest in enumerate(rates)
    )


def landscape(plain=(1, 1, 2e3, np.inf, np.inf, np.inf), bn=(1, 0.9, 0.8, 0.7, 3, 40), seeds=2):
    """The relative losses at `STEPS`; variances grow to 10^4 without BN, to 20 with it."""
    growth = {"plain": 1e4, "bn": 20.0}
    rows = [
        {"normalization": name, "seed": seed, "step": step, "relative_loss": loss, "block": block}
        | {"variance": growth[name] ** ((block - 1) / 3), "mean": 1.0}
        for name, losses in (("plain", plain), ("bn", bn))
        for seed in range(seeds)
        for step, loss in zip(STEPS, losses, strict=True)
        for block in (1, 2, 3, 4)
    ]
    table = pd.DataFrame(rows).assign(depth=110, dataset="images", mean_std=0.1, variance_std=0.1)
    overflows = (table["relative_loss"] == np.inf) & (table["block"] == 4)
    return table.assign(variance=table["variance"].where(~overflows, np.inf))


def gradients(plain=(3, 2, 2), bn=(100, 40, 30), seeds=2) -> pd.DataFrame:
    """The ratios of sums in three layers."""
    rows = []
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    values = np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi)
    for name, ratios in (("plain", plain), ("bn", bn)):
        for seed in range(seeds):
            for layer, ratio in zip((18, 54, 91), ratios, strict=True):
                rows += [(name, seed, ABSOLUTE, layer, np.nan, 2.0 * ratio)]
                rows += [(name, seed, SUM, layer, np.nan, 2.0)]
            rows += [(name, seed, RMS, 54, np.nan, 0.5)]
            rows += [(name, seed, DENSITY, 54, x, v) for x, v in zip(middles, values, strict=True)]
            rows += [(name, seed, CLASS, i, x, (i + x) / 8) for i in range(6) for x in range(3)]
    columns = ["normalization", "seed", "quantity", "layer", "x", "value"]
    return pd.DataFrame(rows, columns=columns).assign(depth=110, dataset="images")


def matrices(excess=0.0, second=1.0, draws=2) -> pd.DataFrame:
    """Draws whose density is the exact one; their exponents and second moments may not be."""
    tables = []
    for factors in (1, 2):
        exact = density(factors)
        low = np.geomspace(1e-4, 1, 6)
        for draw in range(draws):
            table = pd.DataFrame({"low": low, "high": low * 2})
            middle = np.interp(low * 2**0.5, exact.x, exact.rho)
            tables.append(
                table.assign(
                    density=middle,
                    factors=factors,
                    draw=draw,
                    exponent=-factors / (factors + 1) + excess,
                    second_moment=(factors + 1) * second,
                    distance=0.01,
                )
            )
    return pd.concat(tables, ignore_index=True).assign(size=600)


def noise(power=1.0, seeds=2) -> pd.DataFrame:
    """Distances that fall by a power of the size of the minibatch without BN."""
    sizes = np.array([2, 4, 8, 16])
    return _seeds(
        pd.DataFrame({"batch_size": sizes, "distance": scale / sizes**p, "bound": bound}).assign(
            normalization=name, seed=seed, standard_error=0.01, depth=20, draws=10
        )
        for name, scale, p, bound in (("plain", 8, power, 8 / sizes), ("bn", 80, 0.9, np.nan))
        for seed in range(seeds)
    )


def training(bn, plain, rates=(0.003, 0.01, 0.1)) -> pd.DataFrame:
    """Ends of trainings: at the middle rate with these test accuracies by seed, worse at others.

    Without BN they diverge at the largest rate.
    """
    rows = []
    for name, accuracies in (("bn", bn), ("plain", plain)):
        for seed, accuracy in enumerate(accuracies):
            for rate in rates:
                diverged = name == "plain" and rate == rates[-1]
                found = accuracy - (0 if rate == rates[1] else 0.1)
                end = {"validation_accuracy": found, "test_accuracy": found}
                labels = {"normalization": name, "seed": seed, "learning_rate": rate}
                rows += [labels | {"epoch": 0, "diverged": False}]
                rows += [labels | {"epoch": 2, "diverged": diverged} | ({} if diverged else end)]
    table = pd.DataFrame(rows).assign(depth=32, dataset="images", train_loss=1.0, seconds=1.0)
    return table
