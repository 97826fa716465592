"""The bias of gradient descent: a BN network first turns along the data's large singular values.

The centred data are `U_r diag(sigma) V^T`, and BN removes constants. So the BN-ReLU network with
first-layer weights w (d, m) on X is one function with that of

    q = diag(sigma / c) V^T w   (r, m)   on   Z = c U_r   (n, r),   any c > 0.

Their gradients are related by `grad_w = V diag(sigma / c) grad_q`. A step of gradient descent on w
moves q, and a step of the same size on q moves it, by

    dq = -eta diag(sigma / c)^2 grad_q   against   dq = -eta grad_q,

and all other parameters alike. On w, the directions of large singular values are learned first;
the whitened data Z have no such order. Momentum changes nothing in this: descent on w is always
descent on q whose first-layer gradients are multiplied by `(sigma / c)^2`.

Here c is the root mean square of sigma, so that Z has the energy of X, and the factor
`(sigma / c)^2` is one on average over the directions. One learning rate is then fair to both
models, in every layer: they only spread the same total over the directions differently.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn.functional import cosine_similarity

from convexbn.inputs import (
    check_between,
    check_finite,
    check_momentum,
    check_positive,
    check_same_length,
)
from convexbn.networks.two_layer import BNNetwork
from convexbn.programs.losses import LOSSES
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


def mean_loss(network, X, Y) -> torch.Tensor:
    """Return half the mean squared error per sample."""
    return LOSSES["squared"].value(network(X), Y) / len(X)


@dataclass(frozen=True)
class Coordinates:
    """The data twice, in float64, and how the first layers on them are related.

    Attributes
    ----------
    X : Tensor, shape (n, d)
        As they are, not centred: BN does that.
    Z : Tensor, shape (n, r)
        Whitened, `scale U_r`.
    V : Tensor, shape (d, r)
    singular_values : Tensor, shape (r,)
    scale : float
        c of the module's formulas.
    """

    X: torch.Tensor
    Z: torch.Tensor
    V: torch.Tensor
    singular_values: torch.Tensor
    scale: float

    @classmethod
    def of(cls, X, whitening, device="cpu", scale=None) -> "Coordinates":
        """Put data and their :class:`convexbn.whitening.Whitening` on a device.

        `scale` is the root mean square of the singular values by default.

        Raises
        ------
        ValueError
            If X is no matrix of finite numbers, the whitening is not that of X, or it has a single
            direction.
        """
        X, sigma = torch.as_tensor(X), whitening.singular_values
        _check_data(X, whitening)
        scale = float(np.sqrt(np.mean(sigma**2))) if scale is None else scale
        Z = scale * whitening.U[:, :-1]  # without the constant column
        tensors = (torch.as_tensor(A).to(device, torch.float64) for A in (X, Z, whitening.V, sigma))
        return cls(*tensors, scale)

    @property
    def stretch(self) -> torch.Tensor:
        """What tells the directions apart, `sigma / c`, shape (r, 1)."""
        return (self.singular_values / self.scale).unsqueeze(1)

    def q(self, w) -> torch.Tensor:
        """Return the coordinates q (r, m) of first-layer weights w (d, m), in float64."""
        return self.stretch * (self.V.T @ w.detach().double())

    def whitened(self, network) -> BNNetwork:
        """Return the network on Z that is the same function as `network` on X."""
        twin = copy.deepcopy(network)
        twin.w = nn.Parameter(self.q(network.w).to(network.w.dtype))
        return twin

    def one_step_error(self, network, Y) -> float:
        """Return how far a step on w is from moving q by `stretch^2` times a step on q.

        Of float64 steps, the largest over the directions of the norm of the difference relative
        to that of the move. The step size cancels. First w loses what the whitening leaves out:
        images that were normalized in float32 have directions in which there is rounding alone.
        """
        network, Y = copy.deepcopy(network).double(), Y.double()
        network.w.data = self.V @ (self.V.T @ network.w.data)
        twin = self.whitened(network)
        (on_w,) = torch.autograd.grad(mean_loss(network, self.X, Y), network.w)
        (on_q,) = torch.autograd.grad(mean_loss(twin, self.Z, Y), twin.w)
        moved, expected = self.q(on_w), self.stretch**2 * on_q  # (r, m)
        return float(((moved - expected).norm(dim=1) / expected.norm(dim=1)).max())


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


def _check_data(X, whitening) -> None:
    shape = len(whitening.U), len(whitening.mean)
    if X.shape != shape:
        raise ValueError(
            f"expected the matrix X of shape {shape} that the whitening was made from, got shape "
            f"{tuple(X.shape)}; whiten X itself, and leave out data sets of patches"
        )
    check_finite("X", X)
    if whitening.rank < 2:
        raise ValueError(
            f"expected data of at least two singular directions to compare, got {whitening.rank}; "
            "give more features or samples"
        )
