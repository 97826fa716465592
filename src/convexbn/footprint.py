"""How much memory the stages need, from the config alone: what the rules ask of a scheduler.

Upper estimates in MB (10^6 bytes): the largest arrays that live at the same time, plus what the
interpreter and PyTorch take. Imports nothing heavy, as every Snakemake process reads it.
"""

from dataclasses import dataclass
from math import prod

from convexbn.memory import gated_bytes

_MB = 10**6
_INTERPRETER = 700  # with PyTorch
_PRODUCT = 64 * 2**20  # bytes of the product of design and gates, see gates.CHUNK_BYTES

# Per source: images to train on, images held out, (H, W, channels), classes.
_SOURCES = {
    "digits": (1_797, 0, (8, 8, 1), 10),
    "cifar10": (50_000, 10_000, (32, 32, 3), 10),
    "cifar100": (50_000, 10_000, (32, 32, 3), 100),
    # Not known before it is read: as large as CIFAR, unless the config says otherwise.
    "image_folder": (50_000, 10_000, (64, 64, 3), 100),
}


@dataclass(frozen=True)
class Size:
    """Sizes of a data set: n training samples, m others, d features, C outputs."""

    n: int
    m: int
    d: int
    C: int


def size_of(dataset: dict) -> Size:
    """Return the sizes of a data set from its entry in the config."""
    available, held_out, (height, width, channels), classes = _SOURCES[dataset["source"]]
    if dataset.get("size"):
        height, width = dataset["size"]
    if dataset.get("labels") == "coarse":
        classes = 20
    if dataset.get("color") == "gray":
        channels = 1
    validation = dataset["validation"] or 0
    test = dataset["test"] or held_out or available
    n = dataset["train"] or available - validation
    C = len(dataset.get("classes") or range(classes))
    return Size(n, validation + test, height * width * channels // dataset["pool"] ** 2, C)


def images(dataset: dict) -> int:
    """Return the MB that reading or preparing the images takes."""
    available, held_out, shape, _ = _SOURCES[dataset["source"]]
    pixels = (available + held_out) * prod(shape)
    return _INTERPRETER + pixels * 12 // _MB  # bytes, and floats of the images and the features


def whitening(dataset: dict) -> int:
    """Return the MB that the SVD takes: the data, their centred copy, U, LAPACK's two."""
    size = size_of(dataset)
    return _INTERPRETER + (5 * size.n * size.d + 4 * size.d**2) * 8 // _MB


def gates(dataset: dict, run: dict) -> int:
    """Return the MB that sampling takes: the design, gates and what they give on every sample."""
    size = size_of(dataset)
    P, numbers = run["gates"], 2 * size.d * (size.n + run["seeds"] * run["gates"])
    return _INTERPRETER + (_patterns(size.n, P) + size.n * P // 4 + 8 * numbers) // _MB


def convex(dataset: dict, run: dict) -> int:
    """Return the MB that solving, certifying or evaluating a run takes."""
    size = size_of(dataset)
    n, p = size.n + size.m, 1 + (run.get("rank") or min(size.n - 1, size.d))
    P, solutions = run["gates"], run["seeds"] * len(run["betas"])
    data = n * (12 * size.d + 12 * p)  # features, and the stored full-rank design; coordinates
    stored = 8 * (solutions * size.C + run["seeds"]) * p * P  # weights, gates
    terms = {key: run[key] for key in ("loss", "penalty") if key in run}
    working = gated_bytes(size.n, p, P, size.C, **terms)
    return _INTERPRETER + (data + _patterns(n, P) + stored + working) // _MB


def _patterns(n, P) -> int:
    """Return the bytes that the activations of P gates take: twice, and a piece as numbers."""
    return 2 * n * P + min(_PRODUCT, 8 * n * P)


def sgd(dataset: dict, run: dict) -> int:
    """Return the MB that training a sweep takes, see :class:`convexbn.training.Sweep`."""
    size = size_of(dataset)
    sweep = run["seeds"] * len(run["learning_rates"]) * len(run["betas"])
    together = min(run.get("max_members") or sweep, sweep)
    member = 4 * run["width"] * (10 * run["batch_size"] + 5 * size.d)
    kept = 4 * sweep * run["width"] * (size.d + size.C + 4)
    return _INTERPRETER + (8 * (size.n + size.m) * size.d + together * member + 2 * kept) // _MB
