"""Time of the stages, from the config alone: what the rules request from a scheduler.

Rules of thumb for floating point operations, at a rate of which a core (or a GPU) does several
times as many: a job that its limit cuts is repeated, while one that asks for more than it takes
only waits longer. Imports nothing heavy, as every Snakemake process reads it.
"""

from collections.abc import Iterable
from math import ceil

from convexbn.data.sources import source_of
from convexbn.pipeline.footprint import Size, networks_of, size_of

LONGEST = 1440  # minutes; a job that asks for more than its partition allows waits for ever
_START = 10  # minutes, for imports from a slow file system, reading and writing
# Operations per second, of a thread and of a GPU. On a busy core a solve of CIFAR-10 (k = 160, P =
# 512) took a third of its minutes, SGD (width 1,024) a sixth.
_RATES = {"cpu": 2e10, "gpu": 1e12}
_PASSES = 100  # of a solve over its design, forwards and back
_BACKWARD = 3  # a step of training against a prediction
_VGG16 = 2e9  # operations of a step per image of 32x32 pixels
_STEP = 1e9  # what a GPU could do in the time that it takes to start the operations of a step
_EPOCHS = 30  # of experiments that count in something else
_UNTUNED = 3  # methods of weight rescaling without a weight decay of their own
_CROSSED = 5  # methods of BN over several iterations


def minutes(operations: float, threads: int, gpus: int, attempt: int) -> int:
    """Return the minutes to ask for in an attempt, the first one being 1.

    Parameters
    ----------
    operations : float
        As the other functions return them.
    threads, gpus : int
        That compute them.
    attempt : int
        Each one gets as much more time as the first.
    """
    rate = _RATES["gpu"] if gpus else threads * _RATES["cpu"]
    return min(attempt * (_START + ceil(operations / rate / 60)), LONGEST)


def whitening(dataset: dict) -> float:
    """Return the operations of the SVD."""
    size = size_of(dataset)
    return 20 * size.K * size.n * size.d**2


def gates(dataset: dict, run: dict) -> float:
    """Return the operations of sampling gates: their patterns, a few times."""
    size = size_of(dataset)
    return 10 * size.K * size.n * size.d * run["gates"] * run["seeds"]


def convex(dataset: dict, run: dict) -> float:
    """Return the operations of solving a run, of each of the processes that share it."""
    size, solves = size_of(dataset), sum(networks_of(run, len(run["betas"])))
    return _PASSES * solves * _of_pass(size, size.n, run) / run.get("processes", 1)


def judged(dataset: dict, run: dict) -> float:
    """Return the operations of certifying or evaluating a run, in float64."""
    size = size_of(dataset)
    solutions = sum(networks_of(run, len(run["betas"])))
    return 4 * solutions * _of_pass(size, size.n + size.m, run)


def likeness(dataset: dict, runs: Iterable[dict]) -> float:
    """Return the operations of comparing test with training images, and of the runs' scores."""
    size = size_of(dataset)
    compared = 2 * size.K * size.m * size.n * size.d
    return compared + sum(judged(dataset, run) for run in runs)


def _of_pass(size: Size, samples: int, run: dict) -> float:
    """Return the operations of one pass over the design of all gates, forwards and back."""
    p = 1 + min(run.get("rank") or size.d, size.K * size.n, size.d)
    return 4 * size.K * samples * p * run["gates"] * size.C


def sgd(dataset: dict, run: dict) -> float:
    """Return the operations of training a sweep and evaluating it after each epoch."""
    size = size_of(dataset)
    is_convex = run["network"] == "convex"
    width = run["gates"] * size.C if is_convex else run["width"]
    trained = sum(networks_of(run, len(run["learning_rates"]) * len(run["betas"])))
    samples = _BACKWARD * size.n + size.n + size.m
    return trained * run["epochs"] * samples * 2 * size.K * (size.d + size.C) * width


def bias(dataset: dict, run: dict) -> float:
    """Return the operations of full-batch descent of two networks, most of them in float64."""
    size = size_of(dataset)
    steps = 2 * run["seeds"] * run["iterations"]
    return steps * 2 * _BACKWARD * size.n * size.d * run["width"] * 4


def learned_filters(dataset: dict, run: dict) -> float:
    """Return the operations of solving a grid, and of learning with a solve per evaluation."""
    size = size_of(dataset)
    grid = (len(run["ranks"]) + len(run["ridge"])) * len(run["betas"])
    return 2 * _PASSES * (grid + 4 * run["evaluations"]) * _of_pass(size, size.n, run)


def knobs(dataset: dict, entry: dict) -> float:
    """Return the operations of training the headline's network under each knob."""
    size = size_of(dataset)
    trained = 4 * len(entry["learning_rates"]) * (1 + len(entry["batch_sizes"]))
    step = _BACKWARD * 2 * size.d * entry["width"] * (1 + entry["window"])
    return trained * entry["epochs"] * size.n * step


def learning_rates(dataset: dict, entry: dict) -> float:
    """Return the operations of training deep networks at all learning rates."""
    return _deep(dataset, entry.get("epochs", _EPOCHS) * len(entry.get("learning_rates") or [0]))


def rescaling(dataset: dict, entry: dict) -> float:
    """Return the operations of training a deep network with and without weight rescaling."""
    trained = len(entry["learning_rates"]) * (_UNTUNED + len(entry["weight_decays"]))
    return _deep(dataset, entry["epochs"] * trained)


def cross_iteration(dataset: dict, entry: dict) -> float:
    """Return the operations of training a deep network by all methods, at all batch sizes."""
    part = entry["accuracies"]
    steps = sum(size_of(dataset).n / size for size in part["batch_sizes"])
    epochs = _CROSSED * part["epochs"]
    return _deep(dataset, epochs * len(part["batch_sizes"])) + _STEP * epochs * steps


def _deep(dataset: dict, epochs: int) -> float:
    """Return the operations of epochs of a deep network, as if it were a VGG16."""
    return _VGG16 * _pixels(dataset) / 32**2 * epochs * size_of(dataset).n


def _pixels(dataset: dict) -> float:
    height, width = dataset.get("size") or source_of(dataset["source"]).shape[:2]
    return height * width / dataset["pool"] ** 2
