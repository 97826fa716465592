"""Estimates of time: against the operations of real work, and what they mean for a scheduler.

Operations are counted, not timed: the products of matrices, which are most of them.
"""

import subprocess
import sys

import numpy as np
import pytest
from footprints import CIFAR
from torch.utils.flop_counter import FlopCounterMode

from convexbn.arrangements.gates import sample_gates
from convexbn.experiments.headline.run import Run, Settings
from convexbn.experiments.headline.stages import certify_run, evaluate_run, solve_run
from convexbn.pipeline import durations
from convexbn.training.engine import train
from convexbn.training.sweeps import Sweep
from convexbn.whitening import whiten

CONVEX = {"gates": 32, "seeds": 2, "betas": [10.0, 5.0], "tuning_seeds": 1, "tolerance": 1e-4}
SGD = {"network": "bn", "width": 64, "epochs": 3, "batch_size": 100, "seeds": 2}
SGD |= {"learning_rates": [0.1, 0.03], "betas": [1.0], "momentum": 0.9}
BIAS = {"width": 64, "iterations": 10, "seeds": 1}
FILTERS = CONVEX | {"ranks": [5, 10], "ridge": [0.1], "evaluations": 5}
KNOBS = {"width": 64, "epochs": 5, "learning_rates": [0.1], "batch_sizes": [10, 100], "window": 2}
DEEP = {"epochs": 5, "learning_rates": [0.1, 0.2]}
RESCALED = DEEP | {"weight_decays": [0.1]}
CROSSED = {"accuracies": {"epochs": 1, "batch_sizes": [10, 100]}}
STAGES = [
    *((durations.whitening, None), (durations.gates, CONVEX), (durations.convex, CONVEX)),
    *((durations.judged, CONVEX), (durations.sgd, SGD), (durations.bias, BIAS)),
    *((durations.learned_filters, FILTERS), (durations.knobs, KNOBS)),
    *((durations.learning_rates, DEEP), (durations.rescaling, RESCALED)),
    (durations.cross_iteration, CROSSED),
]
of_stages = pytest.mark.parametrize(("stage", "entry"), STAGES, ids=lambda value: str(value)[10:18])


def asked(stage, *entries, threads=1, gpus=0, attempt=1):
    entries = [entry for entry in entries if entry]
    return durations.minutes(stage(*entries), threads, gpus, attempt)


@of_stages
def test_more_images_take_more_time(stage, entry):
    few = stage(*[part for part in (CIFAR | {"train": 4500}, entry) if part])
    many = stage(*[part for part in (CIFAR, entry) if part])
    assert 3 * few < many <= 10 * few


@of_stages
def test_small_images_ask_for_minutes(stage, entry):
    """And a second attempt for twice as many."""
    digits = {"source": "digits", "train": 1000, "validation": 200, "test": 300, "pool": 1}
    assert 10 < asked(stage, digits, entry) <= 15
    assert asked(stage, digits, entry, attempt=2) == 2 * asked(stage, digits, entry)


LARGE = CONVEX | {"gates": 4096, "seeds": 5, "rank": 640}


def test_likeness_compares_images_and_judges_each_run():
    run = CONVEX | {"rank": 40}
    once, both = (durations.likeness(CIFAR, runs) for runs in ([run], [run, run]))
    assert both - once == pytest.approx(durations.judged(CIFAR, run))
    # The products of 15,000 images with 50,000 training images of 3,072 features at most.
    assert 0 < 2 * once - both <= 2 * 15_000 * 50_000 * 3072


def test_threads_and_a_gpu_take_less_time():
    one = asked(durations.convex, CIFAR, LARGE | {"gates": 256})
    assert asked(durations.convex, CIFAR, LARGE | {"gates": 256}, threads=4) < one / 2
    assert asked(durations.convex, CIFAR, LARGE | {"gates": 256}, gpus=1) < one / 10


def test_deep_networks_count_every_training():
    """Weight rescaling has three methods without a weight decay, BN over iterations five."""
    once = durations.learning_rates(CIFAR, {"epochs": 10})
    assert durations.rescaling(CIFAR, RESCALED | {"epochs": 10}) == 2 * 4 * once
    accuracies = {"epochs": 10, "batch_sizes": [128, 64]}
    assert durations.cross_iteration(CIFAR, {"accuracies": accuracies}) > 2 * 5 * once
    # A small batch has more steps, and each takes a while to start.
    many = {"accuracies": accuracies | {"batch_sizes": [2, 64]}}
    few = {"accuracies": accuracies | {"batch_sizes": [32, 64]}}
    assert durations.cross_iteration(CIFAR, many) > durations.cross_iteration(CIFAR, few)


def test_nothing_asks_for_more_than_partitions_allow():
    """A job that asked for more would wait for ever."""
    assert asked(durations.convex, CIFAR, LARGE | {"rank": 3072}) == durations.LONGEST
    assert asked(durations.convex, CIFAR, LARGE, gpus=1, attempt=100) == durations.LONGEST


def test_import_is_light():
    """Every Snakemake process reads this module."""
    program = (
        "import sys, convexbn.pipeline.durations; print({'torch', 'numpy'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"


DATASET = {"source": "cifar10", "train": 500, "validation": 100, "test": 100}
DATASET |= {"pool": 4, "color": "gray"}


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    made = {"Y_train": np.eye(10, dtype=np.float32)[np.arange(500) % 10]}
    for split, rows in (("train", 500), ("validation", 100), ("test", 100)):
        made["X_" + split] = rng.standard_normal((rows, 64), dtype=np.float32)
        made["labels_" + split] = np.arange(rows) % 10
    return made


def operations(function, *arguments):
    with FlopCounterMode(display=False) as counter:
        result = function(*arguments)
    return counter.get_total_flops(), result


def test_a_solve_and_its_judges_take_no_more_operations(features):
    whitening = whiten(features["X_train"])
    gates = np.stack([sample_gates(whitening.U, CONVEX["gates"], seed) for seed in range(2)])
    settings = Settings.of(CONVEX)
    run = Run(settings, features, whitening, [0, 1], gates, np.zeros(2))
    solving, (solutions, _) = operations(solve_run, run)
    judging = [operations(judge, run, solutions)[0] for judge in (certify_run, evaluate_run)]
    assert solving <= durations.convex(DATASET, CONVEX) < 100 * solving
    assert max(judging) <= durations.judged(DATASET, CONVEX) < 100 * min(judging)


def test_a_sweep_takes_no_more_operations(features):
    training, _ = operations(train, features, Sweep.of(SGD, [0, 1]))
    assert training <= durations.sgd(DATASET, SGD) < 10 * training
