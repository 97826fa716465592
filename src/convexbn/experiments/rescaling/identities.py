"""The biases of SGD that are identities, along a training in float64 without momentum.

Without weight decay, for every filter w that batch normalization follows and its gradient g,

    ||w_{t+1}||^2 = ||w_t||^2 + eta^2 ||g_t||^2,

and for the part v of the first layer's weights that is orthogonal to the training inputs, with
weight decay lambda or without,

    v_t = (1 - eta lambda)^t v_0.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convexbn.experiments.rescaling.networks import NO_EPS, dense
from convexbn.experiments.rescaling.optimizers import filters_of, squared_norms
from convexbn.experiments.rescaling.settings import Identities
from convexbn.experiments.rescaling.span import basis_of, beside
from convexbn.training.schedules import log_spaced

RECORDED = 12  # steps of a training that have rows, about
FALL = 1e-12  # of a squared norm, relative: what is below it is rounding


def trajectory(
    X: torch.Tensor,
    labels: torch.Tensor,
    settings: Identities,
    rate: float,
    decay: float,
    seed: int,
) -> Iterator[dict]:
    """Train a network; yield the deviations from the identities so far, at some steps.

    Parameters
    ----------
    X : Tensor of float64, shape (n, d)
    labels : Tensor, shape (n,)
    settings : Identities
    rate, decay : float
        Learning rate, and weight decay of the filters.
    seed : int
        Of the weights and of the order of the samples.

    Yields
    ------
    dict
        The columns of :data:`convexbn.experiments.rescaling.measure.IDENTITIES` that vary within a
        training, one row per layer.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    C = int(labels.max()) + 1
    network = dense(X.shape[1], settings.widths, C, generator, eps=NO_EPS).double()
    filters = filters_of(network)
    rest = [p for p in network.parameters() if not any(p is w for w in filters)]
    groups: list[dict[str, Any]] = [{"params": filters, "weight_decay": decay}, {"params": rest}]
    optimizer = torch.optim.SGD(groups, lr=rate)
    followed = [_Filters(weight) for weight in filters]
    part = _Beside(filters[0], basis_of(X))
    steps = round(settings.time / rate)
    kept = log_spaced(steps, RECORDED)
    yield from _rows(0, followed, part)
    for step, index in enumerate(_batches(len(X), settings.batch_size, steps, generator), 1):
        optimizer.zero_grad()
        cross_entropy(network(X[index]), labels[index]).backward()
        for layer in followed:
            layer.before_step()
        optimizer.step()
        for layer in followed:
            layer.after_step(rate)
        part.after_step(1 - rate * decay)
        if step in kept:
            yield from _rows(step, followed, part)


def _batches(
    n: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Yield indices of batches, epoch after epoch, without incomplete batches."""
    done = 0
    while True:
        for index in torch.randperm(n, generator=generator).split(batch_size):
            if done == steps:
                return
            if len(index) == batch_size:
                done += 1
                yield index


def _rows(step: int, followed: "list[_Filters]", part: "_Beside") -> Iterator[dict]:
    for number, layer in enumerate(followed, 1):
        row = {"layer": number, "step": step} | layer.row()
        yield row | (part.row() if number == 1 else dict.fromkeys(part.row(), math.nan))


class _Filters:
    """The filters of one layer, and by how much they have deviated from the identity."""

    def __init__(self, weight: nn.Parameter | torch.Tensor) -> None:
        self.weight, self.before = weight, weight.detach().clone()
        self.start = float(squared_norms(weight).sum())
        self.added = self.error = 0.0
        self.falls = 0

    def before_step(self) -> None:
        self.before.copy_(self.weight.detach())

    def after_step(self, rate: float) -> None:
        assert self.weight.grad is not None
        after = self.weight.detach()
        # ||a||^2 - ||b||^2 = <a - b, a + b>, without the rounding of the two squares.
        growth = ((after - self.before) * (after + self.before)).sum(dim=1)
        expected = rate**2 * squared_norms(self.weight.grad)
        deviation = abs(float(growth.sum() / expected.sum()) - 1)
        self.error, self.added = max(self.error, deviation), self.added + float(expected.sum())
        self.falls += int((growth < -FALL * squared_norms(self.before)).sum())

    def row(self) -> dict:
        norm = float(squared_norms(self.weight).sum())
        return {
            "growth": norm / self.start - 1,
            "predicted_growth": self.added / self.start,
            "growth_error": self.error,
            "falls": self.falls,
        }


class _Beside:
    """The part of a weight that is orthogonal to a basis, and its deviation from the identity."""

    def __init__(self, weight: torch.Tensor, basis: torch.Tensor) -> None:
        self.weight, self.basis = weight, basis
        self.expected, self.error = beside(weight, basis), 0.0
        self.start = float(self.expected.norm())

    def after_step(self, factor: float) -> None:
        self.expected = factor * self.expected
        deviation = (beside(self.weight, self.basis) - self.expected).norm()
        self.error = max(self.error, float(deviation) / self.start)

    def row(self) -> dict:
        return {
            "beside": float(beside(self.weight, self.basis).norm()) / self.start,
            "predicted_beside": float(self.expected.norm()) / self.start,
            "beside_error": self.error,
        }
