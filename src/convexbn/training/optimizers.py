"""SGD and Adam as torch.optim has them, for a stack of networks, each with its own learning rate.

With g the gradient of the training objective, weight decay included, and t the number of the step,

    SGD     u <- momentum u + g,                    p <- p - rate u
    Adam    a <- b1 a + (1 - b1) g,                 p <- p - rate a' / (sqrt(b') + 1e-8),
            b <- b2 b + (1 - b2) g^2,               a' = a / (1 - b1^t), b' = b / (1 - b2^t).

A gradient is a function that writes the gradient of each parameter into given tensors.
"""

from collections.abc import Callable

import torch

Tensors = dict[str, torch.Tensor]  # by the name of a parameter


class SGD:
    """Stochastic gradient descent with momentum (torch.optim.SGD).

    Parameters
    ----------
    parameters : dict of str to Tensor
        Stacked parameters, members on the first axis; they are changed in place.
    rates : Tensor, shape (members,)
    momentum : float
    """

    def __init__(self, parameters: Tensors, rates: torch.Tensor, momentum: float) -> None:
        self.parameters, self.rates, self.momentum = parameters, rates, momentum
        self.gradients, self.velocities = (zeros_like(parameters) for _ in range(2))

    def state(self) -> dict[str, Tensors]:
        """Return the tensors that a step changes besides the parameters, by name."""
        return {"velocities": self.velocities}

    @torch.no_grad()
    def step(self, gradient: Callable[[Tensors], None], factor: float = 1.0) -> None:
        """Take one step along the gradient that `gradient` writes, at `factor` times the rates."""
        gradient(self.gradients)
        for name, p in self.parameters.items():
            velocity = self.velocities[name]
            torch.add(self.gradients[name], velocity, alpha=self.momentum, out=velocity)
            p.addcmul_(per_member(self.rates, p), velocity, value=-factor)


class Adam:
    """Adam (torch.optim.Adam with its default second moment and eps).

    Parameters
    ----------
    parameters, rates
        As for :class:`SGD`.
    momentum : float
        The decay b1 of the first moment.
    """

    b2, eps = 0.999, 1e-8

    def __init__(self, parameters: Tensors, rates: torch.Tensor, momentum: float) -> None:
        self.parameters, self.rates, self.b1 = parameters, rates, momentum
        self.gradients, self.first, self.second = (zeros_like(parameters) for _ in range(3))
        self.steps = {"t": torch.zeros((), dtype=torch.int64, device="cpu")}

    def state(self) -> dict[str, Tensors]:
        """Return the tensors that a step changes besides the parameters, by name."""
        return {"first": self.first, "second": self.second, "steps": self.steps}

    @torch.no_grad()
    def step(self, gradient: Callable[[Tensors], None], factor: float = 1.0) -> None:
        """Take one step along the gradient that `gradient` writes, at `factor` times the rates."""
        gradient(self.gradients)
        t = int(self.steps["t"].add_(1))
        for name, p in self.parameters.items():
            g, first, second = (d[name] for d in (self.gradients, self.first, self.second))
            first.lerp_(g, 1 - self.b1)
            second.mul_(self.b2).addcmul_(g, g, value=1 - self.b2)
            root = torch.div(second, 1 - self.b2**t, out=g).sqrt_().add_(self.eps)
            rates = per_member(self.rates * (-factor / (1 - self.b1**t)), p)
            p.addcdiv_(first * rates, root)


OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}


def zeros_like(parameters: Tensors) -> Tensors:
    """Return buffers of zeros, one per parameter, that do not require gradients."""
    return {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}


def per_member(values: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Return one value per member (members,) in a shape that multiplies a stacked parameter."""
    return values.view((-1,) + (1,) * (p.ndim - 1))
