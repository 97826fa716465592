"""Tables like those of the digits config, made by hand for the tests of figures and tables."""

import numpy as np
import pandas as pd

from convexbn.reporting import selection

BETAS = (1.0, 0.1, 0.01)
FULL = 61
RANKS = {"k5": 5, "k10": 10, "k20": 20, "k40": 40, "full": FULL, "ridge": FULL, "power": FULL}
ENERGY = {"k5": 0.545, "k10": 0.739, "k20": 0.894, "k40": 0.988, "full": 1.0}
FILTERS = {"ridge": 0.01, "power": 0.5}  # each run has the name of its filter's kind
TEST = {"k5": 0.86, "k10": 0.945, "k20": 0.972, "k40": 0.968, "full": 0.951}
TEST |= {"ridge": 0.975, "power": 0.962}
# Methods trained by SGD: the run, the accuracy it reaches, and the rank it sees.
NETWORKS = {
    "SGD": ("bn", 0.965, np.nan),
    "SGD without BN": ("plain", 0.94, np.nan),
    "convex by SGD": ("full-sgd", 0.955, FULL),
    "convex-truncated by SGD": ("k20-sgd", 0.968, 20),
    "convex-filtered by SGD": ("ridge-sgd", 0.971, FULL),
}


def method_of(run: str) -> str:
    """Return the method of a convex run."""
    if run in FILTERS:
        return "convex-filtered"
    return "convex" if run == "full" else "convex-truncated"


def filter_of(run: str) -> dict:
    """Return the filter's columns of a run."""
    kind = run if run in FILTERS else ""
    return {"filter_kind": kind, "filter_value": FILTERS.get(run, np.nan)}


def convex_history(seeds=3, dataset="digits") -> pd.DataFrame:
    """Paths of three betas, whose gap falls tenfold every six checkpoints."""
    rng = np.random.default_rng(0)
    rows = []
    for run, k in RANKS.items():
        for seed in range(seeds):
            clock = 0.05 + 0.02 * rng.random()
            luck = 0.004 * rng.standard_normal()
            for place, beta in enumerate(BETAS):
                optimum = 300 * beta**0.5 * (1 + 20 / k)
                for step in range(31):
                    clock += 2e-4 * k * (1 + 3 * place) * (1 + 0.2 * rng.random())
                    relative = 10 ** (1 - step / 6) / (1 + place * 10)
                    level = TEST[run] + luck - 0.01 * abs(place - 1)
                    row = {
                        **{"dataset": dataset, "run": run, "method": method_of(run)},
                        **{"rank": k, "seed": seed, "beta": beta, "iteration": 10 * step},
                        "seconds": clock,
                        "objective": optimum * (1 + 0.3 * relative),
                        "dual_objective": optimum * (1 - 0.7 * relative),
                        "gap": optimum * relative,
                        "relative_gap": relative,
                        "train_accuracy": min(1, TEST[run] + 0.03 + 0.01 * place - relative / 30),
                        "test_accuracy": level - 0.08 * min(relative, 8),
                        "train_loss": 0.4 * beta**0.4 * (1 + relative) * 5 / k,
                        "test_loss": 0.12 + 0.001 * k * (1 + luck) + 0.1 * relative,
                    }
                    rows.append(row)
    return pd.DataFrame(rows)


def evaluations(history: pd.DataFrame, uncertified=()) -> pd.DataFrame:
    """Final iterates of a history; `uncertified` holds (run, seed, beta)."""
    final = history.groupby(["run", "seed", "beta"], as_index=False).tail(1)
    keys = zip(final["run"], final["seed"], final["beta"], strict=True)
    final = final.assign(
        candidate=True,
        energy=final["run"].map(ENERGY).fillna(0.9),
        filter_kind=final["run"].where(final["run"].isin(FILTERS), ""),
        filter_value=final["run"].map(FILTERS),
        gates=128,
        loss="squared",
        penalty="group",
        validation_accuracy=final["test_accuracy"] + 0.005,
        certified=[key not in uncertified for key in keys],
        neurons=100 + final["rank"],
        **calibration(final["test_accuracy"]),
    )
    return final.reindex(columns=selection.RUNS)


def calibration(accuracy) -> dict:
    """Calibration that gets better with accuracy."""
    miss = 1 - accuracy
    return {"test_nll": 0.02 + 2 * miss, "test_ece": 0.004 + 0.3 * miss, "temperature": 0.2 + miss}


def sgd_history(seeds=3, rates=(0.001, 0.01, 0.1), dataset="digits", epochs=30) -> pd.DataFrame:
    """Histories of what is trained by SGD; the largest rate diverges at the largest beta."""
    rng = np.random.default_rng(1)
    rows = []
    for method, (run, best, rank) in NETWORKS.items():
        for rate in rates:
            for beta in BETAS:
                for seed in range(seeds):
                    luck = 0.006 * rng.standard_normal()
                    pace = 0.03 * (1 + 0.1 * rng.random())
                    for epoch in range(epochs + 1):
                        speed = 1 - np.exp(-(epoch + 0.5) * rate * 60)
                        diverged = rate == rates[-1] and beta == BETAS[0] and epoch > 5
                        level = best + luck - 0.01 * abs(np.log10(beta) + 2)
                        score = np.nan if diverged else 0.1 + (level - 0.1) * speed
                        row = {
                            **{"dataset": dataset, "run": run, "method": method, "seed": seed},
                            **{"learning_rate": rate, "beta": beta},
                            **{"optimizer": "sgd", "batch_size": 100, "width": 256},
                            **{"rank": rank, "gates": np.nan if np.isnan(rank) else 128},
                            **filter_of(run.removesuffix("-sgd")),
                            **{"epoch": epoch, "seconds": pace * epoch},
                            "objective": np.nan if diverged else 500 - 450 * speed,
                            "train_accuracy": min(1, score + 0.03),
                            "validation_accuracy": score + 0.004,
                            "test_accuracy": score,
                            "train_loss": 0.45 - 0.44 * speed + 0 * score,
                            "test_loss": 0.45 - 0.35 * speed * score,
                            **(calibration(score) if epoch == epochs else {}),
                        }
                        rows.append(row)
    return pd.DataFrame(rows)


def spectrum() -> np.ndarray:
    """Singular values that fall like a power."""
    return 100 / np.arange(1.0, FULL + 1)


def published(**row) -> pd.DataFrame:
    """A table of published values: empty, or with one row."""
    columns = ["dataset", "method", "test_accuracy", "source"]
    return pd.DataFrame([row] if row else [], columns=columns)
