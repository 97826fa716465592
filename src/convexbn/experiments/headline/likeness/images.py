"""Test images: how like each is to a training image, and which methods have it right."""

import math

import numpy as np
import pandas as pd
import torch

from convexbn.evaluation import correct
from convexbn.experiments.headline.run import Run
from convexbn.inputs import ArrayLike, as_tensor
from convexbn.products import repeatable
from convexbn.training.sweeps import Sweep
from convexbn.training.trained import scores_by_seed

_TIES = 1e-3  # share of the images whose two largest scores rounding may exchange
BLOCK = 2048  # training images compared at a time
_ROUNDING = 1e-9  # relative, of numbers that were written and read again


def likeness(X: ArrayLike, others: ArrayLike, device: str | torch.device = "cpu") -> np.ndarray:
    """Return the largest correlation of each image with any of the others.

    The correlation of two images is Pearson's, of the one's features with the other's; that of an
    image whose features are all equal is taken as 0.

    Parameters
    ----------
    X, others : array or tensor, shapes (m, d) and (n, d), or (K, m, h) and (K, n, h) for patches
    device : str or torch.device

    Returns
    -------
    ndarray, shape (m,)
        Float64, in [-1, 1].
    """
    X, others = (as_tensor("X", given, None, device="cpu", copy=False) for given in (X, others))
    rows = _standardized(X.to(device))
    best = torch.full((len(rows),), -1.0, device=rows.device)
    with repeatable(rows.device):  # in TF32 an image would not be like itself
        for block in others.split(BLOCK, dim=-2):
            products = rows @ _standardized(block.to(device)).T
            best = torch.maximum(best, products.amax(dim=1))
    return best.double().clamp(-1, 1).cpu().numpy()


def _standardized(X: torch.Tensor) -> torch.Tensor:
    """Return images as rows of mean 0 and length 1, or 0 where the features are all equal.

    The patches (K, m, h) of an image are side by side.
    """
    X = (X if X.ndim == 2 else X.transpose(0, 1).flatten(1)).float()
    size = X.norm(dim=1, keepdim=True)
    rows = X - X.mean(dim=1, keepdim=True)
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > 1e-5 * size, rows / length, 0)  # more than their mean's rounding


def correct_of_solutions(run: Run, solutions: dict, beta: float) -> dict[int, np.ndarray]:
    """Return which test images the solutions of one beta have right, (m,) by seed."""
    (place,) = (b for b, tried in enumerate(run.settings.descending) if _is(tried, beta))
    found = {}
    for s, seed in enumerate(run.seeds):
        if (W := solutions.get(f"weights.{s}.{place}")) is not None:
            test = run.samples("test", s)
            found[seed] = correct(test.scores(torch.as_tensor(W, device=run.device)), test.labels)
    return found


def correct_of_networks(
    features: dict,
    sweep: Sweep,
    parameters: dict,
    beta: float,
    learning_rate: float,
    device: str | torch.device = "cpu",
) -> dict[int, np.ndarray]:
    """Return which test images the networks of one setting have right, (m,) by seed."""
    (rate,) = (tried for tried in sweep.learning_rates if _is(tried, learning_rate))
    (decay,) = (tried for tried in sweep.betas if _is(tried, beta))
    scores = scores_by_seed(features, sweep, parameters, decay, rate, device)
    return {seed: correct(values, features["labels_test"]) for seed, values in scores.items()}


def check(found: dict[int, np.ndarray], rows: pd.DataFrame) -> None:
    """Raise ValueError unless the test accuracies are those of a table, but for rounding.

    Parameters
    ----------
    found : dict
        By seed, which test images are right, (m,).
    rows : DataFrame
        Columns seed and test_accuracy.
    """
    known = rows.set_index("seed")["test_accuracy"].to_dict()
    if found.keys() != known.keys():
        raise ValueError(
            f"expected solutions or networks of the seeds {sorted(known)} that were evaluated, got "
            f"those of {sorted(found)}: they are of different runs; delete both and run again"
        )
    for seed, values in found.items():
        right, m = int(values.sum()), len(values)
        if abs(right - round(known[seed] * m)) > max(1, _TIES * m):
            raise ValueError(
                f"seed {seed}: expected the test accuracy {known[seed]:.4f} that was evaluated, "
                f"got {right} of {m} images: they are of different runs; delete both and run again"
            )


def _is(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=_ROUNDING)
