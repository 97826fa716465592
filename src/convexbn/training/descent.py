"""Full-batch descent on a network's training objective, from many random starts at once.

The non-convex side of every theorem:

    min  L(f(X), Y) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2),

in float64. The trials are stacked into one network, of which every step moves all; a trial's
course does not depend on the others'. The step size falls to zero along a cosine: the ReLU's kinks
keep a descent of constant step circling around a minimum.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from convexbn.inputs import check_between, check_choice, check_positive
from convexbn.networks.objectives import batch_objective, network_objective
from convexbn.networks.two_layer import stack
from convexbn.training.schedules import SCHEDULES, log_spaced

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "gd": torch.optim.SGD,  # of the full batch: gradient descent
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9),
}


@dataclass(frozen=True)
class Descent:
    """How trials are trained.

    Attributes
    ----------
    trials : int
        Random starts.
    steps : int
    learning_rate : float
        Of the first step, for the loss summed over samples; it falls to zero along a cosine.
    optimizer : {"adam", "gd", "momentum"}
        "gd" is plain gradient descent, "momentum" that with a momentum of 0.9.
    looks : int
        About how many times the objectives are recorded, log-spaced; start and end always are.
    """

    trials: int
    steps: int
    learning_rate: float
    optimizer: str = "adam"
    looks: int = 0

    def __post_init__(self):
        for name, lowest in (("trials", 1), ("steps", 1), ("looks", 0)):
            check_between(name, getattr(self, name), lowest, 10**9)
        check_positive("learning_rate", self.learning_rate)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)

    @property
    def looked_at(self) -> set[int]:
        """The numbers of steps after which the objectives are recorded."""
        return {0} | log_spaced(self.steps, self.looks)


@dataclass(frozen=True)
class Trials:
    """What a descent came to.

    Attributes
    ----------
    networks : list of Module
        One per trial, in float64.
    objectives : ndarray, shape (trials,)
        As :func:`convexbn.networks.objectives.network_objective` judges the final networks.
    iterations : ndarray of int, shape (looks,)
    curves : ndarray, shape (looks, trials)
        The objectives on the way.
    """

    networks: list
    objectives: np.ndarray
    iterations: np.ndarray
    curves: np.ndarray


def descend(networks, X, Y, beta: float, settings: Descent, loss: str = "squared") -> Trials:
    """Minimize the training objective from the given networks, which are left as they are.

    Parameters
    ----------
    networks : list of Module
        The random starts, one per trial, of one architecture.
    X : array, shape (n, d), or (K, n, h) for a CNN
    Y : array, shape (n, C) or (n,)
    beta : float
        Weight decay, in the paper's units.
    settings : Descent
    loss : str
        A key of `convexbn.programs.losses.LOSSES`.

    Returns
    -------
    Trials
    """
    network = stack(networks).double()
    X, Y = (torch.as_tensor(A, dtype=torch.float64) for A in (X, Y))
    targets = Y.reshape(Y.shape[0], -1)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = OPTIMIZERS[settings.optimizer](parameters, settings.learning_rate)
    curve = {}
    for step in range(settings.steps + 1):
        values = batch_objective(network, X, targets, beta, loss)
        if step in settings.looked_at:
            curve[step] = values.detach().numpy().copy()
        if step < settings.steps:
            _set_rate(optimizer, settings, step / settings.steps)
            _step(optimizer, parameters, values.sum())
    members = unstack(network, networks)
    final = np.array([network_objective(member, X, Y, beta, loss) for member in members])
    return Trials(members, final, np.array(list(curve)), np.array(list(curve.values())))


def unstack(network, networks) -> list:
    """Return the members of a stack as networks of their own, in float64.

    The reverse of `stack(networks)`: `networks` give the architecture.
    """
    stacked = dict(network.named_parameters())
    members = [copy.deepcopy(member).double() for member in networks]
    for i, member in enumerate(members):
        for name, parameter in member.named_parameters():
            parameter.data.copy_(stacked[name].detach()[i])
    return members


def _set_rate(optimizer, settings: Descent, done: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * SCHEDULES["cosine"](done)


def _step(optimizer, parameters, total) -> None:
    for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
