"""Weight rescaling: filters that batch normalization follows are set back to norm 1.

Batch normalization BN(w * x) does not change when w is multiplied by c > 0. So the gradient g of a
loss is orthogonal to w, and a step of SGD at the rate eta makes it longer,

    ||w - eta g||^2 = ||w||^2 + eta^2 ||g||^2,    g(c w) = g(w) / c,

by which its effective learning rate eta / ||w||^2 falls. Weight decay shortens w again. Weight
rescaling (Liu et al. 2021) does so directly: once an epoch each output filter is divided by its
norm, which leaves the function of the network as it is. Weights that no normalization follows,
like those of the classifier, are not rescaled.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from convexbn.inputs import check_between

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # one output filter per row of the weight
STEPS = "rescaling_steps"  # the key of the optimizer's first group that counts steps
Types = tuple[type[nn.Module], ...]


def normalized_layers(network: nn.Module, normalizations: Types = ()) -> dict[str, str]:
    """Return the layers whose output goes into a batch normalization and nowhere else.

    They are read from the graph of the network's forward pass. A layer does not count if anything
    stands between it and the normalization, if it or the normalization is called twice, or if its
    weight is shared, computed or used elsewhere. Nor do group and layer normalization count: over
    several channels they do not undo the scale of one filter.

    Parameters
    ----------
    network : Module
    normalizations : tuple of types
        Modules that normalize each channel, besides the batch normalizations of PyTorch.

    Returns
    -------
    dict of str
        From the name of a layer, a linear one of inputs (n, d) or a convolution, to that of its
        normalization, in the order of the forward pass.

    Raises
    ------
    ValueError
        If the forward pass cannot be traced, or no layer counts.
    """
    kinds: tuple = (_BatchNorm, *normalizations)
    graph, shared = _traced(network, kinds), _shared(network, kinds)
    times = Counter(node.target for node in graph.nodes if node.op == "call_module")
    used = {id(_attribute(network, node)) for node in graph.nodes if node.op == "get_attr"}
    found = {}
    for name, after in _pairs(graph):
        layer = network.get_submodule(name)
        fits = isinstance(layer, LAYERS) and isinstance(network.get_submodule(after), kinds)
        # A weight that is computed is none of the layer's parameters.
        own = {id(p) for p in layer.parameters(recurse=False)}
        is_own = id(layer.weight) in own and not own & (shared | used) if fits else False
        if is_own and times[name] == times[after] == 1:
            found[name] = after
    if not found:
        raise ValueError(
            "the network has no BN to rescale: none of its linear layers or convolutions goes into "
            "a batch normalization and nowhere else; normalizations= names other types that "
            "normalize each channel"
        )
    return found


class _Tracer(fx.Tracer):
    """A tracer that looks into no layer and no normalization, whoever wrote them."""

    def __init__(self, leaves: Types) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self.leaves) or super().is_leaf_module(m, module_qualified_name)


def _traced(network: nn.Module, kinds: tuple) -> fx.Graph:
    try:
        return _Tracer((*LAYERS, *kinds)).trace(network)
    except Exception as error:  # whatever a forward pass does with what is no tensor
        raise ValueError(
            "the layers that a batch normalization follows cannot be told, as the network's "
            f"forward pass cannot be traced ({type(error).__name__}: {error}); a forward pass "
            "without conditions on its input can be"
        ) from error


def _pairs(graph: fx.Graph) -> Iterator[tuple[str, str]]:
    """Yield the names of modules whose output goes into one module alone, and that one's."""
    for node in graph.nodes:
        users = list(node.users)
        if node.op == "call_module" and [user.op for user in users] == ["call_module"]:
            yield node.target, str(users[0].target)


def _attribute(network: nn.Module, node: fx.Node) -> Any:
    module, _, name = str(node.target).rpartition(".")
    return getattr(network.get_submodule(module), name)


def _shared(network: nn.Module, kinds: tuple) -> set[int]:
    """Return the parameters that more than one module has, besides normalizations."""
    seen: set[int] = set()
    again: set[int] = set()
    for module in network.modules():
        if not isinstance(module, kinds):
            for p in module.parameters(recurse=False):
                (again if id(p) in seen else seen).add(id(p))
    return again


class WeightRescaling:
    """The rescaling step, as a hook on an optimizer of `torch.optim`.

    Every `every` steps each filter is divided by its norm, and with it the filter's bias and the
    running mean and variance of its channel (of a cross-iteration BN, what it remembers, too): the
    output of the network stays as it is, in training and in evaluation, up to the eps of the
    normalization. Of an output normalized by a variance v, that changes a share of about
    eps |norm^2 - 1| / (2 v). Filters of norm 0 are left alone. So are the buffers of the optimizer:
    its momentum is that of the gradients at the former norms, as in the paper.

    Steps are counted in `optimizer.param_groups[0]["rescaling_steps"]`, which the optimizer's
    `state_dict` holds: a training that is resumed rescales when it would have without the break.
    An optimizer can have one such hook.

    Parameters
    ----------
    network : Module
    optimizer : torch.optim.Optimizer
        Of the network's parameters.
    every : int
        Steps from one rescaling to the next, those of an epoch in the paper.
    layers : sequence of str, optional
        The names of the layers to rescale; by default all of :func:`normalized_layers`.
    normalizations : tuple of types
        As of :func:`normalized_layers`.

    Attributes
    ----------
    layers : tuple of str

    Raises
    ------
    ValueError
        As :func:`normalized_layers`; if no normalization follows one of `layers`, or the optimizer
        does not train it.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        every: int,
        layers: Sequence[str] | None = None,
        normalizations: Types = (),
    ) -> None:
        check_between("every", every, 1, 10**9)
        found = normalized_layers(network, normalizations)
        self.layers = tuple(found) if layers is None else tuple(layers)
        for name in self.layers:
            _check_layer(name, network, found, optimizer)
        self.every, self.optimizer = every, optimizer
        self._pairs: list[tuple[Any, nn.Module]] = [
            (network.get_submodule(name), network.get_submodule(found[name]))
            for name in self.layers
        ]
        optimizer.param_groups[0].setdefault(STEPS, 0)
        flat = [layer for layer, _ in self._pairs if isinstance(layer, nn.Linear)]
        self._handles = [
            optimizer.register_step_post_hook(self._after_step),
            *(layer.register_forward_hook(_check_flat) for layer in flat),
        ]

    def remove(self) -> None:
        """Detach the hook, and forget the number of steps."""
        for handle in self._handles:
            handle.remove()
        self.optimizer.param_groups[0].pop(STEPS, None)

    @torch.no_grad()
    def rescale(self) -> None:
        """Set every filter of the layers to norm 1 now."""
        for layer, normalization in self._pairs:
            norm = torch.linalg.vector_norm(layer.weight.flatten(1), dim=1)
            scale = torch.where((norm > 0) & norm.isfinite(), norm, 1)
            layer.weight.div_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
            for values, power in _of_channel(layer, normalization):
                values.div_((scale**power).to(values.dtype))

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        group = optimizer.param_groups[0]
        if STEPS not in group:
            raise ValueError(
                "the optimizer has loaded a state that was saved without weight rescaling, and the "
                "number of steps since the last rescaling is unknown; attach WeightRescaling to "
                "it after loading"
            )
        group[STEPS] += 1
        if group[STEPS] % self.every == 0:
            self.rescale()


def _of_channel(layer: nn.Module, normalization: nn.Module) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield what goes with the output of each filter, and with which power of its scale.

    Channels are on the last axis. The last three are of :mod:`convexbn.networks.cross_iteration`,
    where the gradient of a variance is in proportion to the weights.
    """
    for module, name, power in (
        (layer, "bias", 1),
        (normalization, "running_mean", 1),
        (normalization, "running_var", 2),
        (normalization, "past_mean", 1),
        (normalization, "past_variance", 2),
        (normalization, "past_variance_gradient", 1),
    ):
        if isinstance(values := getattr(module, name, None), torch.Tensor):
            yield values.mT if name.endswith("gradient") else values, power


def _check_layer(
    name: str, network: nn.Module, found: dict[str, str], optimizer: torch.optim.Optimizer
) -> None:
    if name not in found:
        raise ValueError(
            f"layers must be some of those that a batch normalization follows, {', '.join(found)}; "
            f"got '{name}', whose scale matters"
        )
    weight = network.get_submodule(name).weight
    if not any(weight is p for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"the optimizer does not train the weight of the layer '{name}'; give it that of this "
            "network, or name the layers that it trains"
        )


def _check_flat(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
    """Raise ValueError where the channels of a linear layer are not those of BN after it."""
    if output.ndim != 2:
        raise ValueError(
            "a linear layer whose filters are rescaled must have inputs of shape (n, d), got "
            f"{tuple(inputs[0].shape)}: batch normalization takes the axis after the first for "
            "the channels; leave it out of layers="
        )
