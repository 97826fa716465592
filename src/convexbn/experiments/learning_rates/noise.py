"""The noise of a minibatch's gradient: how far a step of SGD is from that of all samples.

    E ||eta g_B - eta g||^2 <= (eta^2 / |B|) C,

g_B the mean gradient of a minibatch B, drawn with replacement, and g that of all n samples. Without
BN, g_B is the mean of the gradients g_i of its samples, and the bound holds with equality:

    C = 1/n sum_i ||g_i - g||^2,     ||g_B - g||^2 = c^T K c,   K_ij = <g_i - g, g_j - g>,

where c counts how often B has each sample, over |B|. K is all that is needed, however many
minibatches are drawn. With BN a sample's gradient depends on the others of its minibatch; each is
computed, and the mean of g_B is not g.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from convexbn.experiments.learning_rates.networks import Case, of_each
from convexbn.training.checkpoints import Parts

NOISE = [
    *("depth", "normalization", "seed", "batch_size", "draws"),
    *("distance", "standard_error", "bound"),
]
PASSES = 20  # minibatches of each size that go through a network with BN


def measure(
    features: dict[str, np.ndarray],
    settings: dict,
    seed: int,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Draw minibatches of several sizes, and compare their gradients with that of all samples.

    Parameters
    ----------
    features : dict of ndarray
    settings : dict
        `depth`, `width`, `images` (n, taken from the training images), `batch_sizes` and `draws`,
        the number of minibatches of each size without BN; with BN at most `PASSES` are drawn.
    seed : int
    device : str or torch.device
    parts : Parts, optional

    Returns
    -------
    DataFrame
        Columns `NOISE`: the mean of `||g_B - g||^2` over the minibatches as `distance`, with its
        standard error; `bound` is C / |B|, NaN with BN.
    """
    table = of_each(_rows, [settings["depth"]], features, settings, seed, device, parts)
    return table[NOISE]


def _rows(case: Case, settings: dict, path: Path | None) -> list[dict]:
    ((X, labels),) = case.batches(settings["images"], 1)
    network, generator = case.network(), np.random.default_rng(case.seed)
    if case.normalization == "plain":
        return list(_sampled(gram(network, X, labels), settings, generator))
    return list(_computed(network, X, labels, settings, generator))


def _sampled(K: np.ndarray, settings: dict, generator: np.random.Generator):
    n = len(K)
    for size in settings["batch_sizes"]:
        shares = generator.multinomial(size, np.full(n, 1 / n), settings["draws"]) / size
        found = np.einsum("ri,ij,rj->r", shares, K, shares, optimize=True)
        yield _row(size, found) | {"bound": float(np.trace(K) / n / size)}


def _computed(
    network: nn.Module,
    X: Tensor,
    labels: Tensor,
    settings: dict,
    generator: np.random.Generator,
):
    whole = gradient(network, X, labels)
    for size in settings["batch_sizes"]:
        draws = range(min(PASSES, settings["draws"]))
        drawn = np.stack([generator.integers(len(X), size=size) for _ in draws])
        # To the device at once, and from it: each move waits for it.
        found = []
        for index in torch.as_tensor(drawn, device=X.device):
            difference = gradient(network, X[index], labels[index]) - whole
            found.append(difference.double().square().sum())
        yield _row(size, torch.stack(found).cpu().numpy()) | {"bound": np.nan}


def _row(size: int, distances: np.ndarray) -> dict:
    error = distances.std(ddof=1) / np.sqrt(len(distances))
    return {
        "batch_size": size,
        "draws": len(distances),
        "distance": float(distances.mean()),
        "standard_error": float(error),
    }


def gradient(network: nn.Module, X: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient (p,) of the mean loss of some samples in all parameters."""
    loss = cross_entropy(network(X), labels)
    parts = torch.autograd.grad(loss, list(network.parameters()))
    return torch.cat([part.reshape(-1) for part in parts])


def gram(network: nn.Module, X: Tensor, labels: Tensor) -> np.ndarray:
    """Return K (n, n), the products of the samples' gradients less their mean, in float64.

    Parameters
    ----------
    network : Module
        Without BN: the gradient of a sample does not depend on the others.
    X : Tensor, shape (n, c, H, W)
    labels : Tensor, shape (n,)
    """
    rows = zip(X.split(1), labels.split(1), strict=True)
    G = torch.stack([gradient(network, *row) for row in rows])  # (n, p)
    G -= G.mean(dim=0)
    return (G @ G.T).double().cpu().numpy()
