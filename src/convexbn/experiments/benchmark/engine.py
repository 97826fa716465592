"""Epochs per second of the SGD engine, of the loop that a user would write, and of a limit.

For the BN network with momentum and weight decay on one data set, epochs times networks per second:

    this library      members of a sweep by `convexbn.training.engine.train`, each with a seed of
                      its own, as members of one seed share work
    DataLoader loop   torch's modules, autograd and optimizer, one network at a time, and batches
                      from `DataLoader(TensorDataset(X, Y), shuffle=True)`
    resident loop     the same, but batches are gathered from the resident tensors by index
    multiply          the five matrix products of a step alone, repeated: `X w` and `H v`, and the
                      products of the gradients of v, H and w; one network per thread, as in this
                      library
    torch multiply    the same by torch.mm, which the loops use

All with PyTorch's number of threads.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexbn.training.engine import train, workers
from convexbn.training.gradients import multiply
from convexbn.training.sweeps import Sweep

ENGINE, LOADER, RESIDENT = "convexbn", "loader", "resident"
MULTIPLY, TORCH_MULTIPLY = "multiply", "torch multiply"
COLUMNS = [
    *("case", "method", "networks", "epochs_per_second", "least", "most", "ratio_to_loader"),
    *("gigaflops", "share_of_multiply"),
]
_RATE, _BETA, _MOMENTUM = 0.01, 1.0, 0.9  # speed does not depend on them


@dataclass(frozen=True)
class Case:
    """A case: networks of `width` neurons, trained on X (n, d) and Y (n, C) for some epochs."""

    X: torch.Tensor
    Y: torch.Tensor
    width: int
    batch_size: int
    epochs: int

    @property
    def steps(self) -> int:
        """Steps per epoch, of full batches."""
        return len(self.X) // self.batch_size

    @property
    def operations(self) -> int:
        """Operations of the matrix products of an epoch."""
        products = 2 * self.X.shape[1] + 3 * self.Y.shape[1]
        return 2 * self.steps * self.batch_size * self.width * products

    def rate(self, epoch: Callable[[], object]) -> float:
        """Return the epochs per second of `epoch`, a function, after a first call to warm up."""
        epoch()
        start = time.perf_counter()
        for _ in range(self.epochs):
            epoch()
        return self.epochs / (time.perf_counter() - start)


def compare(
    name: str, settings: dict, features: dict[str, np.ndarray], repeats: int
) -> pd.DataFrame:
    """Measure all ways of training in turn, several times.

    Parameters
    ----------
    name : str
        The name of the case.
    settings : dict
        `width`, `batch_size`, `epochs` of a measurement, and `networks`: the numbers of networks
        in the sweeps that this library trains.
    features : dict of ndarray
        The features artifact, without patches.
    repeats : int

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: epochs times networks per second (median, least and most over the
        repeats), operations of the matrix products per second, and ratios of medians.
    """
    sizes = {key: settings[key] for key in ("width", "batch_size", "epochs")}
    X, Y = (torch.as_tensor(features[key]) for key in ("X_train", "Y_train"))
    case = Case(X, Y, **sizes)
    works: dict[tuple, Callable[[Case], float]] = {(name, 1): work for name, work in _ALONE.items()}
    works |= {
        (ENGINE, count): partial(_engine, features=features, count=count)
        for count in settings["networks"]
    }
    rates: dict[tuple, list[float]] = {key: [] for key in works}
    for _ in range(repeats):
        for key, work in works.items():
            rates[key].append(work(case))
    return _table(rates, case.operations).assign(case=name)[COLUMNS]


def _table(rates: dict, operations: int) -> pd.DataFrame:
    """Return the table of the rates by (method, networks)."""
    rows = [
        {"method": method, "networks": networks, "epochs_per_second": np.median(found)}
        | {"least": min(found), "most": max(found)}
        for (method, networks), found in rates.items()
    ]
    table = pd.DataFrame(rows)
    median = table.set_index("method")["epochs_per_second"]
    table["ratio_to_loader"] = table["epochs_per_second"] / median[LOADER]
    table["gigaflops"] = table["epochs_per_second"] * operations / 1e9
    table["share_of_multiply"] = table["epochs_per_second"] / median[MULTIPLY]
    return table


def _engine(case: Case, features: dict, count: int) -> float:
    """Train a sweep of `count` networks; return epochs times networks per second."""
    sweep = Sweep(
        "bn",
        width=case.width,
        epochs=case.epochs,
        batch_size=case.batch_size,
        learning_rates=(_RATE,),
        betas=(_BETA,),
        seeds=tuple(range(count)),
        momentum=_MOMENTUM,
        evaluations=1,
    )
    history, _ = train(features, sweep)
    # Seconds are per network: their sum is the time that the sweep took.
    seconds = sum(row["seconds"] for row in history if row["epoch"] == sweep.epochs)
    return sweep.epochs * count / seconds


def _loader(case: Case) -> float:
    return _loop(case, _loaded(case))


def _loaded(case: Case) -> DataLoader:
    """Return batches of an epoch as a DataLoader makes them."""
    data = TensorDataset(case.X, case.Y)
    return DataLoader(data, case.batch_size, shuffle=True, drop_last=True)


def _resident(case: Case) -> float:
    return _loop(case, _Gathered(case))


class _Gathered:
    """Batches of an epoch, gathered by index."""

    def __init__(self, case: Case):
        self.case = case

    def __iter__(self) -> Iterator:
        size = self.case.batch_size
        order = torch.randperm(len(self.case.X))[: self.case.steps * size]
        return ((self.case.X[index], self.case.Y[index]) for index in order.split(size))


def _loop(case: Case, batches: Iterable) -> float:
    """Train one network as a user would."""
    network = nn.Sequential(
        nn.Linear(case.X.shape[1], case.width, bias=False),
        nn.BatchNorm1d(case.width),
        nn.ReLU(),
        nn.Linear(case.width, case.Y.shape[1], bias=False),
    )
    settings = {"momentum": _MOMENTUM, "weight_decay": _BETA / len(case.X) ** 0.5}
    optimizer = torch.optim.SGD(network.parameters(), lr=_RATE, **settings)

    def epoch():
        for X, Y in batches:
            optimizer.zero_grad()
            loss = 0.5 * (network(X) - Y).square().sum(dim=1).mean()
            loss.backward()
            optimizer.step()

    return case.rate(epoch)


def _multiply(case: Case) -> float:
    """Make the products of one network's epochs per thread."""
    threads = torch.get_num_threads()
    arrays = [_arrays(case) for _ in range(threads)]

    def products(own):
        for _ in range(case.steps):
            _products(*own, multiply)

    with workers(threads) as each:
        return threads * case.rate(lambda: list(each(products, arrays)))


def _torch_multiply(case: Case) -> float:
    """Make the products of one network's epochs, one after the other."""
    arrays = [array[0] for array in _arrays(case)]

    def epoch():
        for _ in range(case.steps):
            _products(*arrays, lambda A, B, out: torch.mm(A, B, out=out))

    return case.rate(epoch)


def _arrays(case: Case) -> list[torch.Tensor]:
    """Return X, R, w, v and arrays for H, F, dv and dw, each with an axis for one member."""
    X, R = (rows[None, : case.batch_size].contiguous() for rows in (case.X, case.Y))
    w = torch.randn(1, X.shape[-1], case.width)
    v = torch.randn(1, case.width, R.shape[-1])
    return [X, R, w, v, X @ w, *map(torch.empty_like, (R, v, w))]


def _products(X, R, w, v, H, F, dv, dw, multiply) -> None:
    multiply(X, w, H)
    multiply(H, v, F)
    multiply(H.mT, R, dv)
    multiply(R, v.mT, H)
    multiply(X.mT, H, dw)


_ALONE = {
    MULTIPLY: _multiply,
    TORCH_MULTIPLY: _torch_multiply,
    LOADER: _loader,
    RESIDENT: _resident,
}
