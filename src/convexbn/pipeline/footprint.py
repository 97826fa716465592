"""Memory of the stages, from the config alone: what the rules request from a scheduler.

Upper estimates in MB (10^6 bytes): the largest arrays that live at the same time, plus the memory
of the interpreter and PyTorch. Imports nothing heavy, as every Snakemake process reads it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log2, prod

from convexbn.data.sources import source_of
from convexbn.programs.memory import gated_bytes
from convexbn.training.memory import members_in_cache, step_bytes

_MB = 10**6
# With PyTorch, 700, and Snakemake, which waits beside the script in the step that Slurm limits.
_INTERPRETER = 1000
_PRODUCT = 64 * 2**20  # bytes of the product of design and gates, see gates.CHUNK_BYTES
_EVALUATION = 7 * 4 * 2**22  # bytes of blocks of hidden values, see normalization.BLOCK
_VIEW = {"size": None, "stride": 1, "padding": 0}  # the keys of `patches`, with their defaults


@dataclass(frozen=True)
class Size:
    """Sizes of a data set: n training samples, m other samples, d features, C outputs.

    A data set of patches has K per sample, each with d features (h in other modules).
    """

    n: int
    m: int
    d: int
    C: int
    K: int = 1


def size_of(dataset: dict) -> Size:
    """Return the sizes of a data set from its entry in the config.

    Raises
    ------
    ValueError
        If its source is unknown.
    """
    source = source_of(dataset["source"])
    height, width, channels = source.shape
    if dataset.get("size"):
        height, width = dataset["size"]
    if dataset.get("color") == "gray":
        channels = 1
    validation = dataset["validation"] or 0
    test = dataset["test"] or source.test or source.train
    n = dataset["train"] or source.train - validation
    C = len(dataset.get("classes") or range(source.classes[dataset.get("labels", "fine")]))
    K, pixels = _patches((height // dataset["pool"], width // dataset["pool"]), dataset)
    return Size(n, validation + test, channels * pixels, C, K)


def samples_of(dataset: dict) -> int | None:
    """Return the number of training samples; None where the images have to be read to know it."""
    if dataset["train"]:
        return dataset["train"]
    source = source_of(dataset["source"])
    others = 0 if source.test else dataset["test"]  # test images are among the training images
    if dataset["source"] == "image_folder" or dataset.get("classes") or others is None:
        return None
    return source.train - (dataset["validation"] or 0) - others


def directions_of(dataset: dict) -> int | None:
    """Return the most directions that whitened data can have; None where that is not known."""
    n, size = samples_of(dataset), size_of(dataset)
    is_known = dataset["source"] != "image_folder" or bool(dataset.get("size"))
    bounds = [size.d] if is_known else []
    return min([*bounds, *([size.K * n - 1] if n else [])], default=None)


def _patches(image: tuple[int, int], dataset: dict) -> tuple[int, int]:
    """Return the number of patches of an image, 1 if it is whole, and of the pixels in each."""
    view = dataset.get("patches")
    if view is None:
        return 1, prod(image)
    size, stride, padding = (view.get(key, default) for key, default in _VIEW.items())
    return prod(1 + (side + 2 * padding - size) // stride for side in image), size**2


def images(dataset: dict) -> int:
    """Return the MB that reading or preparing the images takes."""
    source = source_of(dataset["source"])
    pixels = (source.train + source.test) * prod(source.shape)
    return _INTERPRETER + pixels * 12 // _MB  # bytes, and floats of the images and the features


def features(dataset: dict) -> int:
    """Return the MB that preparing the features takes: the images, and the patches three times."""
    size = size_of(dataset)
    cut = 12 * size.K * (size.n + size.m) * size.d if "patches" in dataset else 0
    return images(dataset) + cut // _MB


def whitening(dataset: dict) -> int:
    """Return the MB that the SVD takes: the data, their centred copy, U, two copies in LAPACK."""
    size = size_of(dataset)
    return _INTERPRETER + (5 * size.K * size.n * size.d + 4 * size.d**2) * 8 // _MB


def gates(dataset: dict, run: dict) -> int:
    """Return the MB that sampling takes: the design, the gates, and their patterns."""
    size = size_of(dataset)
    rows, P, designs = size.K * size.n, run["gates"], 3 if "filter" in run else 2
    numbers = size.d * (designs * rows + 2 * run["seeds"] * P)
    return _INTERPRETER + (_patterns(rows, P) + rows * P // 4 + 8 * numbers) // _MB


def convex(dataset: dict, run: dict) -> int:
    """Return the MB that solving a run takes.

    Each of several processes that solve it has its share of the training samples, and all others;
    torchrun, which starts them on each node, imports as much as they do.
    """
    size, processes = size_of(dataset), run.get("processes", 1)
    n, p = ceil(size.n / processes), 1 + (run.get("rank") or min(size.K * size.n - 1, size.d))
    rows = size.K * (n + size.m)
    P, solutions = run["gates"], sum(networks_of(run, len(run["betas"])))
    data = rows * (12 * size.d + 12 * p)  # features, and the stored full-rank design; coordinates
    scaled = 8 * rows * p if size.K > 1 or "filter" in run else 0  # by 1 / K, or by the gains
    stored = 8 * (solutions * size.C + run["seeds"]) * p * P  # weights, gates
    terms = {key: run[key] for key in ("loss", "penalty") if key in run}
    working = gated_bytes(n, p, P, size.C, size.K, **terms)
    each = _INTERPRETER + (data + scaled + _patterns(rows, P) + stored + working) // _MB
    return processes * each + (run.get("nodes", 1) * _INTERPRETER if processes > 1 else 0)


def of_node(dataset: dict, run: dict) -> int:
    """Return the MB that solving a run takes on each of its nodes."""
    return ceil(convex(dataset, run) / run["nodes"])


def judged(dataset: dict, run: dict) -> int:
    """Return the MB that certifying or evaluating a run takes: one process has all samples."""
    return convex(dataset, run | {"processes": 1})


def likeness(dataset: dict, solved: Iterable[dict], trained: Iterable[dict]) -> int:
    """Return the MB that judging runs on the test images takes, one by one.

    Test images are compared with training images in three copies.
    """
    size = size_of(dataset)
    data = 12 * size.K * (size.n + size.m) * size.d
    weights = [_parameters(sum(_phases(run)), size.d, run["width"], size.C) for run in trained]
    held = [_INTERPRETER + (data + own) // _MB for own in weights]
    largest = max([judged(dataset, run) for run in solved] + held)
    return largest + 12 * size.K * size.m * size.d // _MB


def networks_of(run: dict, settings: int) -> tuple[int, int]:
    """Return the numbers of networks of the tuning seeds, in all settings, and of the others."""
    tuning = run.get("tuning_seeds") or run["seeds"]
    return tuning * settings, run["seeds"] - tuning


def _phases(run: dict) -> tuple[int, int]:
    """Return the numbers of networks that a sweep by SGD trains in its two phases."""
    return networks_of(run, len(run["learning_rates"]) * len(run["betas"]))


def _patterns(rows: int, P: int) -> int:
    """Return the bytes that the patterns of P gates take: two copies, and a piece as numbers."""
    return 2 * rows * P + min(_PRODUCT, 8 * rows * P)


def sgd(dataset: dict, run: dict) -> int:
    """Return the MB that training a sweep takes, see :class:`convexbn.training.sweeps.Sweep`."""
    size, is_convex = size_of(dataset), run["network"] == "convex"
    p = 1 + (run.get("rank") or size.d) if is_convex else size.d
    width = run["gates"] * size.C if is_convex else run["width"]
    samples, rows = size.K * (size.n + size.m), size.K * run["batch_size"]
    phases = _phases(run)
    together = min(run.get("max_members") or members_in_cache(p, width, rows), max(phases))
    tensors = 7 if run.get("optimizer") == "adam" else 5  # of the parameters' shape, at the start
    training = together * step_bytes(p, width, 2 * rows, tensors=tensors)
    data = samples * (8 * size.d + (48 * p if is_convex else 0))  # and the designs in float64
    if run.get("flip") or run.get("shift"):
        ways = 2 * (2 * run.get("shift", 0) + 1) ** 2
        data += 8 * size.d * ways + 16 * together * rows * size.d  # the table, and the new images
    scores = 16 * together * (size.n + size.m) * size.C + _EVALUATION
    kept = 2 * _parameters(sum(phases), p, width, size.C)
    return _INTERPRETER + (data + training + scores + kept) // _MB


def _parameters(networks: int, p: int, width: int, C: int) -> int:
    """Return the bytes of the parameters of some networks."""
    return 4 * networks * width * (p + C + 4)


def bias(dataset: dict, run: dict) -> int:
    """Return the MB that full-batch gradient descent takes, most of it for its float64 check."""
    size = size_of(dataset)
    # In both precisions, as handed in and as converted, and the stored design.
    data = (48 * size.n + 4 * size.m) * size.d
    hidden = 72 * size.n * run["width"]  # values that autograd keeps, and their gradients
    gaps = min(hidden, 600 * _MB)  # left in the heap by these arrays, while they are small
    weights = 80 * size.d * run["width"] + 16 * size.d**2
    libraries = 250  # pandas, SciPy, and torch.optim, which imports a compiler
    return _INTERPRETER + libraries + (data + hidden + gaps + weights) // _MB


def learned_filters(dataset: dict, run: dict) -> int:
    """Return the MB that solving a grid and learning filters takes."""
    size = size_of(dataset)
    rows, P = size.n + size.m, run["gates"]
    p = 1 + min(run.get("rank") or size.d, size.n - 1, size.d)
    # Features, the stored design, and coordinates: of the program, of the gates, and filtered with
    # their gradients.
    data = rows * (12 * size.d + 48 * p)
    libraries = 250  # pandas and SciPy
    working = 2 * gated_bytes(size.n, p, P, size.C)  # of the solve, and of its derivative
    return _INTERPRETER + libraries + (data + _patterns(rows, P) + working) // _MB


def knobs(dataset: dict, entry: dict) -> int:
    """Return the MB that training the headline's network under each knob takes."""
    size, width = size_of(dataset), entry["width"]
    data = 8 * (size.n + size.m) * size.d  # as loaded, and on the device
    # Weights, gradients and velocities; per iteration of the window two of their size.
    weights = 4 * size.d * width * (6 + 2 * entry["window"])
    rows = max(500, *entry["batch_sizes"], entry["batch_size"])
    hidden = 4 * rows * width * 16  # in float64 for precise statistics
    libraries = 300  # pandas and SciPy, and torch.fx with its compiler
    return _INTERPRETER + libraries + (data + weights + hidden) // _MB


def ridge(dataset: dict, entry: dict) -> int:
    """Return the MB that tuning SGD and ridge regression on a data set's spectrum takes."""
    size, libraries = size_of(dataset), 200  # pandas and SciPy
    data = (4 * (size.n + size.m) + 16 * size.n) * size.d  # features; the stored design, a copy
    squares = 64 * size.d**2  # the samples, their factor, its square, and those of LAPACK
    values = 8 * size.d * entry["penalties"] * (3 * size.C + 6)  # biases and risks of two targets
    lowest, highest = entry["samples"]
    sizes = 2 * log2(32 * highest / lowest) + 10  # of SGD, and its recursion
    values += int(8 * size.d * entry["step_sizes"] * sizes)
    return _INTERPRETER + libraries + (data + squares + values) // _MB


def networks(dataset: dict, entry: dict) -> int:
    """Return the MB that training the other deep networks on a data set takes.

    The data as loaded, on the device and as numbers; what a batch takes in a network of the papers'
    sizes, and the images that statistics are compared with, in some layers at a time.
    """
    size, libraries, batch = size_of(dataset), 300, 1500
    data = 12 * (size.n + size.m) * size.d
    images = entry.get("statistics", {}).get("images", 0)
    hidden = 32 * images * entry.get("width", 0) * _pixels(dataset, size)
    return _INTERPRETER + libraries + batch + (data + hidden) // _MB


def _pixels(dataset: dict, size: Size) -> int:
    """Return the pixels of an image, whatever channels they have."""
    channels = 1 if dataset.get("color") == "gray" else source_of(dataset["source"]).shape[2]
    return size.d // channels


def learning_rates(dataset: dict, entry: dict) -> int:
    """Return the MB that measuring or training residual networks on a data set takes."""
    size, libraries = size_of(dataset), 300  # pandas, SciPy, torch.optim
    depth, width = max(entry.get("depths") or [entry["depth"]]), entry["width"]
    # Bytes of a sample's outputs of all layers.
    hidden = 4 * 1.75 / 3 * depth * width * _pixels(dataset, size)
    samples = entry.get("batch_size") or max(entry["batch_sizes"])
    values = 6 * hidden * samples
    weights = 63 * depth * width**2
    values += 4 * weights * (6 + 3 * entry.get("images", 0))
    data = 3 * 4 * (size.n + size.m) * size.d
    return _INTERPRETER + libraries + int(data + values) // _MB
