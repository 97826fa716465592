"""Statistics of batch normalization over a whole training set ("precise BN")."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import batch_norm

from convexbn.inputs import check_between
from convexbn.networks.normalization import in_mode
from convexbn.products import repeatable
from convexbn.training.samples import ROWS, Samples


@torch.no_grad()
def precise_statistics(network: nn.Module, samples: Samples, batch_size: int = ROWS) -> None:
    """Set the running statistics of all normalizations to those of the samples ("precise BN").

    Running averages are noise where batches are small. Here every normalization that has a
    `running_mean` and a `running_var` normalizes large batches by their own statistics, whatever it
    does in training, and its mean and biased variance over all of them together are set, joined in
    float64 (Chan, Golub and LeVeque 1983).

    Parameters
    ----------
    network : Module
    samples : Samples
        The training samples.
    batch_size : int
        Samples in a batch, at most, or 3: all batches have the same size, up to one sample.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or one in a batch.
    """
    check_between("batch_size", batch_size, 2, 10**9)
    check_between("the number of samples", len(samples), 2, 10**12)
    count = min(math.ceil(len(samples) / batch_size), len(samples) // 2)
    batches = samples.X.tensor_split(count)
    exact = repeatable(samples.X.device)
    with _by_batch(network) as sums, in_mode(network, training=False), exact:
        for X in batches:
            network(X)
    for module, (rows, mean, squares) in sums.items():
        module.running_mean.copy_(mean)
        module.running_var.copy_(squares / rows)


@contextmanager
def _by_batch(network: nn.Module) -> Iterator[dict[Any, list]]:
    """Let normalizations use each batch's own statistics; give rows, mean and squares of each."""
    sums: dict[Any, list] = {}

    def hook(module: Any, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        X = inputs[0].double().movedim(1, -1).flatten(0, -2)  # (rows, channels)
        squares, mean = torch.var_mean(X, 0, correction=0)
        sums[module] = _joined(sums.get(module, [0, 0, 0]), [len(X), mean, len(X) * squares])
        return batch_norm(
            inputs[0], None, None, module.weight, module.bias, training=True, eps=module.eps
        )

    modules = [module for module in network.modules() if _has_statistics(module)]
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def _joined(first: list, second: list) -> list:
    """Return the number of rows, mean and sum of squared distances from it of both together."""
    (a, mean, squares), (b, other, more) = first, second
    change = other - mean
    return [a + b, mean + change * (b / (a + b)), squares + more + change**2 * (a * b / (a + b))]


def _has_statistics(module: nn.Module) -> bool:
    names = "running_mean", "running_var"
    return all(torch.is_tensor(getattr(module, name, None)) for name in names)
