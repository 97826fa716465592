"""Members of a sweep that are trained side by side, from the start to the last epoch.

Their parameters are stacked. A seed fixes the initialization and the order of the samples, so that
the training of a member does not depend on the others. The state can be kept and restored.
"""

import logging
import math
import sys
from functools import partial

import torch

from convexbn.evaluation import accuracy, calibration, mean_loss
from convexbn.networks.gated_program import ConvexNetwork
from convexbn.networks.two_layer import TwoLayerNetwork, stack
from convexbn.training.data import SPLITS, TrainingData
from convexbn.training.gradients import ConvexGradient, TwoLayerGradient
from convexbn.training.networks import NETWORKS
from convexbn.training.optimizers import OPTIMIZERS, Tensors, zeros_like
from convexbn.training.sweeps import Member, Sweep

CALIBRATION = "test_nll", "test_ece", "temperature"
DIVERGED = 1e3  # times the objective at the start (Bjorck et al. 2018)

_logger = logging.getLogger(__name__)


class Stack:
    """Members that are trained together, and the history of their training.

    Parameters
    ----------
    data : TrainingData
    sweep : Sweep
    members : list of Member
    """

    def __init__(self, data: TrainingData, sweep: Sweep, members: list[Member]) -> None:
        self.data, self.sweep, self.members = data, sweep, members
        self.generators = {m.seed: torch.Generator("cpu").manual_seed(m.seed) for m in members}
        self.network = _draw(data, sweep, members, self.generators)
        rates, betas = (
            data.Y.new_tensor([getattr(member, name) for member in members])
            for name in ("learning_rate", "beta")
        )
        self.parameters: Tensors = dict(self.network.named_parameters())
        kind = ConvexGradient if sweep.network == "convex" else NETWORKS[sweep.network].gradient
        self.gradient: TwoLayerGradient | ConvexGradient = kind(self.network, betas, data.patches)
        self.optimizer = OPTIMIZERS[sweep.optimizer](self.parameters, rates, sweep.momentum)
        self.epoch = 0
        self.history: list[dict] = []
        self.seconds = [data.setup_seconds[member.seed] for member in members]

    def state(self) -> dict:
        """Return all that :meth:`restore` needs to go on from here."""
        generators = {seed: gen.get_state() for seed, gen in self.generators.items()}
        tensors = {"parameters": _detached(self.parameters), "generators": generators}
        numbers = {"epoch": self.epoch, "seconds": self.seconds, "history": self.history}
        return numbers | tensors | {"optimizer": self.optimizer.state()}

    def restore(self, state: dict) -> None:
        """Go back to a state that :meth:`state` returned."""
        for name in ("epoch", "seconds", "history"):
            setattr(self, name, state[name])
        for seed, generator in self.generators.items():
            generator.set_state(state["generators"][seed])
        _copy(state["parameters"], _detached(self.parameters))
        for name, tensors in self.optimizer.state().items():
            _copy(state["optimizer"][name], tensors)

    def close_epoch(self, seconds: float) -> None:
        """Count an epoch, which took `seconds` per network."""
        self.epoch += 1
        self.seconds = [total + seconds for total in self.seconds]

    def warm_up(self) -> None:
        """Let the libraries start their threads and the device load its kernels, off the clock."""
        index = torch.arange(self.sweep.batch_size, device=self.data.Y.device)
        self.gradient(*self.data.batch(index[None]), zeros_like(self.parameters))

    def train_epoch(self) -> None:
        """Take the steps of one epoch, unless no network can come back from where it is."""
        if self._is_lost():
            return
        draws, b = self._draws(), self.sweep.batch_size
        steps = draws[0].shape[1] // b
        for step in range(steps):
            batch = self.data.batch(*(draw[:, step * b : (step + 1) * b] for draw in draws))
            done = (self.epoch + step / steps) / self.sweep.epochs
            self.optimizer.step(partial(self.gradient, *batch), self.sweep.factor(done))

    def _is_lost(self) -> bool:
        """Return whether every network has a parameter that is not finite, as it will have."""
        last = self.history[-len(self.members) :]
        if any(math.isfinite(row["objective"]) for row in last):  # do not wait for a device
            return False
        finite = [p.isfinite().flatten(1).all(dim=1) for p in _detached(self.parameters).values()]
        return not bool(torch.stack(finite).all(dim=0).any())

    def evaluate(self) -> None:
        """Add the networks' evaluation to the history, if this epoch's is due and missing."""
        is_done = self.history and self.history[-1]["epoch"] == self.epoch
        if self.epoch in self.sweep.evaluated and not is_done:
            self.history += self._rows()

    def _rows(self) -> list[dict]:
        """Return one row per member, all with the exact statistics of the training set."""
        self.network.measure(self.data.rows("train"))
        # At once for all members, as each move from a device waits for its work.
        scores = {split: self.data.scores(self.network, split).cpu() for split in SPLITS}
        penalties, widths = self.network.penalty().tolist(), self.network.neurons().tolist()
        rows = []
        for e, member in enumerate(self.members):
            own = {split: scores[split][e] for split in SPLITS}
            limit = DIVERGED * self.history[e]["objective"] if self.history else sys.float_info.max
            measures = self._measures(own, member.beta / 2 * penalties[e], limit)
            when = {"epoch": self.epoch, "seconds": self.seconds[e]}
            rows.append({**member._asdict(), "width": int(widths[e]), **when, **measures})
        return rows

    def final(self) -> Tensors:
        """Return the parameters and statistics, on the CPU."""
        self.network.measure(self.data.rows("train"))
        final: Tensors = self.network.state_dict()
        if isinstance(self.network, ConvexNetwork):
            final = {"weights": self.network.weights}
        return {name: values.cpu() for name, values in final.items()}

    def warn_of_divergence(self) -> None:
        """Log which members diverged."""
        for row in self.history[-len(self.members) :]:
            if math.isnan(row["objective"]):
                names = ", ".join(f"{name} {row[name]:g}" for name in Member._fields)
                _logger.warning("diverged within %d epochs, kept as NaN: %s", self.epoch, names)

    def _draws(self) -> list[torch.Tensor]:
        """Return the order of the samples in this epoch, (members, n), drawn on the CPU.

        A second tensor of this shape says how each sample is augmented, if it is. Where all members
        have the same seed, and so the same order, it is returned once: (1, n).
        """
        n, augmentation = len(self.data.Y), self.data.augmentation
        draws = {
            seed: [torch.randperm(n, generator=generator, device="cpu")]
            + ([augmentation.draw(n, generator)] if augmentation else [])
            for seed, generator in self.generators.items()
        }
        seeds = draws if len(draws) == 1 else [member.seed for member in self.members]
        each = zip(*(draws[seed] for seed in seeds), strict=True)
        return [torch.stack(draw).to(self.data.Y.device) for draw in each]

    def _measures(self, scores: dict[str, torch.Tensor], penalty: float, limit: float) -> dict:
        """Return the measures of one member's scores by split, all NaN if it diverged.

        It diverged if its objective is above the limit, or NaN.
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


def _draw(
    data: TrainingData,
    sweep: Sweep,
    members: list[Member],
    generators: dict[int, torch.Generator],
) -> TwoLayerNetwork | ConvexNetwork:
    """Return the stacked networks of the members, equal for equal seeds."""
    networks: dict[int, TwoLayerNetwork | ConvexNetwork] = {}
    rows = data.patches * len(data.Y)
    for seed, generator in generators.items():
        if sweep.network == "convex":
            networks[seed] = ConvexNetwork(data.gates[seed], data.outputs, rows)
        else:
            assert sweep.width is not None  # as the sweep has checked
            sizes = (data.h, sweep.width, data.outputs, rows)
            networks[seed] = NETWORKS[sweep.network].network(*sizes, generator)
    stacked = stack([networks[member.seed] for member in members])
    return stacked.to(data.Y.device, data.Y.dtype).eval()


def _detached(parameters: Tensors) -> Tensors:
    return {name: p.detach() for name, p in parameters.items()}


def _copy(source: dict, target: dict) -> None:
    for name, values in target.items():
        values.copy_(source[name])
