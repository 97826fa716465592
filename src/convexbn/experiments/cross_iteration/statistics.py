"""Statistics that cross-iteration BN estimates, and what they are of.

Old statistics: a network trains with BN; after a step, the statistics of the batch of tau steps ago
as they were, and compensated, are compared with those that its layers have for that batch now. The
window: a network trains with cross-iteration BN, over one iteration more than the longest window;
the statistics of its last k iterations together are compared with those of a large batch. Layers
below have changed, too: only a layer's own weights are compensated for.

Errors are norms over the channels of a layer, relative to the true standard deviations for means
and standard deviations, and relative to the true value for means of squares.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convexbn.experiments.cross_iteration.networks import network_of, optimizer_of
from convexbn.experiments.cross_iteration.settings import (
    DEVIATION,
    KINDS,
    MEAN,
    SQUARE,
    Settings,
)
from convexbn.inputs import check_between
from convexbn.networks.batch_statistics import Statistics, batch_statistics, pool
from convexbn.networks.cross_iteration import CrossIteration, cross_iteration
from convexbn.networks.normalization import in_mode
from convexbn.training.samples import Samples


def old_statistics(samples: Samples, settings: Settings, seed: int) -> Iterator[dict]:
    """Yield the errors of old statistics while a network trains with BN.

    Parameters
    ----------
    samples : Samples
        Training images.
    settings : Settings
    seed : int
        Of weights and batches.

    Yields
    ------
    dict
        step, layer (from 1), x (the age), statistic, method, error.
    """
    s = settings.statistics
    assert s is not None
    # The burn-in is the whole training: BN, whose statistics are remembered.
    factory = cross_iteration(max(s.ages) + 2, burn_in=s.iterations)
    network = network_of(factory, samples, settings, seed)
    layers, recent = _layers(network), deque[torch.Tensor](maxlen=max(s.ages) + 1)
    points = _points(s.iterations, s.points, max(s.ages) + 1)
    for step, X in _train(network, samples, settings, seed):
        recent.append(X)
        if step not in points:
            continue
        for age in s.ages:
            now = statistics_of(network, recent[-1 - age])
            for layer, (module, truth) in enumerate(zip(layers, now, strict=True), start=1):
                for compensated, method in KINDS.items():
                    old = module.past_statistics(1 + age, compensated)
                    for statistic, error in _errors_of_moments(old, truth).items():
                        yield _row(step, layer, age, statistic, method, error)


def windows(samples: Samples, settings: Settings, seed: int) -> Iterator[dict]:
    """Yield the errors of statistics over a window while a network trains with cross-iteration BN.

    Parameters and rows are those of :func:`old_statistics`; x is the window.
    """
    s = settings.statistics
    assert s is not None
    burn_in = round(settings.burn_in * s.iterations)
    factory = cross_iteration(max(s.windows) + 1, burn_in)
    network = network_of(factory, samples, settings, seed)
    check_between("images", s.images, 2, len(samples))
    layers, large = _layers(network), samples.X[: s.images]
    points = _points(s.iterations, s.points, burn_in + max(s.windows))
    for step, _ in _train(network, samples, settings, seed):
        if step not in points:
            continue
        now = statistics_of(network, large)
        for layer, (module, truth) in enumerate(zip(layers, now, strict=True), start=1):
            for compensated, method in KINDS.items():
                for window in s.windows:
                    found = _over(module, window, compensated)
                    for statistic, error in _errors_of_spread(found, truth).items():
                        yield _row(step, layer, window, statistic, method, error)


@torch.no_grad()
def statistics_of(network: nn.Module, X: torch.Tensor) -> list[Statistics]:
    """Return what each normalization gets from a batch, all of them normalizing by the batch.

    Parameters
    ----------
    network : Module
        With normalizations of :class:`convexbn.networks.cross_iteration.CrossIteration`, which
        remember nothing of it.
    X : Tensor, shape (n, c, H, W)
    """
    found: list[Statistics] = []

    def keep(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        found.append(batch_statistics(inputs[0], module.num_features))

    handles = [module.register_forward_pre_hook(keep) for module in _layers(network)]
    try:
        with in_mode(network, training=True):
            network(X)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _train(
    network: nn.Module, samples: Samples, settings: Settings, seed: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Train; yield the number of each step, from 1, and its batch, before the weights change."""
    s = settings.statistics
    assert s is not None
    check_between("batch_size", s.batch_size, 2, len(samples))
    optimizer = optimizer_of(network.train(), settings, s.batch_size)
    generator = torch.Generator("cpu").manual_seed(seed)
    drawn = [
        torch.randperm(len(samples), generator=generator)[: s.batch_size].clone()
        for _ in range(s.iterations)
    ]
    # To the device at once: each move waits for it.
    for step, index in enumerate(torch.stack(drawn).to(samples.X.device), start=1):
        X = samples.X[index]
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(network(X), samples.labels[index]).backward()
        yield step, X
        optimizer.step()


def _layers(network: nn.Module) -> list[CrossIteration]:
    """Return the normalizations in the order of the forward pass."""
    return [module for module in network.modules() if isinstance(module, CrossIteration)]


def _points(iterations: int, count: int, first: int) -> set[int]:
    """Return the steps at which statistics are measured.

    Raises
    ------
    ValueError
        If the first one at which there are enough iterations comes after the last step.
    """
    if first > iterations:
        raise ValueError(
            f"statistics can be measured from step {first} on, when the burn-in is over and enough "
            f"iterations are remembered, got {iterations} steps; train for more, or ask for less"
        )
    return set(np.linspace(first, iterations, count).round().astype(int).tolist())


def _over(module: CrossIteration, window: int, compensated: bool) -> Statistics:
    """Return the statistics over the last iterations, the one that has just been made included."""
    current, *past = (module.past_statistics(1 + age, compensated) for age in range(window))
    if not past:
        return current
    means, variances = zip(*past, strict=True)
    return pool(current, Statistics(torch.stack(means), torch.stack(variances)))


def _errors_of_moments(found: Statistics, truth: Statistics) -> dict[str, float]:
    nu, true_nu = (s.variance + s.mean.square() for s in (found, truth))
    return {
        MEAN: float((found.mean - truth.mean).norm() / truth.variance.sum().sqrt()),
        SQUARE: float((nu - true_nu).norm() / true_nu.norm()),
    }


def _errors_of_spread(found: Statistics, truth: Statistics) -> dict[str, float]:
    scale = truth.variance.sum().sqrt()
    deviations = found.variance.sqrt() - truth.variance.sqrt()
    return {
        MEAN: float((found.mean - truth.mean).norm() / scale),
        DEVIATION: float(deviations.norm() / scale),
    }


def _row(step: int, layer: int, x: int, statistic: str, method: str, error: float) -> dict:
    return {
        **{"step": step, "layer": layer, "x": x},
        **{"statistic": statistic, "method": method, "error": error},
    }
