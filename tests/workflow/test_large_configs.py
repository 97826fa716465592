"""Every entry of the large configs runs, on a few made-up images: each key and each combination."""

import numpy as np
import pytest
import yaml
from workflow_runs import ROOT

from convexbn.arrangements.gates import sample_gates
from convexbn.data.images import Images
from convexbn.data.preprocessing import prepare
from convexbn.experiments.bias.measure import descent_of, measure
from convexbn.experiments.headline.run import Run, Settings
from convexbn.experiments.headline.stages import certify_run, evaluate_run, solve_run
from convexbn.experiments.learned_filters.measure import measure as measure_filters
from convexbn.experiments.learned_filters.settings import Settings as FilterSettings
from convexbn.pipeline.designs import filter_columns, truncated, whitened_run
from convexbn.training.engine import train
from convexbn.training.sweeps import Sweep
from convexbn.whitening import whiten

CONFIGS = {
    name: yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    for name in ("cifar-small", "cifar10", "cifar100", "paper")
}
KINDS = "convex", "sgd", "bias", "learned_filters"
RUNS = [
    pytest.param(name, run, id=f"{name}-{kind}-{run}")
    for kind in KINDS
    for name, config in CONFIGS.items()
    for run in config.get(kind, {})
]
of_convex, of_sgd, of_bias, of_filters = (
    pytest.mark.parametrize(("name", "run"), [p for p in RUNS if f"-{kind}-" in p.id])
    for kind in KINDS
)
FEW, LOW = {"train": 30, "validation": 10, "test": 10}, 5
NOT_OF_DATA = {"source", "figures", *FEW}
HIGHEST = {
    **{"rank": LOW, "gates": 4, "width": 4, "epochs": 2, "batch_size": 10, "iterations": 3},
    "evaluations": 2,
    "tuning_seeds": 1,
}


def shrunk(entry) -> dict:
    """Return a run's entry with all its keys, and small numbers."""
    small = {key: min(value, HIGHEST.get(key, value)) for key, value in numbers(entry).items()}
    first = {key: value[:1] for key, value in entry.items() if isinstance(value, list)}
    return {**entry, **small, **first}


def numbers(entry) -> dict:
    return {key: value for key, value in entry.items() if isinstance(value, int | float)}


@pytest.fixture(scope="module")
def features():
    """Return a function that makes the features of a data set's entry."""
    rng = np.random.default_rng(0)
    images, made = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8), {}
    labels = np.arange(60) % 3
    source = Images(images[:45], labels[:45], images[45:], labels[45:], ("a", "b", "c"))

    def make(config, entry):
        dataset = CONFIGS[config]["datasets"][entry["dataset"]]
        key = str(sorted(dataset.items()))
        if key not in made:
            view = {name: dataset[name] for name in dataset.keys() - NOT_OF_DATA}
            made[key] = vars(prepare(source, **FEW, **view, seed=0))
        return made[key]

    return make


def whitening_of(features):
    X = features["X_train"]
    return whiten(X.reshape(-1, X.shape[-1]))


@of_convex
def test_a_convex_run_is_solved_certified_and_evaluated(features, name, run):
    entry = shrunk(CONFIGS[name]["convex"][run])
    data = features(name, entry)
    whitening = truncated(whitening_of(data).tensors(), entry)
    gates = sample_gates(whitening.U, entry["gates"], 0)[None]
    made = Run(
        Settings.of(entry), data, whitening, [0], gates, np.zeros(1), **filter_columns(entry)
    )
    solutions, _ = solve_run(made)
    assert all(row["converged"] for row in certify_run(made, solutions))
    (row,) = evaluate_run(made, solutions)
    assert 0 <= row["test_accuracy"] <= 1
    assert row["rank"] <= entry.get("rank", np.inf)


@of_sgd
def test_an_sgd_run_is_trained(features, name, run):
    entry = shrunk(CONFIGS[name]["sgd"][run])
    data = features(name, entry)
    if entry["network"] == "convex":
        tensors = {**whitening_of(data).tensors(), "seconds": 0.0}
        data, _ = whitened_run(data, tensors, entry, [0])
    history, _ = train(data, Sweep.of(entry, [0]))
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert np.isfinite(history[-1]["objective"])


@of_bias
def test_the_bias_is_measured(features, name, run):
    entry = shrunk(CONFIGS[name]["bias"][run])
    data = features(name, entry)
    descent = descent_of(entry)
    cosines, history = measure(data, whitening_of(data), descent, entry["width"], [0], "cpu")
    assert len(cosines) > 0
    assert len(history) > 0


@of_filters
def test_filters_are_learned(features, name, run):
    entry = shrunk(CONFIGS[name]["learned_filters"][run])
    entry["ranks"] = [min(LOW, rank) for rank in entry["ranks"]]
    data = features(name, entry)
    solves, gains = measure_filters(data, whitening_of(data), FilterSettings.of(entry), 0)
    assert solves["certified"].all()
    assert np.isfinite(gains["gain"]).all()
