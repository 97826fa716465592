"""The bias of gradient descent: a BN network first turns along the data's large singular values.

A BN network on the data X and its twin on whitened data Z start as the same function, and take
steps of the same size. Only the first layers' coordinates q move differently, by `(sigma / c)^2`
along a direction of singular value sigma (:mod:`convexbn.experiments.bias.coordinates`). The tables
say how far each direction has turned away from the start.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch.nn.functional import cosine_similarity

from convexbn.experiments.bias.coordinates import Coordinates, mean_loss
from convexbn.inputs import (
    check_between,
    check_finite,
    check_momentum,
    check_positive,
    check_same_length,
)
from convexbn.networks.two_layer import BNNetwork
from convexbn.progress import progress
from convexbn.training.schedules import log_spaced

MODELS = ("bn", "whitened")
BINS = 48  # at most so many rows for the directions of one look: they keep the table small
COSINES = [
    *("model", "seed", "iteration", "direction", "directions"),
    *("singular_value", "cosine"),
]
COURSE = ["model", "seed", "iteration", "loss", "constant_loss", "spearman", "identity_error"]


@dataclass(frozen=True)
class GradientDescent:
    """Full-batch gradient descent on the mean squared loss, without weight decay.

    Attributes
    ----------
    width, iterations : int
        Neurons; steps.
    learning_rate : float
    momentum : float
        In [0, 1); 0 is plain gradient descent.
    looks : int
        About after how many iterations the directions are looked at, log-spaced; the last always.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """

    width: int
    iterations: int
    learning_rate: float
    momentum: float = 0.0
    looks: int = 20

    def __post_init__(self):
        for name in ("width", "iterations", "looks"):
            check_between(name, getattr(self, name), 1, 10**9)
        check_positive("learning_rate", self.learning_rate)
        check_momentum(self.momentum)

    @property
    def looked_at(self) -> set[int]:
        """The iterations after which the directions are looked at."""
        return log_spaced(self.iterations, self.looks)

    def run(self, network, X, Y):
        """Train a network in place; yield each iteration and its loss, the start's first.

        Raises
        ------
        ValueError
            If the loss is no longer finite.
        """
        optimizer = torch.optim.SGD(network.parameters(), self.learning_rate, self.momentum)
        for iteration in range(self.iterations + 1):
            value = mean_loss(network, X, Y)
            self._check_convergence(iteration, loss := value.item())
            yield iteration, loss
            if iteration < self.iterations:
                optimizer.zero_grad()
                value.backward()
                optimizer.step()

    def _check_convergence(self, iteration, loss) -> None:
        if not math.isfinite(loss):
            raise ValueError(
                f"gradient descent has diverged by iteration {iteration}; choose a learning_rate "
                f"smaller than {self.learning_rate:g}"
            )


def measure(features: dict, whitening, descent: GradientDescent, seeds, device="cpu"):
    """Train BN networks on X and on Z from the same starts, and compare their q with the start's.

    Parameters
    ----------
    features : dict of arrays
        X_train (n, d), whose dtype is the networks', and Y_train (n, C).
    whitening : Whitening
        Of X_train.
    descent : GradientDescent
    seeds : sequence of int
        Of the starts, the same for both models.
    device : str or torch.device
        Where data and networks lie throughout.

    Returns
    -------
    cosines : DataFrame
        Columns `COSINES`. Directions are counted from 1 and collected in log-spaced bins: the first
        of a bin, how many they are, the mean of their singular values, and the mean of their
        cosines. A cosine is that of a row of q (all neurons' coordinates along one direction)
        with the same row at the start.
    course : DataFrame
        Columns `COURSE`, a row per model, seed and iteration: the training loss, and that of the
        best constant prediction, below which a network has begun to tell samples apart; where
        the directions were looked at, Spearman's correlation of all singular values with all
        cosines; for "bn" at the start and at the end, :meth:`Coordinates.one_step_error`.

    Raises
    ------
    ValueError
        If data and whitening do not fit together, or hold NaN.
    """
    coordinates = Coordinates.of(features["X_train"], whitening, device)
    check_finite("Y_train", features["Y_train"])
    check_same_length("X_train", coordinates.X, "Y_train", features["Y_train"])
    dtype = torch.as_tensor(features["X_train"]).dtype
    data = [
        A.to(device, dtype)
        for A in (coordinates.X, coordinates.Z, torch.as_tensor(features["Y_train"]))
    ]
    total = len(seeds) * len(MODELS) * (descent.iterations + 1)
    runs = {}
    with progress(total=total, desc="gradient descent") as bar:
        for seed in seeds:
            runs |= _from_one_start(coordinates, data, descent, seed, bar)
    constant_loss = 0.5 * np.var(features["Y_train"], axis=0, dtype=np.float64).sum()
    cosines, course = (_stacked(runs, part) for part in range(2))
    return cosines[COSINES], course.assign(constant_loss=constant_loss)[COURSE]


def _from_one_start(coordinates, data, descent, seed, bar) -> dict:
    """Return the two tables of each (model, seed); `data` are X, Z, Y in the networks' dtype."""
    (X, Z, Y), sigma = data, coordinates.singular_values.cpu().numpy()
    generator = torch.Generator().manual_seed(seed)
    network = BNNetwork(X.shape[1], descent.width, Y.shape[1], len(X), generator).to(X)
    twin = coordinates.whitened(network)
    errors = {0: coordinates.one_step_error(network, Y)}
    cosines, course = _follow(network, X, Y, descent, coordinates.q, sigma, bar)
    errors[descent.iterations] = coordinates.one_step_error(network, Y)
    course["identity_error"] = course["iteration"].map(errors)
    whitened = _follow(twin, Z, Y, descent, _copy, sigma, bar)
    return {("bn", seed): (cosines, course), ("whitened", seed): whitened}


def _follow(network, X, Y, descent, q, sigma, bar) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train one network; `q` takes its first layer to the coordinates that are looked at."""
    start, cosines, course = q(network.w), [], []
    for iteration, loss in descent.run(network, X, Y):
        row = {"iteration": iteration, "loss": loss}
        if iteration in descent.looked_at:
            cosine = cosine_similarity(q(network.w), start, dim=1).cpu().numpy()  # (r,)
            row["spearman"] = spearmanr(sigma, cosine).statistic
            cosines.append(binned(sigma, cosine).assign(iteration=iteration))
        course.append(row)
        bar.step(f"iteration {iteration}, loss {loss:.4f}")
    return pd.concat(cosines), pd.DataFrame(course)


def _copy(q) -> torch.Tensor:
    return q.detach().to(torch.float64, copy=True)


def _stacked(runs: dict, part: int) -> pd.DataFrame:
    tables = {key: tables[part] for key, tables in runs.items()}
    stacked = pd.concat(tables, names=["model", "seed"])
    return stacked.reset_index(["model", "seed"]).reset_index(drop=True)


def binned(singular_values, cosine) -> pd.DataFrame:
    """Return the means of both arrays (r,) over at most `BINS` log-spaced bins of directions."""
    edges = np.geomspace(1, len(cosine) + 1, BINS + 1).round().astype(int)
    edges = np.unique(edges) - 1
    first, sizes = edges[:-1], np.diff(edges)
    values = {"singular_value": singular_values, "cosine": cosine}
    means = {name: np.add.reduceat(array, first) / sizes for name, array in values.items()}
    return pd.DataFrame({"direction": first + 1, "directions": sizes, **means})
