"""Stochastic gradient descent on the networks of :mod:`convexbn.networks`, a whole sweep at once.

Every network of the sweep, a member, is one (seed, learning rate, beta). Their parameters are
stacked, so that a step of all of them is one batched matrix product; the sum of their losses has
each member's own gradient in its own slice, and members never touch each other. A seed fixes the
initialization and the order of the samples for all its learning rates and betas: they are paired.

A step on a batch of b samples, with the decay that is beta in the paper's units (see networks):

    g = grad (1/b) L(f(X_b), Y_b) + decay * p,  u <- momentum * u + g,  p <- p - learning_rate * u.
"""

import logging
import math
import time
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch

from convexbn.evaluation import accuracy
from convexbn.inputs import (
    check_between,
    check_choice,
    check_finite,
    check_positive,
    check_same_length,
)
from convexbn.logs import progress
from convexbn.losses import LOSSES
from convexbn.networks import BNNetwork, ReLUNetwork, stack

SPLITS = "train", "validation", "test"
NETWORKS = {"bn": BNNetwork, "relu": ReLUNetwork}

# Factor on the learning rate, by the share of training that is done.
SCHEDULES = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
}

_logger = logging.getLogger(__name__)


class Member(NamedTuple):
    """What tells one network of a sweep from another; beta is in the paper's units."""

    seed: int
    learning_rate: float
    beta: float


@dataclass(frozen=True)
class Sweep:
    """A sweep of networks that are trained together.

    Parameters
    ----------
    network : str
        "bn" or "relu", the same without BN.
    width, epochs, batch_size : int
        Neurons; passes over the data; samples per step, at least 2. An epoch leaves out the
        samples after its last full batch: statistics of a small rest would be noise.
    learning_rates, betas, seeds : sequences
        Every combination is a member. beta is the weight decay in the paper's units, for a loss
        summed over the samples.
    momentum : float
        In [0, 1).
    schedule : str
        "constant", or "cosine": down to zero at the end of training.
    evaluations : int
        About how many epochs are evaluated besides epoch 0, log-spaced, the last always.
    max_members : int, optional
        How many are trained together, all when not given; the results are the same. Each takes
        about `4 * width * (10 * batch_size + 5 * d)` bytes in float32.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """

    network: str
    width: int
    epochs: int
    batch_size: int
    learning_rates: tuple
    betas: tuple
    seeds: tuple
    momentum: float = 0.9
    schedule: str = "constant"
    evaluations: int = 12
    max_members: int | None = None

    def __post_init__(self):
        check_choice("network", self.network, NETWORKS)
        check_choice("schedule", self.schedule, SCHEDULES)
        for name in ("width", "epochs", "evaluations", "max_members"):
            if (value := getattr(self, name)) is not None:
                check_between(name, value, 1, 10**9)
        for name in ("learning_rates", "betas", "seeds"):
            if len(getattr(self, name)) == 0:
                raise ValueError(f"{name} must name at least one value, got none; give one or more")
        for value in (*self.learning_rates, *self.betas):
            check_positive("each learning rate and beta", value)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum!r}; 0.9 is usual")

    @property
    def members(self) -> list[Member]:
        """All members, the seed changing slowest and beta fastest."""
        return [Member(*values) for values in product(self.seeds, self.learning_rates, self.betas)]

    @property
    def evaluated(self) -> set[int]:
        """The epochs after which the networks are evaluated."""
        spaced = np.geomspace(1, self.epochs, self.evaluations).round().astype(int)
        return {0, *spaced.tolist(), self.epochs}


def train(features: dict, sweep: Sweep, device="cpu") -> tuple[list[dict], dict]:
    """Train every member of a sweep; return its history and its final networks.

    Parameters
    ----------
    features : dict of arrays
        X_train (n, d) and Y_train (n, C), whose dtype is the networks'; labels_train (n,); and
        X_*, labels_* for validation and test, each possibly of zero rows.
    sweep : Sweep
    device : str or torch.device
        Where data and networks lie throughout.

    Returns
    -------
    history : list of dict
        One row per member and evaluated epoch: seed, learning_rate, beta, width, epoch, seconds,
        objective, train_accuracy, validation_accuracy, test_accuracy. Seconds are training time
        per network: of the members trained together, over their number, without evaluation and
        warm-up. The objective is the full-batch one in the paper's units. Evaluation takes the
        exact statistics of the training set. A network that diverged (its objective is not
        finite) keeps its rows, with NaN as objective and as accuracies: the largest of its scores
        would be an arbitrary class.
    parameters : dict of tensors
        The final networks on the CPU, one slice per member in the order of `sweep.members`: their
        parameters by name, and for BN `mean` and `variance`, the statistics of the training set.

    Raises
    ------
    ValueError
        If the features hold NaN or do not fit together, or a batch has more samples than there are.
    """
    data = _on_device(features, device)
    check_between("batch_size", sweep.batch_size, 2, len(data["X_train"]))
    members = sweep.members
    size = sweep.max_members or len(members)
    groups = [members[start : start + size] for start in range(0, len(members), size)]
    history, parameters = [], []
    with progress(total=sweep.epochs * len(groups), desc=f"SGD, {len(members)} networks") as bar:
        for group in groups:
            rows, final = _train_group(data, sweep, group, bar)
            history += rows
            parameters.append(final)
    return history, {name: torch.cat([p[name] for p in parameters]) for name in parameters[0]}


def _on_device(features, device) -> dict:
    """Check the arrays of the features artifact and put them on the device."""
    pairs = [(f"X_{split}", f"labels_{split}") for split in SPLITS]
    for first, second in [*pairs, ("X_train", "Y_train")]:
        check_finite(first, features[first])
        check_finite(second, features[second])
        check_same_length(first, features[first], second, features[second])
    return {name: torch.as_tensor(array).to(device) for name, array in features.items()}


def _train_group(data, sweep, members, bar) -> tuple[list[dict], dict]:
    """Train members together; return their history and final parameters."""
    generators = {member.seed: torch.Generator().manual_seed(member.seed) for member in members}
    network = _initialize(data, sweep, members, generators)
    sgd = StackedSGD(network, members, sweep.momentum)
    # Warm-up, outside the clock.
    sgd.gradients(*_batch(data, torch.arange(sweep.batch_size).expand(len(members), -1)))
    seconds = 0.0
    rows = _evaluate(network, members, data, 0, seconds)
    for epoch in range(1, sweep.epochs + 1):
        start = _now(network)
        _train_epoch(sgd, data, sweep, _orders(data, members, generators), epoch)
        seconds += (_now(network) - start) / len(members)
        if epoch in sweep.evaluated:
            rows += _evaluate(network, members, data, epoch, seconds)
        bar.step(f"epoch {epoch}/{sweep.epochs}, {seconds:.1f} s per network")
    _warn_of_divergence(rows[-len(members) :])
    return rows, _final(network, data)


def _initialize(data, sweep, members, generators):
    """Return the stacked networks of the members, equal for equal seeds."""
    X, Y = data["X_train"], data["Y_train"]
    networks = {
        seed: NETWORKS[sweep.network](X.shape[1], sweep.width, Y.shape[1], len(X), generator)
        for seed, generator in generators.items()
    }
    return stack([networks[member.seed] for member in members]).to(X.device, X.dtype)


def _orders(data, members, generators) -> torch.Tensor:
    """Return each member's order of the samples in this epoch, (members, n), drawn on the CPU."""
    n = len(data["X_train"])
    orders = {seed: torch.randperm(n, generator=gen) for seed, gen in generators.items()}
    return torch.stack([orders[member.seed] for member in members]).to(data["X_train"].device)


def _batch(data, index):
    return data["X_train"][index], data["Y_train"][index]  # (members, b, d), (members, b, C)


def _train_epoch(sgd, data, sweep, orders, epoch) -> None:
    steps = orders.shape[1] // sweep.batch_size
    batches = orders[:, : steps * sweep.batch_size].split(sweep.batch_size, dim=1)
    for step, index in enumerate(batches):
        done = (epoch - 1 + step / steps) / sweep.epochs
        sgd.step(*_batch(data, index), factor=SCHEDULES[sweep.schedule](done))


class StackedSGD:
    """torch.optim.SGD with momentum for stacked networks, each with its own rate and decay.

    `network` has one slice per member of the list `members`; it is changed in place.
    """

    def __init__(self, network, members, momentum: float):
        like = {"dtype": network.w.dtype, "device": network.w.device}
        self.network, self.momentum = network, momentum
        self.rates = torch.tensor([member.learning_rate for member in members], **like)
        self.decays = network.decay(torch.tensor([member.beta for member in members], **like))
        self.velocities = [torch.zeros_like(p) for p in network.parameters()]

    def gradients(self, X, Y):
        """Return the gradients of the mean squared loss of each member on its batch."""
        loss = LOSSES["squared"].value(self.network(X), Y) / X.shape[-2]
        return torch.autograd.grad(loss, list(self.network.parameters()))

    def step(self, X, Y, factor: float = 1.0) -> None:
        """Make one step on batches X (members, b, d), Y (members, b, C), rates times `factor`."""
        gradients = self.gradients(X, Y)
        with torch.no_grad():
            self._update(gradients, factor)

    def _update(self, gradients, factor):
        named = self.network.named_parameters()
        for (name, p), velocity, gradient in zip(named, self.velocities, gradients, strict=True):
            per_member = (-1,) + (1,) * (p.ndim - 1)
            velocity.mul_(self.momentum).add_(gradient)
            if name in self.network.decayed:
                velocity.addcmul_(self.decays.view(per_member), p)
            p.addcmul_(self.rates.view(per_member) * factor, velocity, value=-1)


def _now(network) -> float:
    """Return the clock's seconds once the device has done its work."""
    if network.w.is_cuda:
        torch.cuda.synchronize(network.w.device)
    return time.perf_counter()


def _evaluate(network, members, data, epoch, seconds) -> list[dict]:
    """Return one row per member, all with the training set's exact statistics."""
    statistics = network.statistics(data["X_train"])
    scores = {split: network.predict(data[f"X_{split}"], statistics) for split in SPLITS}
    penalties = network.penalty()
    rows = []
    for e, member in enumerate(members):
        loss = LOSSES["squared"].value(scores["train"][e].double(), data["Y_train"].double())
        objective = float(loss + member.beta / 2 * penalties[e])
        measures = {"objective": objective}
        for split in SPLITS:
            labels = data[f"labels_{split}"].cpu()
            measures[f"{split}_accuracy"] = accuracy(scores[split][e].cpu(), labels)
        if not math.isfinite(objective):
            measures = dict.fromkeys(measures, math.nan)
        when = {"width": network.w.shape[-1], "epoch": epoch, "seconds": seconds}
        rows.append({**member._asdict(), **when, **measures})
    return rows


def _warn_of_divergence(rows) -> None:
    for row in rows:
        if math.isnan(row["objective"]):
            names = ", ".join(f"{name} {row[name]:g}" for name in Member._fields)
            _logger.warning("diverged within %d epochs, kept as NaN: %s", row["epoch"], names)


def _final(network, data) -> dict:
    final = {name: p.detach().cpu() for name, p in network.named_parameters()}
    statistics = network.statistics(data["X_train"])
    if statistics is not None:
        final["mean"], final["variance"] = (values.cpu() for values in statistics)
    return final
