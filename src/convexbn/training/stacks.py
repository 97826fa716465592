"""The course of training of some members of a sweep: their networks, from start to end.

Parameters of members are stacked, and a seed fixes initialization and order of the samples, so
that a course is the same whatever other members it has. Its state can be kept and restored.
"""

import logging
import math
import sys
from functools import partial

import torch

from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.networks.gated_program import ConvexNetwork
from convexbn.networks.two_layer import BNNetwork, ReLUNetwork, stack
from convexbn.training.data import SPLITS, TrainingData
from convexbn.training.gradients import GRADIENTS
from convexbn.training.optimizers import OPTIMIZERS, zeros_like
from convexbn.training.sweeps import Member, Sweep

NETWORKS = {"bn": BNNetwork, "relu": ReLUNetwork}
CALIBRATION = "test_nll", "test_ece", "temperature"
DIVERGED = 1e3  # times the objective at the start (Bjorck et al. 2018)

_logger = logging.getLogger(__name__)


class Course:
    """Members that are trained together, from the start to the last epoch.

    Parameters
    ----------
    data : TrainingData
    sweep : Sweep
    members : list of Member
    """

    def __init__(self, data: TrainingData, sweep: Sweep, members: list[Member]):
        self.data, self.sweep, self.members = data, sweep, members
        self.generators = {m.seed: torch.Generator().manual_seed(m.seed) for m in members}
        self.network = _draw(data, sweep, members, self.generators)
        like = {"dtype": data.Y.dtype, "device": data.Y.device}
        rates, betas = (
            torch.tensor([getattr(member, name) for member in members], **like)
            for name in ("learning_rate", "beta")
        )
        self.parameters = dict(self.network.named_parameters())
        self.gradient = GRADIENTS[sweep.network](self.network, betas, data.patches)
        self.optimizer = OPTIMIZERS[sweep.optimizer](self.parameters, rates, sweep.momentum)
        self.epoch, self.rows = 0, []
        self.seconds = [data.setup_seconds[member.seed] for member in members]

    def state(self) -> dict:
        """Return everything that :meth:`restore` needs to go on from here."""
        generators = {seed: gen.get_state() for seed, gen in self.generators.items()}
        tensors = {"parameters": _detached(self.parameters), "generators": generators}
        numbers = {"epoch": self.epoch, "seconds": self.seconds, "rows": self.rows}
        return numbers | tensors | {"optimizer": self.optimizer.state()}

    def restore(self, state: dict) -> None:
        """Go back to a state that :meth:`state` returned."""
        self.epoch, self.seconds, self.rows = (state[key] for key in ("epoch", "seconds", "rows"))
        for seed, generator in self.generators.items():
            generator.set_state(state["generators"][seed])
        _copy(state["parameters"], _detached(self.parameters))
        for name, tensors in self.optimizer.state().items():
            _copy(state["optimizer"][name], tensors)

    def close_epoch(self, seconds: float) -> None:
        """Count an epoch that took so many seconds per network."""
        self.epoch += 1
        self.seconds = [total + seconds for total in self.seconds]

    def warm_up(self) -> None:
        """Have the libraries start their threads and the device its kernels, outside the clock."""
        index = torch.arange(self.sweep.batch_size, device=self.data.Y.device)
        self.gradient(*self.data.batch(index[None]), zeros_like(self.parameters))

    def train_epoch(self) -> None:
        """Make the steps of an epoch."""
        draws, b = self._draws(), self.sweep.batch_size
        steps = draws[0].shape[1] // b
        for step in range(steps):
            batch = self.data.batch(*(draw[:, step * b : (step + 1) * b] for draw in draws))
            done = (self.epoch + step / steps) / self.sweep.epochs
            self.optimizer.step(partial(self.gradient, *batch), self.sweep.factor(done))

    def look(self) -> None:
        """Evaluate the networks, if it is time and has not been done."""
        is_done = self.rows and self.rows[-1]["epoch"] == self.epoch
        if self.epoch in self.sweep.evaluated and not is_done:
            self.rows += self._evaluate()

    def _evaluate(self) -> list[dict]:
        """Return one row per member, all with the training set's exact statistics."""
        statistics = self.network.statistics(self.data.rows("train"))
        scores = {split: self.data.scores(self.network, split, statistics) for split in SPLITS}
        penalties = self.network.penalty()
        rows = []
        for e, member in enumerate(self.members):
            own = {split: scores[split][e].cpu() for split in SPLITS}
            limit = DIVERGED * self.rows[e]["objective"] if self.rows else sys.float_info.max
            measures = self._measures(own, member.beta / 2 * float(penalties[e]), limit)
            when = {"epoch": self.epoch, "seconds": self.seconds[e]}
            width = int(self.network.neurons()[e])
            rows.append({**member._asdict(), "width": width, **when, **measures})
        return rows

    def final(self) -> dict:
        """Return the parameters and statistics, on the CPU."""
        statistics = self.network.statistics(self.data.rows("train"))
        final = _detached(self.parameters)
        if self.sweep.network == "convex":
            final = {"weights": self.network.weights}
        if statistics is not None:
            final["mean"], final["variance"] = statistics
        return {name: values.cpu() for name, values in final.items()}

    def warn_of_divergence(self) -> None:
        """Log which members diverged."""
        for row in self.rows[-len(self.members) :]:
            if math.isnan(row["objective"]):
                names = ", ".join(f"{name} {row[name]:g}" for name in Member._fields)
                _logger.warning("diverged within %d epochs, kept as NaN: %s", self.epoch, names)

    def _draws(self) -> list[torch.Tensor]:
        """Return each member's order of the samples in this epoch, (members, n), drawn on the CPU.

        And in what ways they are augmented, if they are. Where all members have one seed, and so
        one order, it is returned once: (1, n).
        """
        n, augmentation = len(self.data.Y), self.data.augmentation
        draws = {
            seed: [torch.randperm(n, generator=generator)]
            + ([augmentation.draw(n, generator)] if augmentation else [])
            for seed, generator in self.generators.items()
        }
        seeds = draws if len(draws) == 1 else [member.seed for member in self.members]
        each = zip(*(draws[seed] for seed in seeds), strict=True)
        return [torch.stack(draw).to(self.data.Y.device) for draw in each]

    def _measures(self, scores, penalty, limit) -> dict:
        """Return what is measured on one member's scores by split; all NaN if it diverged.

        That is, if its objective is above the limit, or no number at all.
        """
        data = self.data
        losses = {
            f"{split}_loss": mean_loss(scores[split], data.targets[split])
            for split in ("train", "test")
        }
        measures = {"objective": len(data.Y) * losses["train_loss"] + penalty}
        for split in SPLITS:
            measures[f"{split}_accuracy"] = accuracy(scores[split], data.labels[split])
        measures |= losses | dict.fromkeys(CALIBRATION, math.nan)
        if not measures["objective"] <= limit:
            return dict.fromkeys(measures, math.nan)
        if self.epoch == self.sweep.epochs:
            test, validation = ((scores[s], data.labels[s]) for s in ("test", "validation"))
            measures |= calibration(*test, *validation)
        return measures


def _draw(data, sweep, members, generators):
    """Return the stacked networks of the members, equal for equal seeds."""
    networks, rows = {}, data.patches * len(data.Y)
    for seed, generator in generators.items():
        if sweep.network == "convex":
            networks[seed] = ConvexNetwork(data.gates[seed], data.outputs, rows)
        else:
            sizes = (data.h, sweep.width, data.outputs, rows)
            networks[seed] = NETWORKS[sweep.network](*sizes, generator)
    stacked = stack([networks[member.seed] for member in members])
    return stacked.to(data.Y.device, data.Y.dtype)


def _detached(parameters: dict) -> dict:
    return {name: p.detach() for name, p in parameters.items()}


def _copy(source: dict, target: dict) -> None:
    for name, values in target.items():
        values.copy_(source[name])
