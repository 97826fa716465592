"""What is measured on a GPU, and on a CPU beside it: products, solves, and a sweep of networks.

Each step yields rows of the table of :mod:`convexbn.experiments.benchmark.gpu_report`, as soon as
it has them, and ends by a time of the monotonic clock.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from convexbn.arrangements.gates import activation
from convexbn.experiments.benchmark.clocks import peak_memory
from convexbn.experiments.benchmark.random_images import RandomImages
from convexbn.programs.gated import GatedProgram
from convexbn.programs.instances import make_program
from convexbn.solvers import solve
from convexbn.solvers.snapshots import Snapshot
from convexbn.training.engine import train
from convexbn.training.sweeps import Sweep

NOT_REACHED = "not reached in the time"
_SHARE = 0.1  # beta, of the smallest at which the weights are zero
_SECONDS = 0.5  # for which the product is measured
_OTHERS = 1_000  # training images that stand in for those of validation and test

Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Sizes of the measurements, with limits of their time.

    Attributes
    ----------
    n, pixels, classes, gates : int
    ranks : dict of int to float
        Seconds for the solves at each rank.
    tolerances : tuple of float
        Relative gaps, the largest first.
    width, epochs, batch_size : int
        Of the sweep of networks: two learning rates, two seeds.
    product : int
        Rows of the square matrices whose product is the limit of the device.
    """

    n: int
    pixels: int
    classes: int
    gates: int
    ranks: dict[int, float]
    tolerances: tuple[float, ...]
    width: int
    epochs: int
    batch_size: int
    product: int


class OutOfTime(Exception):
    """A solve has come to the end of its time."""


def products(size: Size, device: str) -> Iterator[Row]:
    """Measure the rate of float32 products of matrices, with TF32 on a GPU, and without it."""
    A = torch.randn(size.product, size.product, device=device)
    allowed = torch.backends.cuda.matmul.allow_tf32
    for name in ("TF32", "float32") if device == "cuda" else ("float32",):
        torch.backends.cuda.matmul.allow_tf32 = name == "TF32"
        try:
            seconds = _seconds_of(lambda: A @ A, device)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        words = f"{name} product of {size.product:,} x {size.product:,}"
        yield {"device": device, "gigaflops": 2e-9 * size.product**3 / seconds, "words": words}


def draw(size: Size, device: str, into: list[RandomImages]) -> Iterator[Row]:
    """Append the images to a list."""
    start = time.monotonic()
    into.append(RandomImages.draw(size.n, size.pixels, size.classes, device))
    wait_for(device)
    row = {"device": device, "n": size.n, "r": size.pixels, "seconds": time.monotonic() - start}
    yield row | {"words": "drawing of the images"}


def solves(images: RandomImages, size: Size, rank: int, rate: float, end: float) -> Iterator[Row]:
    """Solve at one rank to each tolerance, and count the operations where there is time.

    Parameters
    ----------
    images : RandomImages
    size : Size
    rank : int
    rate : float
        The limit of the device, in gigaflops.
    end : float
        When a solve is left.
    """
    U, Y = images.whitened(rank), images.targets
    G = torch.randn(rank + 1, size.gates, generator=torch.Generator().manual_seed(rank))
    D = activation(U, G.to(U))
    terms: dict[str, Any] = {"model": "gated", "loss": "squared", "penalty": "group"}
    program = make_program(U, D, Y, 1.0, **terms)
    assert isinstance(program, GatedProgram)
    beta = _SHARE * program.beta_max()
    shape = {"n": len(U), "r": rank, "P": size.gates, "C": images.classes, "beta": beta}
    for tol in size.tolerances:
        row: Row = {"device": U.device.type, **shape, "tolerance": tol, "words": NOT_REACHED}
        if time.monotonic() < end:
            row |= _solved(U, D, Y, beta, tol, end)
        if not row["words"] and end - time.monotonic() > 2 * row["seconds"]:
            operations = operations_of(partial(solve, U, D, Y, beta, tol=tol))
            row["gigaflops"] = 1e-9 * operations / row["seconds"]
            row["share"] = row["gigaflops"] / rate
        yield row


def _solved(U: Tensor, D: Tensor, Y: Tensor, beta: float, tol: float, end: float) -> Row:
    """Return what a solve that may last until `end` has come to."""
    last: list[Snapshot] = []

    def callback(snapshot: Snapshot) -> None:
        last[:] = [snapshot]
        if time.monotonic() > end:
            raise OutOfTime

    _reset(U.device.type)
    try:
        found = solve(U, D, Y, beta, tol=tol, callback=callback).certificate
    except OutOfTime:
        (snapshot,) = last
        seen = snapshot.seconds, snapshot.relative_gap, snapshot.iteration, NOT_REACHED
    else:
        words = "" if found.converged else f"not certified: {found.reason}"
        seen = found.seconds, found.relative_gap, found.iterations, words
    names = "seconds", "relative_gap", "rounds", "words"
    return dict(zip(names, seen, strict=True)) | {"peak_gib": _peak(U.device.type)}


def sweep(images: RandomImages, size: Size, rate: float, end: float) -> Iterator[Row]:
    """Train BN networks side by side: for one epoch first, which tells how long more of them take.

    Parameters are those of :func:`solves`.
    """
    X, labels, device = images.pixels(), images.labels.cpu().numpy(), images.Q.device.type
    features = {"X_train": X, "labels_train": labels, "Y_train": images.targets.float()}
    for split in ("validation", "test"):
        features |= {f"X_{split}": X[:_OTHERS], f"labels_{split}": labels[:_OTHERS]}
    whole = 0.0
    for epochs in dict.fromkeys((1, size.epochs)):
        settings = Sweep(
            network="bn",
            width=size.width,
            epochs=epochs,
            batch_size=size.batch_size,
            learning_rates=(0.01, 0.03),
            betas=(1.0,),
            seeds=(0, 1),
            evaluations=1,
        )
        networks = len(settings.members)
        row: Row = {"device": device, "n": len(X), "r": X.shape[1], "m": size.width}
        row |= {"networks": networks, "epochs": epochs}
        if time.monotonic() + epochs * whole > end:
            yield row | {"words": NOT_REACHED}
            return
        _reset(device)
        start = time.monotonic()
        history, _ = train(features, settings, device=device)
        whole, seconds = time.monotonic() - start, history[-1]["seconds"]  # of one network
        # X w and the derivative in w; the second layer is small beside the first.
        gigaflops = 4e-9 * len(X) * X.shape[1] * size.width * epochs / seconds
        yield row | {
            **{"seconds": networks * seconds, "epochs_per_second": epochs / seconds},
            **{"gigaflops": gigaflops, "share": gigaflops / rate, "peak_gib": _peak(device)},
            "words": f"{whole:.1f} s with set-up and evaluation",
        }


def operations_of(work: Callable[[], object]) -> float:
    """Return the floating point operations of the matrix products of some work."""
    from torch.utils.flop_counter import FlopCounterMode  # slow to import

    def added(sums: Sequence[int], A: Sequence[int], B: Sequence[int], **_: object) -> int:
        return 2 * A[0] * A[1] * B[1]  # of shapes

    # PyTorch's counter leaves out the product that is added in place.
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added}) as counter:
        work()
    return counter.get_total_flops()


def _seconds_of(work: Callable[[], object], device: str) -> float:
    """Return the seconds that some work takes, of many goes."""
    work()
    wait_for(device)
    goes, start = 0, time.perf_counter()
    while time.perf_counter() - start < _SECONDS or not goes:
        work()
        wait_for(device)
        goes += 1
    return (time.perf_counter() - start) / goes


def wait_for(device: str) -> None:
    """Return once the device has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def _reset(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> float:
    """Return the peak memory in GiB: of the device since its reset, of the CPU's process so far."""
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory()
    return peak / 2**30
