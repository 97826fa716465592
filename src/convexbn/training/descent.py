"""Full-batch gradient descent on a network, or on a stack of networks at once.

The non-convex side of every theorem is

    min  L(f(X), Y) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||v_j||^2),

in float64, from many random starts (:func:`descend`). The trials are stacked into one network, and
each step moves all of them; the history of a trial does not depend on the others. Its step size
falls to zero along a cosine: with a constant step, the kinks of the ReLU keep a descent circling
around a minimum.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from convexbn.inputs import (
    ArrayLike,
    as_tensor,
    check_between,
    check_choice,
    check_momentum,
    check_positive,
)
from convexbn.networks.interface import Network
from convexbn.networks.normalization import BatchNormalized
from convexbn.networks.objectives import batch_objective, network_objective
from convexbn.networks.two_layer import stack
from convexbn.training.data import check_spread
from convexbn.training.optimizers import SGD, Adam, Tensors
from convexbn.training.schedules import SCHEDULES, log_spaced

# "gd" is gradient descent: SGD on the full batch, without momentum.
OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"adam": Adam, "gd": SGD, "momentum": SGD}


@dataclass(frozen=True)
class Descent:
    """Settings of a full-batch descent.

    Attributes
    ----------
    iterations : int
        Number of steps.
    learning_rate : float
        Learning rate of the first step, for the objective that :meth:`run` is given.
    optimizer : {"adam", "gd", "momentum"}
        "gd" is plain gradient descent, "momentum" is gradient descent with momentum.
    momentum : float
        In [0, 1), for the optimizer "momentum"; 0 is plain gradient descent.
    schedule : {"cosine", "constant"}
        "cosine" takes the learning rate down to zero at the end.
    evaluations : int
        Approximate number of iterations at which a training is evaluated, log-spaced.
    trials : int
        Number of random starts.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """

    iterations: int
    learning_rate: float
    optimizer: str = "adam"
    momentum: float = 0.9
    schedule: str = "cosine"
    evaluations: int = 1
    trials: int = 1

    def __post_init__(self) -> None:
        for name in ("iterations", "evaluations", "trials"):
            check_between(name, getattr(self, name), 1, 10**9)
        check_positive("learning_rate", self.learning_rate)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_momentum(self.momentum)
        check_choice("schedule", self.schedule, SCHEDULES)

    @property
    def evaluated(self) -> set[int]:
        """The iterations at which a training is evaluated; the start and the end always are."""
        return {0} | log_spaced(self.iterations, self.evaluations)

    def run(
        self, network: nn.Module, objective: Callable[[nn.Module], torch.Tensor]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Train a network in place; yield each iteration and the objective before its step.

        Parameters
        ----------
        network : Module
            One network, or a stack of e of them.
        objective : callable
            From the network to its objective, of shape () or (e,), differentiable in the
            parameters.

        Yields
        ------
        iteration : int
            From 0, the start, to `iterations`, after the last step.
        values : Tensor, shape () or (e,)
        """
        momentum = {"adam": 0.9, "gd": 0.0, "momentum": self.momentum}[self.optimizer]
        parameters: Tensors = dict(network.named_parameters())
        rate = next(network.parameters()).new_full((1,), self.learning_rate)
        optimizer = OPTIMIZERS[self.optimizer](parameters, rate, momentum)
        for iteration in range(self.iterations + 1):
            values = objective(network)
            yield iteration, values.detach()
            if iteration < self.iterations:
                factor = SCHEDULES[self.schedule](iteration / self.iterations)
                optimizer.step(partial(_write_gradient, values.sum(), parameters), factor)


def _write_gradient(value: torch.Tensor, parameters: Tensors, gradient: Tensors) -> None:
    """Write the gradient of a value in some parameters into given tensors."""
    found = torch.autograd.grad(value, list(parameters.values()))
    for name, g in zip(parameters, found, strict=True):
        gradient[name].copy_(g)


@dataclass(frozen=True)
class Trials:
    """Networks trained from random starts.

    Attributes
    ----------
    networks : list of Module
        One per trial, in float64 and in evaluation mode, with the statistics of the samples.
    objectives : ndarray, shape (trials,)
        :func:`convexbn.networks.objectives.network_objective` of the final networks.
    iterations : ndarray of int, shape (evaluations,)
    history : ndarray, shape (evaluations, trials)
        The objectives at these iterations.
    """

    networks: list[Network]
    objectives: np.ndarray
    iterations: np.ndarray
    history: np.ndarray


def descend(
    networks: Sequence[Network],
    X: ArrayLike,
    Y: ArrayLike,
    beta: float,
    settings: Descent,
    loss: str = "squared",
) -> Trials:
    """Minimize the training objective from the given networks, which are left as they are.

    Parameters
    ----------
    networks : list of Module
        The random starts, one per trial, of one architecture.
    X : array or tensor, shape (n, d), or (K, n, h) for a CNN
    Y : array or tensor, shape (n, C) or (n,)
    beta : float
        Weight decay, in the paper's units.
    settings : Descent
        Its learning rate is for the loss summed over the samples.
    loss : str
        A key of `convexbn.programs.losses.LOSSES`.

    Returns
    -------
    Trials

    Raises
    ------
    ValueError
        As :func:`convexbn.networks.objectives.network_objective`, and for samples whose size or
        offset batch normalization would lose in rounding.
    """
    check_between("the number of networks", len(networks), 1, 10**9)
    device = networks[0].w.device
    X, Y = (as_tensor(name, A, device=device) for name, A in (("X", X), ("Y", Y)))
    network_objective(networks[0], X, Y, beta, loss)  # refuses what does not fit together
    if any(isinstance(module, BatchNormalized) for module in networks[0].modules()):
        check_spread(X.movedim(-2, 0).flatten(1))
    network = stack(networks).double()
    targets = Y.reshape(Y.shape[0], -1)
    objective = partial(batch_objective, X=X, Y=targets, beta=beta, loss=loss)
    evaluated, history = settings.evaluated, {}
    for iteration, values in settings.run(network, objective):
        if iteration in evaluated:
            history[iteration] = values.cpu().numpy().copy()
    members = [member.set_statistics(X).eval() for member in unstack(network, networks)]
    final = np.array([network_objective(member, X, Y, beta, loss) for member in members])
    return Trials(members, final, np.array(list(history)), np.array(list(history.values())))


def unstack(network: Network, networks: Sequence[Network]) -> list[Network]:
    """Return the members of a stack as separate networks, in float64.

    The reverse of `stack(networks)`: `networks` give the architecture.
    """
    state = network.state_dict()
    members = [copy.deepcopy(member).double() for member in networks]
    for i, member in enumerate(members):
        member.load_state_dict({name: values[i] for name, values in state.items()})
    return members
