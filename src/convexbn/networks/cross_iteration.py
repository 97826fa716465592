"""Cross-Iteration Batch Normalization: BN over the last k iterations, old statistics compensated.

A layer with weights theta is followed by BN. An iteration tau steps ago had the batch statistics
`mu` (mean), `nu` (mean of squares) of each channel. At the weights theta of now they are

    mu' = mu + <d mu/d theta, theta - theta_{t - tau}>,   nu' alike,

to first order in the layer's own weights, and over the window of the last k iterations,

    mu_bar = mean mu',   nu_bar = mean max(nu', mu'^2),   var_bar = nu_bar - mu_bar^2

replace the statistics of the batch (Yao, Cao, Zheng, Huang, Lin 2021). Channel c depends on filter
c alone, so the gradient of the sum of all means is the whole Jacobian. Gradients of the loss flow
through the statistics of the current batch only.

Here a past iteration is kept as `mu`, `var = nu - mu^2` and their gradients, which is the same:

    nu' - mu'^2 = var + <d var/d theta, change> - <d mu/d theta, change>^2,
    var_bar = mean max(nu' - mu'^2, 0) + mean (mu' - mu_bar)^2,

but a large mean costs no digits. Outputs are linear in theta: at the time of the iteration <d mu/d
theta, theta> was the mean (without a bias), and <d var/d theta, theta> twice the variance. So

    mu' = <d mu/d theta, theta>,   var + <d var/d theta, change> = <d var/d theta, theta> - var,

and the weights of that time need not be kept.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convexbn.inputs import check_between, check_finite, check_positive
from convexbn.networks.batch_statistics import (
    Statistics,
    apply,
    batch_statistics,
    by_channel,
    count_of,
    count_on,
    pool,
    track,
)
from convexbn.networks.own_weights import (
    bias_of,
    check_layer,
    groups_of,
    own_weights,
    statistics_gradients,
)

PAST = ("iteration", "mean", "variance", "mean_gradient", "variance_gradient")


class CrossIteration(_BatchNorm):
    """Base of the two classes below: BN over a window of iterations.

    An iteration is a forward pass in training mode with gradients enabled. Without gradients
    (:func:`torch.no_grad`) a batch is normalized by its own statistics, as by torch's BN, and is
    not remembered: so statistics of a data set are measured. Evaluation mode is torch's, too: by
    `running_mean` and `running_var`.

    Parameters
    ----------
    layer : torch.nn.Linear, Conv1d or Conv2d
        The layer whose outputs are normalized, of C channels and p weights each. It is not a
        submodule: its weights stay in one place.
    window : int
        Number k of iterations, the current one included; as many as there are in the first ones.
        1 is torch's BN.
    burn_in : int
        Iterations at the beginning that are normalized by their batch alone; they are remembered.
    compensated : bool
        False for the naive window, whose old statistics stay as they were, but for the bias.
    eps, momentum : float
        As for torch's BN. Running statistics are averages of those that were normalized by.

    Attributes
    ----------
    weight, bias, running_mean, running_var, num_batches_tracked
        As in torch's BN.
    iterations : Tensor, shape ()
        Buffer: the number of iterations that were remembered so far.
    past_iteration : Tensor, shape (k - 1,)
        Buffer: which iteration each row of the following holds, counted from 0; -1 for none.
    past_mean, past_variance : Tensor, shape (k - 1, C)
        Buffers: statistics of the batch, the mean without the layer's bias, the variance biased.
    past_mean_gradient : Tensor, shape (k - 1, groups, p)
        Buffer: the gradient of the means, the mean patch of the inputs, which a group shares.
    past_variance_gradient : Tensor, shape (k - 1, C, p)
        Buffer: the gradient of the variances. Without compensation p is 0 in both gradients.

    Raises
    ------
    ValueError
        For a layer that is none of these, a window or burn-in out of range; in `forward`, for a
        batch with a single value per channel, or if `layer` was not called before.

    Notes
    -----
    A batch that is not finite gives outputs that are not, as with torch, and is not remembered. A
    CUDA device is waited for to know that of the first iteration alone: later such a batch counts
    as an iteration, for which the one stands in that it would have been written over, or, while
    the window fills up, the one before.
    """

    layer: nn.Module
    iterations: torch.Tensor
    past_iteration: torch.Tensor
    past_mean: torch.Tensor
    past_variance: torch.Tensor
    past_mean_gradient: torch.Tensor
    past_variance_gradient: torch.Tensor

    def __init__(
        self,
        layer: nn.Module,
        window: int,
        burn_in: int = 0,
        compensated: bool = True,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        check_layer(layer)
        check_between("window", window, 1, inf)
        check_between("burn_in", burn_in, 0, inf)
        check_positive("eps", eps)
        weights = own_weights(layer).detach()  # (C, p)
        super().__init__(len(weights), eps, momentum, device=weights.device, dtype=weights.dtype)
        object.__setattr__(self, "layer", layer)  # a submodule would be saved twice
        self._inputs: torch.Tensor | None = None
        layer.register_forward_pre_hook(self._keep)
        self.window, self.burn_in, self.compensated = window, burn_in, compensated
        rows = weights.new_zeros(window - 1, len(weights))
        theta = weights.new_zeros(*rows.shape, weights.shape[1] if compensated else 0)
        shared = theta[:, : groups_of(layer)]
        none = torch.full((window - 1,), -1, device=weights.device)
        self.register_buffer("iterations", torch.zeros((), dtype=torch.long, device=none.device))
        values = (none, rows, rows, shared, theta)
        for name, value in zip(PAST, values, strict=True):
            self.register_buffer(f"past_{name}", value.clone())

    def extra_repr(self) -> str:
        """Return the settings, for the representation of a network."""
        own = f"window={self.window}, burn_in={self.burn_in}, compensated={self.compensated}"
        return f"{super().extra_repr()}, {own}"

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normalized outputs of the layer, of the shape (n, C, ...) of the input."""
        self._check_input_dim(input)
        if not self.training or not torch.is_grad_enabled():
            return super().forward(input)
        current = batch_statistics(input, self.num_features)  # with its checks
        if self.window == 1:
            return super().forward(input)
        if torch.is_autocast_enabled(input.device.type):
            # Its products would be in half precision, and with them the statistics of the past.
            with torch.autocast(input.device.type, enabled=False):
                return self._over_the_window(input, current)
        return self._over_the_window(input, current)

    def _over_the_window(self, input: torch.Tensor, current: Statistics) -> torch.Tensor:
        made = count_of(self)
        if made < max(self.burn_in, 1):
            outputs = super().forward(input)
        else:
            pooled, n = pool(current, self.past()), input.numel() // self.num_features
            track(self, pooled, n * (1 + min(made, self.window - 1)))
            outputs = apply(pooled, input, self.weight, self.bias, self.eps)
        self._remember(input, current, made)
        return outputs

    def _keep(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Keep the layer's inputs until its outputs come."""
        is_needed = (
            self.training and torch.is_grad_enabled() and self.past_mean_gradient.numel() > 0
        )
        self._inputs = inputs[0].detach() if is_needed else None

    def past(self) -> Statistics:
        """Return the statistics remembered, (m, C), at the layer's weights of now, in no order."""
        return self._at_present(slice(count_of(self)), self.compensated)

    def past_statistics(self, tau: int, compensated: bool = True) -> Statistics:
        """Return what the next iteration takes for the statistics, (C,), of tau iterations before.

        Parameters
        ----------
        tau : int
            From 1, for the last iteration, to k - 1.
        compensated : bool
            Whether they are compensated, or as they were then but for the layer's bias.

        Raises
        ------
        ValueError
            If that iteration was not made, or is no longer or not so remembered.
        """
        check_between("tau", tau, 1, max(1, self.window - 1))
        made = count_of(self)
        if tau > made:
            words = f"tau must be at most the {made} iteration(s) remembered so far, got {tau}"
            raise ValueError(f"{words}; train for more steps first")
        if compensated and not self.compensated:
            raise ValueError(
                "old statistics are compensated with gradients of that time, and this module has "
                "none; build it with compensated=True, or ask for compensated=False"
            )
        row = (made - tau) % (self.window - 1)
        found = self._at_present(slice(row, row + 1), compensated)
        return Statistics(found.mean[0], found.variance[0])

    @torch.no_grad()
    def _at_present(self, rows: slice, compensated: bool) -> Statistics:
        mean, variance = self.past_mean[rows], self.past_variance[rows]
        if compensated:
            mean, variance = self._compensated(rows)
        bias = bias_of(self.layer)
        return Statistics(mean if bias is None else mean + bias, variance)

    def _compensated(self, rows: slice) -> Statistics:
        """Return past statistics at the layer's present weights, the mean without its bias."""
        theta, old = own_weights(self.layer), self.past_mean[rows]  # (C, p), (m, C)
        grouped = theta.unflatten(0, (groups_of(self.layer), -1))  # (G, C / G, p)
        patches = self.past_mean_gradient[rows].movedim(0, -1)  # (G, p, m)
        mean = (grouped @ patches).flatten(0, 1).T  # (m, C)
        moved = torch.linalg.vecdot(self.past_variance_gradient[rows], theta)
        variance = moved - self.past_variance[rows] - (mean - old).square()
        return Statistics(mean, variance.clamp(min=0))

    @torch.no_grad()
    def _remember(self, input: torch.Tensor, current: Statistics, made: int) -> None:
        """Write the current iteration over the oldest one."""
        mean, variance = current
        is_finite = variance.sum().isfinite()
        is_known = made == 0 or not variance.is_cuda  # or to ask would be to wait for the device
        if is_known and not is_finite:
            return
        bias = bias_of(self.layer)
        values = {
            "iteration": torch.full_like(self.iterations, made),
            "mean": mean if bias is None else mean - bias,
            "variance": variance,
        }
        if self.compensated:
            centred = input - by_channel(mean, input)
            gradients = statistics_gradients(self.layer, self._taken().to(centred), centred)
            values["mean_gradient"], values["variance_gradient"] = gradients
        row = made % (self.window - 1)
        instead = row if made >= self.window - 1 else row - 1
        for name, value in values.items():
            past = getattr(self, f"past_{name}")
            past[row] = value if is_known else torch.where(is_finite, value, past[instead])
        count_on(self)

    def _taken(self) -> torch.Tensor:
        """Return the inputs of the layer, which are let go."""
        inputs, self._inputs = self._inputs, None
        if inputs is None:
            raise ValueError(
                f"input must be the output of the layer {self.layer} that this normalization was "
                "built for, but that layer was not called before; build one normalization per "
                "layer, from the layer right before it"
            )
        return inputs

    def _load_from_state_dict(self, state: dict, prefix: str, *args: Any) -> None:
        """Load a state of the same window; refuse any other by name."""
        past = {name: state.get(f"{prefix}past_{name}") for name in PAST}
        if (rows := past["mean"]) is not None and len(rows) != self.window - 1:
            raise ValueError(
                f"'{prefix}past_mean' must hold the {self.window - 1} past iteration(s) of window "
                f"{self.window}, got {len(rows)}, of a checkpoint with window {len(rows) + 1}; "
                "build the network with that window"
            )
        theta = past["mean_gradient"]
        if theta is not None and self.window > 1 and (theta.numel() > 0) != self.compensated:
            raise ValueError(
                f"'{prefix}past_mean_gradient' is of a checkpoint with compensated="
                f"{not self.compensated}, and this module has compensated={self.compensated}; "
                "build it as that one was"
            )
        for name, values in past.items():
            if values is not None:
                check_finite(f"{prefix}past_{name} of the checkpoint", values)
        super()._load_from_state_dict(state, prefix, *args)


class CrossIterationBatchNorm1d(CrossIteration, nn.BatchNorm1d):
    """Cross-Iteration BN of outputs (n, C) of a Linear, or (n, C, l) of a Conv1d layer."""


class CrossIterationBatchNorm2d(CrossIteration, nn.BatchNorm2d):
    """Cross-Iteration BN of outputs (n, C, H, W) of a Conv2d layer."""


def cross_iteration(
    window: int, burn_in: int = 0, compensated: bool = True
) -> Callable[[nn.Module], CrossIteration]:
    """Return the function that makes the normalization of a layer, for networks that take one.

    Parameters
    ----------
    window, burn_in, compensated
        As for :class:`CrossIteration`.
    """

    def normalization(layer: nn.Module) -> CrossIteration:
        is_flat = isinstance(layer, nn.Linear | nn.Conv1d)
        kind = CrossIterationBatchNorm1d if is_flat else CrossIterationBatchNorm2d
        return kind(layer, window, burn_in, compensated)

    return normalization
