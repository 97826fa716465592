"""The bias of gradient descent: a BN network first turns along the data's large singular values.

A BN network on the data X and its twin on whitened data Z start as the same function, and take
steps of the same size. Only the first layers' coordinates q move differently, by `(sigma / c)^2`
along a direction of singular value sigma (:mod:`convexbn.experiments.bias.coordinates`). The tables
say how far each direction has turned away from the start.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch.nn.functional import cosine_similarity

from convexbn.experiments.bias.coordinates import Coordinates, mean_loss
from convexbn.inputs import check_between, check_finite, check_same_length
from convexbn.networks.two_layer import BNNetwork
from convexbn.progress import progress
from convexbn.training.checkpoints import Parts, fingerprint
from convexbn.training.descent import Descent
from convexbn.training.series import run_each
from convexbn.whitening import Whitening

MODELS = ("bn", "whitened")
BINS = 48  # rows for the directions of one evaluation, at most: they keep the table small
COSINES = [
    *("model", "seed", "iteration", "direction", "directions"),
    *("singular_value", "cosine"),
]
HISTORY = ["model", "seed", "iteration", "loss", "constant_loss", "spearman", "identity_error"]


def descent_of(entry: dict) -> Descent:
    """Return the descent of an entry of `bias` in the config."""
    return Descent(
        iterations=entry["iterations"],
        learning_rate=entry["learning_rate"],
        optimizer="momentum",
        momentum=entry.get("momentum", 0.0),
        schedule="constant",
        evaluations=entry.get("evaluations", 20),
    )


def measure(
    features: dict,
    whitening: Whitening,
    descent: Descent,
    width: int,
    seeds: Sequence[int],
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train BN networks on X and on Z from the same starts, and compare their q with the start.

    The loss is half the mean squared error, without weight decay.

    Parameters
    ----------
    features : dict of arrays
        X_train (n, d), whose dtype is the networks', and Y_train (n, C).
    whitening : Whitening
        The whitening of X_train.
    descent : Descent
    width : int
        Number of neurons.
    seeds : sequence of int
        Seeds of the starts, the same for both models.
    device : str or torch.device
        The device that holds data and networks throughout.
    parts : Parts, optional
        Where trainings are kept that are finished.

    Returns
    -------
    cosines : DataFrame
        Columns `COSINES`, at the evaluated iterations but the start. Directions are counted from 1
        and collected in log-spaced bins: the first direction of a bin, the number of its
        directions, the mean of their singular values, and the mean of their cosines. The cosine of
        a direction compares its row of q (the coordinates of all neurons along it) with the same
        row at the start.
    history : DataFrame
        Columns `HISTORY`, one row per model, seed and iteration: the training loss, and the loss of
        the best constant prediction, below which a network has begun to tell samples apart; at the
        evaluated iterations, Spearman's correlation of all singular values with all cosines; for
        "bn" at the start and at the end, :meth:`Coordinates.one_step_error`.

    Raises
    ------
    ValueError
        If data and whitening do not fit together or hold NaN, or if a training diverges.
    """
    check_between("width", width, 1, 10**9)
    coordinates = Coordinates.of(features["X_train"], whitening, device)
    check_finite("Y_train", features["Y_train"])
    check_same_length("X_train", coordinates.X, "Y_train", features["Y_train"])
    dtype = torch.as_tensor(features["X_train"]).dtype
    data = [
        A.to(device, dtype)
        for A in (coordinates.X, coordinates.Z, torch.as_tensor(features["Y_train"]))
    ]
    with progress(len(seeds) * len(MODELS) * (descent.iterations + 1), "gradient descent") as bar:
        trainings = {
            f"{model}, seed {seed}": partial(
                _trained, coordinates, data, descent, width, model, seed, bar
            )
            for seed in seeds
            for model in MODELS
        }
        settings, tensors = f"{descent} {width} {device}", features | whitening.tensors()
        work = fingerprint(settings, tensors, __file__) if parts else ""
        found = run_each(trainings, work, parts).values()
    cosines, history = (pd.concat([pd.DataFrame(t[k]) for t in found]) for k in range(2))
    constant_loss = 0.5 * np.var(features["Y_train"], axis=0, dtype=np.float64).sum()
    history = history.assign(constant_loss=constant_loss)
    return cosines[COSINES].reset_index(drop=True), history[HISTORY].reset_index(drop=True)


def _trained(
    coordinates: Coordinates,
    data: Sequence[torch.Tensor],
    descent: Descent,
    width: int,
    model: str,
    seed: int,
    bar: progress,
    _: Path | None,
) -> list[dict[str, list]]:
    """Return the columns of both tables of one training; `data` are X, Z, Y in its dtype."""
    (X, Z, Y), sigma = data, coordinates.singular_values.cpu().numpy()
    generator = torch.Generator().manual_seed(seed)
    network = BNNetwork(X.shape[1], width, Y.shape[1], len(X), generator).to(X)
    if model == "whitened":
        twin = coordinates.whitened(network)
        cosines, history = _follow(twin, Z, Y, descent, _copy, sigma, bar)
        errors = {}
    else:
        errors = {0: coordinates.one_step_error(network, Y)}
        cosines, history = _follow(network, X, Y, descent, coordinates.q, sigma, bar)
        errors[descent.iterations] = coordinates.one_step_error(network, Y)
    history["identity_error"] = history["iteration"].map(errors).astype(float)
    tables = (table.assign(model=model, seed=seed) for table in (cosines, history))
    return [table.to_dict("list") for table in tables]


def _follow(
    network: BNNetwork,
    X: torch.Tensor,
    Y: torch.Tensor,
    descent: Descent,
    q: Callable[[torch.Tensor], torch.Tensor],
    sigma: np.ndarray,
    bar: progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train one network; `q` takes its first layer to the coordinates that are compared."""
    start, cosines, spearman, losses = q(network.w), [], {}, []
    unread: list[torch.Tensor] = []  # to wait for a device at the evaluated iterations alone
    evaluated = descent.evaluated - {0}  # at the start all cosines are 1
    for iteration, value in descent.run(network, partial(mean_loss, X=X, Y=Y)):
        unread.append(value)
        if iteration in evaluated:
            losses += torch.stack(unread).tolist()
            unread = []
            _check_convergence(descent, losses)
            cosine = cosine_similarity(q(network.w), start, dim=1).cpu().numpy()  # (r,)
            spearman[iteration] = spearmanr(sigma, cosine).statistic
            cosines.append(binned(sigma, cosine).assign(iteration=iteration))
        bar.step(f"iteration {iteration}, loss {losses[-1]:.4f}" if losses else "")
    history = pd.DataFrame({"iteration": range(len(losses)), "loss": losses})
    return pd.concat(cosines), history.assign(spearman=history["iteration"].map(spearman))


def _check_convergence(descent: Descent, losses: list[float]) -> None:
    for iteration, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise ValueError(
                f"gradient descent has diverged by iteration {iteration}; choose a learning_rate "
                f"smaller than {descent.learning_rate:g}"
            )


def _copy(q: torch.Tensor) -> torch.Tensor:
    return q.detach().to(torch.float64, copy=True)


def binned(singular_values: np.ndarray, cosine: np.ndarray) -> pd.DataFrame:
    """Return the means of both arrays (r,) over at most `BINS` log-spaced bins of directions."""
    edges = np.geomspace(1, len(cosine) + 1, BINS + 1).round().astype(int)
    edges = np.unique(edges) - 1
    first, sizes = edges[:-1], np.diff(edges)
    values = {"singular_value": singular_values, "cosine": cosine}
    means = {name: np.add.reduceat(array, first) / sizes for name, array in values.items()}
    return pd.DataFrame({"direction": first + 1, "directions": sizes, **means})
