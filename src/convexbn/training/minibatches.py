"""Training of any torch network on minibatches of data that stay in memory.

    theta <- theta - eta_t step(g_t),   g_t = 1/|B| sum_{i in B} grad loss(f(x_i), y_i),

where the caller's torch optimizer takes the step, with all hooks that it has. An epoch is a new
random order of the samples, without those after its last full batch: the statistics of a small
remainder would be noise. The two-layer networks of the headline have a faster engine of their own
(:mod:`convexbn.training.engine`); this one is for deep networks and for optimizers with hooks.
"""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convexbn.imports import digest
from convexbn.inputs import check_between, check_choice
from convexbn.networks.normalization import in_mode
from convexbn.products import repeatable
from convexbn.progress import progress
from convexbn.training.augmentation import Augmentation
from convexbn.training.checkpoints import Checkpoint, fingerprint
from convexbn.training.samples import Samples
from convexbn.training.schedules import SCHEDULES, log_spaced

DIVERGED = 1e3  # times the loss at the start (Bjorck et al. 2018)
UNREAD = 64  # losses of steps that a CUDA device may hold unread: reading waits for it
_NUMBERS = "epoch", "seconds", "mean", "limit", "diverged", "history"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Settings of a training, beside the optimizer and its learning rates.

    Attributes
    ----------
    epochs, batch_size : int
    seed : int
        Of the order of the samples and of their augmentation.
    schedule : str
        A key of :data:`convexbn.training.schedules.SCHEDULES`, the factor on the learning rates of
        all groups of the optimizer.
    flip, shift : bool, int
        See :class:`convexbn.training.augmentation.Augmentation`.
    evaluations : int
        Approximate number of epochs that are evaluated, log-spaced, beside the start and the end,
        which always are.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """

    epochs: int
    batch_size: int
    seed: int
    schedule: str = "constant"
    flip: bool = False
    shift: int = 0
    evaluations: int = 0

    @classmethod
    def of(cls, entry: Mapping[str, Any], seed: int) -> "Settings":
        """Return the settings among those of an entry of the config, with this seed."""
        given = {name: entry[name] for name in cls.__dataclass_fields__.keys() & entry.keys()}
        return cls(**given | {"seed": seed})

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("evaluations", 0)):
            check_between(name, getattr(self, name), least, 10**9)
        check_between("seed", self.seed, 0, 2**32 - 1)
        check_between("shift", self.shift, 0, 10**9)
        check_choice("schedule", self.schedule, SCHEDULES)

    @property
    def evaluated(self) -> set[int]:
        """The epochs after which the network is evaluated; 0 is the start."""
        return {0, self.epochs} | log_spaced(self.epochs, self.evaluations)


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Measure = Callable[[nn.Module], dict[str, Any]]


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
    settings: Settings,
    *,
    loss: Loss = cross_entropy,
    measure: Measure | None = None,
    checkpoint: str | Path | None = None,
) -> list[dict]:
    """Train a network in place; return the history of its training.

    Parameters
    ----------
    network : Module
        On the device of the samples.
    optimizer : torch.optim.Optimizer
        Over the network's parameters. Its learning rates are those of the start.
    samples : Samples
    settings : Settings
    loss : callable
        From scores (b, C) and labels (b,) to the mean loss of a batch.
    measure : callable, optional
        From the network, in evaluation mode, to more columns of a row of the history.
    checkpoint : str or Path, optional
        A file for the state after an epoch: parameters and buffers, optimizer, random numbers,
        history. It is written about every half minute, and at the end; the caller removes it once
        the results are kept. If it exists and is of this training, the training goes on from
        there, to the same numbers as without the interruption; a file of another one, as far as
        data, settings, network, optimizer and code tell, is overwritten. All that the optimizer's
        hooks remember must be in its `state_dict`.

    Returns
    -------
    list of dict
        A row for the start and for each evaluated epoch: `epoch`; `train_loss`, the mean over the
        steps of that epoch (NaN at the start); `diverged`; `seconds` of training so far; and what
        `measure` returns. A training ends with the epoch in which the loss of a batch is not
        finite or above :data:`DIVERGED` times that of the first: the last row says so, and has the
        measures of the network as it was left.

    Raises
    ------
    ValueError
        If a batch is larger than the number of samples, or a batch of one is to be normalized by
        itself, vectors are to be augmented, a shift moves the whole image out of view, or the file
        is not a checkpoint.

    Notes
    -----
    What a network draws in training, as dropout does, comes from the seed and the epoch. On a CUDA
    device a network that diverges may be left up to `UNREAD` steps later.
    """
    is_flat = any(isinstance(module, nn.BatchNorm1d) for module in network.modules())
    check_between("batch_size", settings.batch_size, 2 if is_flat else 1, len(samples))
    run = _Training(network, optimizer, samples, settings, loss, measure)
    store = Checkpoint(checkpoint, run.work() if checkpoint else "")
    if state := store.load():
        run.restore(state)
    else:
        run.evaluate(math.nan)
    with (
        repeatable(samples.X.device),
        progress(settings.epochs, "training, epochs") as bar,
    ):
        bar.step(steps=run.epoch)
        while run.epoch < settings.epochs and not run.diverged:
            run.take_epoch()
            store.save(run.state)
            bar.step(f"loss {run.mean:.3g}")
    store.save(run.state, last=True)
    return run.history


class _Training:
    """A training between two epochs."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        samples: Samples,
        settings: Settings,
        loss: Loss,
        measure: Measure | None,
    ) -> None:
        self.network, self.optimizer, self.samples = network, optimizer, samples
        self.settings, self.loss, self.measure = settings, loss, measure
        self.generator = torch.Generator("cpu").manual_seed(settings.seed)
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.augmentation = _augmentation(samples, settings)
        self.history: list[dict] = []
        self.epoch, self.seconds, self.mean = 0, 0.0, math.nan
        self.limit = math.inf  # of the loss, above which the training has diverged
        self.diverged = False

    def work(self) -> str:
        """Return the fingerprint of this training: settings, start, data and code."""
        code = _code_of([*self.network.modules(), self.loss, self.measure])
        where = f"{torch.get_num_threads()} {self.samples.X.device}"
        settings = f"{self.settings} {self.network} {self.optimizer} {where}"
        tensors = {"X": self.samples.X, "labels": self.samples.labels, **self.network.state_dict()}
        arrays = {name: values.reshape(-1) for name, values in tensors.items()}  # scalars, too
        return fingerprint(f"{settings} {code}", arrays, __file__)

    def state(self) -> dict:
        """Return all that :meth:`restore` needs to go on from here."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def restore(self, state: dict) -> None:
        """Go back to a state that :meth:`state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        for name in _NUMBERS:
            setattr(self, name, state[name])

    def take_epoch(self) -> None:
        """Take the steps of one epoch, and evaluate the network where it is due."""
        start = time.perf_counter()
        with in_mode(self.network, training=True), self._drawing():
            losses = self._steps()
        self.seconds += time.perf_counter() - start
        self.epoch += 1
        self.mean = sum(losses) / len(losses)
        if self.diverged or self.epoch in self.settings.evaluated:
            self.evaluate(self.mean)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Give PyTorch's own generators the seed of this epoch, and then their state back."""
        X = self.samples.X
        with torch.random.fork_rng([X.device] if X.is_cuda else []):
            torch.manual_seed(self.settings.seed + 2**32 * self.epoch)
            yield

    def _steps(self) -> list[float]:
        """Take steps until the epoch ends or the loss diverges; return the losses."""
        b, unread, losses = self.settings.batch_size, list[torch.Tensor](), list[float]()
        order = torch.randperm(len(self.samples), generator=self.generator, device="cpu")
        batches = order[: len(order) // b * b].view(-1, b)
        # All that the epoch takes to the device at once: each such copy waits for it.
        ways, batches = self._ways(batches), batches.to(self.samples.X.device)
        for step, index in enumerate(batches):
            done = (self.epoch + step / len(batches)) / self.settings.epochs
            self._set_rates(SCHEDULES[self.settings.schedule](done))
            self.optimizer.zero_grad(set_to_none=True)
            X = self._batch(index, None if ways is None else ways[step])
            value = self.loss(self.network(X), self.samples.labels[index])
            value.backward()
            self.optimizer.step()
            unread.append(value.detach())
            if len(unread) == (UNREAD if index.is_cuda else 1) or step == len(batches) - 1:
                self._take_in(torch.stack(unread).flatten().tolist(), losses)
                unread = []
            if self.diverged:
                break
        return losses

    def _take_in(self, found: list[float], losses: list[float]) -> None:
        """Add the losses of some steps to those of the epoch, up to one that has diverged."""
        for loss in found:
            losses.append(loss)
            if math.isinf(self.limit) and losses[0] > 0:
                self.limit = DIVERGED * losses[0]
            if not (math.isfinite(loss) and loss <= self.limit):
                self.diverged = True
                _logger.warning("diverged in epoch %d: loss %g", self.epoch + 1, loss)
                break

    def _ways(self, batches: torch.Tensor) -> torch.Tensor | None:
        """Return how each image of an epoch is augmented, in the shape of the batches, if it is."""
        if self.augmentation is None:
            return None
        ways = self.augmentation.draw(batches.numel(), self.generator)
        return ways.view_as(batches).to(self.samples.X.device)

    def _batch(self, index: torch.Tensor, ways: torch.Tensor | None) -> torch.Tensor:
        X = self.samples.X[index]
        if self.augmentation is None or ways is None:
            return X
        pixels = X.permute(0, 2, 3, 1)  # (b, H, W, c)
        return self.augmentation(pixels.flatten(1), ways).view(pixels.shape).permute(0, 3, 1, 2)

    def _set_rates(self, factor: float) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = factor * rate

    def evaluate(self, mean: float) -> None:
        """Add a row to the history."""
        row = {"epoch": self.epoch, "train_loss": mean, "diverged": self.diverged}
        row["seconds"] = self.seconds
        if self.measure is not None:
            with in_mode(self.network, training=False), torch.no_grad():
                row |= self.measure(self.network)
        self.history.append(row)


def _augmentation(samples: Samples, settings: Settings) -> Augmentation | None:
    if not settings.flip and not settings.shift:
        return None
    if samples.X.ndim != 4:
        raise ValueError(
            f"images (n, c, H, W) can be flipped or shifted, got samples of shape "
            f"{tuple(samples.X.shape)}; give images, or leave flip and shift out"
        )
    channels, height, width = samples.X.shape[1:]
    moves: dict[str, Any] = {"flip": settings.flip, "shift": settings.shift}
    return Augmentation(height, width, channels, **moves, device=samples.X.device)


def _code_of(parts: Iterable[Any]) -> str:
    """Return a digest of the code of some objects, as far as it is this package's."""
    names = {part.__module__ for part in parts if part is not None}
    own = (name for name in sorted(names) if name.startswith("convexbn."))
    return digest(*(str(sys.modules[name].__file__) for name in own))
