"""A CUDA device that only claims to be there: its tensors say `cuda:0` and compute on the CPU.

It finds what goes wrong on a first run on a GPU: tensors left on the CPU (they may not meet those
of the device, but for single numbers and indices, as in PyTorch), NumPy taken of a device tensor,
generators and factories of the wrong device, and sums that a GPU takes in any order, so that they
do not repeat bit for bit. And it counts how often the host waits for the device, which on a GPU
costs more than the arithmetic of a small problem.

PyTorch's engine of automatic differentiation wants a real device. The graph is PyTorch's own, and
each node of it can be called by hand, so `backward` and `torch.autograd.grad` walk it here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

FREE, TOTAL = 8 * 2**30, 16 * 2**30  # bytes of its memory
NAME = "a device that is only claimed"

_GPU = torch.device("cuda", 0)
# Operations after which the host knows something that the device had to compute first: a number,
# the size of a result, or whether a factorization went well.
_WAITS = {
    *("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"),
    *("unique_consecutive", "_linalg_check_errors", "_linalg_eigh", "_linalg_svd", "linalg_qr"),
    *("linalg_lstsq", "linalg_eig"),
}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_STRICT = {"cat", "stack", "equal"}  # operations that take no number of the CPU, either
_MOVES = {"_to_copy", "copy_", "_copy_from"}
_IN_ANY_ORDER = {"cumsum", "cumsum_", "index_add", "index_add_", "scatter_add", "scatter_add_"}
_retaining: "dict[int, Pretended]" = {}  # what keeps its gradient and is no leaf


class Pretended(torch.Tensor):
    """A tensor of the device, around one of the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Pretended":
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=_GPU,
        )
        self.inner = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        raise AssertionError(f"{operation} of the device, outside of it or on another thread")

    def retain_grad(self) -> None:
        _retaining[id(self)] = self

    def numpy(self, **_: object):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def tolist(self) -> list:
        return self.cpu().tolist()  # one move, as on a GPU

    def __deepcopy__(self, memo: dict) -> "Pretended":
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        copied.__dict__ |= {k: v for k, v in self.__dict__.items() if k != "inner"}
        return memo.setdefault(id(self), copied)

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.inner.__reduce_ex__(protocol)  # in files, as read with map_location="cpu"

    def __repr__(self, **_: object) -> str:
        return f"{self.inner!r} on {NAME}"

    @property
    def data(self) -> "Pretended":
        return self.detach()

    @data.setter
    def data(self, values: torch.Tensor) -> None:
        assert isinstance(values, Pretended), "a parameter of the device gets data of the CPU"
        torch.Tensor.data.__set__(self, values)
        self.inner = values.inner


class PretendedDevice(TorchDispatchMode):
    """The device.

    Attributes
    ----------
    waits : Counter
        How often the host waited, by the name of the operation. A move to the host is "to the
        host"; one "to the device" ends only when the device has come to it, too, as its memory on
        the host may be written over next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def counted(self, work, *args, **kwargs) -> int:
        """Return how often the host waits for the device during a call."""
        before = self.waits.total()
        work(*args, **kwargs)
        return self.waits.total() - before

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # a compiler is of no use here, and slow to import

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name, kwargs = operation._schema.name.removeprefix("aten::"), dict(kwargs or {})
        given = list(_tensors((*args, *kwargs.values())))
        here = [tensor for tensor in given if isinstance(tensor, Pretended)]
        if name not in _MOVES and len(here) < len(given):
            self._check_company(operation, name, args, given, here)
        on_device = bool(here)
        if kwargs.get("device") is not None:
            on_device = torch.device(kwargs["device"]).type == "cuda"
            kwargs["device"] = torch.device("cpu")
            if on_device and kwargs.get("generator") is not None:
                raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if name == "copy_":
            on_device = isinstance(args[0], Pretended)
        if here:
            self._count(name, args, on_device)
        elif name in _MOVES and on_device:
            self.waits["to the device"] += 1
        owners = {id(tensor.inner): tensor for tensor in here}
        args, kwargs = _inner(args), {key: _inner(value) for key, value in kwargs.items()}
        if on_device and name in _IN_ANY_ORDER and _is_rounded(name, args):
            raise RuntimeError(f"{operation} does not have a deterministic implementation on cuda")
        return _wrapped(operation(*args, **kwargs), owners, on_device)

    def _check_company(self, operation, name, args, given, here) -> None:
        """Refuse what PyTorch refuses: tensors of two devices, but for numbers and indices."""
        indices = _tensors(args[1]) if name in _INDEXING and isinstance(args[0], Pretended) else ()
        allowed = {id(index) for index in indices}
        least = 0 if name in _STRICT else 1  # dimensions of what may not be of the CPU
        apart = [
            tensor
            for tensor in given
            if not isinstance(tensor, Pretended)
            and tensor.ndim >= least
            and id(tensor) not in allowed
        ]
        if here and apart:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {operation} got "
                f"{[tuple(t.shape) for t in here]} on cuda:0 and "
                f"{[tuple(t.shape) for t in apart]} on the CPU"
            )

    def _count(self, name: str, args: tuple, on_device: bool) -> None:
        if name in _MOVES and not on_device:
            self.waits["to the host"] += 1
        elif name in _WAITS:
            self.waits[name] += 1
        elif name in _INDEXING:
            masks = [index for index in _tensors(args[1]) if _is_mask(index)]
            self.waits["index by a mask"] += len(masks)
        elif name == "repeat_interleave":
            self.waits[name] += 1


def _is_rounded(name: str, args: tuple) -> bool:
    """Return whether the order of a sum changes it: there is more than one number that is not 0."""
    if not args[0].is_floating_point():
        return False
    if not name.startswith("scatter_add"):
        return True
    into, dim, index, values = args
    counts = (into != 0).long().scatter_add(dim, index, (values != 0).long())
    return bool((counts > 1).any())


def _is_mask(index: torch.Tensor) -> bool:
    return isinstance(index, Pretended) and index.dtype in (torch.bool, torch.uint8)


def _tensors(values: Iterable) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments, and in the lists among these."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _inner(value: object) -> object:
    """Return arguments with the CPU's tensors in the place of the device's."""
    if isinstance(value, Pretended):
        return value.inner
    return type(value)(map(_inner, value)) if type(value) in (list, tuple) else value


def _wrapped(value: object, owners: dict, on_device: bool) -> object:
    """Return results as tensors of their device; what was written in place is its argument."""
    if isinstance(value, list | tuple):
        return type(value)(_wrapped(v, owners, on_device) for v in value)
    if not isinstance(value, torch.Tensor):
        return value
    if id(value) in owners:
        owner = owners[id(value)]
        assert owner.shape == value.shape, "the device cannot change a shape in place"
        return owner
    return Pretended(value) if on_device else value


# --- derivatives ----------------------------------------------------------------------------------


def _walk(output: torch.Tensor, seed: torch.Tensor) -> Iterator[tuple[object, dict]]:
    """Yield each node of the graph below an output, once the gradients of its outputs are known."""
    edge = torch.autograd.graph.get_gradient_edge(output)
    root, slot = edge.node, edge.output_nr
    waiting: Counter[object] = Counter()
    nodes, stack = {root}, [root]
    while stack:
        for child, _ in stack.pop().next_functions:
            if child is not None:
                waiting[child] += 1
                if child not in nodes:
                    nodes.add(child)
                    stack.append(child)
    gradients: dict[object, dict[int, torch.Tensor]] = {root: {slot: seed}}
    ready = [root]
    while ready:
        node = ready.pop()
        own = gradients.pop(node, {})
        yield node, own
        for (child, place), g in zip(node.next_functions, _through(node, own), strict=True):
            if child is None:
                continue
            if g is not None:
                known = gradients.setdefault(child, {})
                g = g.sum_to_size(_expected(child, place))  # what was broadcast on the way down
                known[place] = known[place] + g if place in known else g
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)


def _expected(node, place: int) -> torch.Size:
    leaf = getattr(node, "variable", None)
    return node._input_metadata[place].shape if leaf is None else leaf.shape


def _through(node, own: dict[int, torch.Tensor]) -> list[torch.Tensor | None]:
    """Return the gradients of a node's inputs."""
    if not own or not node.next_functions:
        return [None] * len(node.next_functions)
    full = [
        own[k] if k in own else torch.zeros(meta.shape, dtype=meta.dtype, device=meta.device)
        for k, meta in enumerate(node._input_metadata)
    ]
    found = node.apply(*full) if hasattr(node, "apply") else node(*full)
    found = list(found) if isinstance(found, tuple) else [found]
    while len(found) > len(node.next_functions):  # arguments that are no tensors
        found.remove(None)
    return found


def _seed(output: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
    return torch.ones_like(output) if given is None else given


def _only(values):
    (value,) = values if isinstance(values, tuple | list) else (values,)
    return value


def _backward(real, tensors, grad_tensors=None, *args, **kwargs) -> None:
    output = _only(tensors)
    if not isinstance(output, Pretended):
        return real(tensors, grad_tensors, *args, **kwargs)
    with torch.no_grad():
        for node, own in _walk(output, _seed(output, _only(grad_tensors))):
            leaf = getattr(node, "variable", None)
            for kept in _retaining.values():
                edge = torch.autograd.graph.get_gradient_edge(kept)
                if edge.node is node:
                    kept.grad = own[edge.output_nr]
            if leaf is not None and own:
                assert leaf.device == own[0].device, "a gradient on another device than its leaf"
                leaf.grad = own[0] if leaf.grad is None else leaf.grad + own[0]


def _grad(real, outputs, inputs, grad_outputs=None, *args, **kwargs) -> tuple:
    output = _only(outputs)
    if not isinstance(output, Pretended):
        return real(outputs, inputs, grad_outputs, *args, **kwargs)
    assert not kwargs.get("create_graph"), "the device has first derivatives only"
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    edges = [torch.autograd.graph.get_gradient_edge(value) for value in inputs]
    found = {}
    with torch.no_grad():
        for node, own in _walk(output, _seed(output, _only(grad_outputs))):
            found |= {k: own.get(e.output_nr) for k, e in enumerate(edges) if e.node is node}
    return tuple(found.get(k) for k in range(len(edges)))


# --- the device as a whole ------------------------------------------------------------------------


def _stand_ins() -> dict[str, object]:
    """Return what takes the place of the functions of torch.cuda that ask the driver."""
    return {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: NAME,
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (FREE, TOTAL),
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
        "max_memory_allocated": lambda device=None: 0,
        "reset_peak_memory_stats": lambda device=None: None,
        # It draws from the generator of the CPU.
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
        "manual_seed_all": lambda seed: None,
    }


@contextmanager
def pretended_cuda() -> Iterator[PretendedDevice]:
    """Pretend that there is a CUDA device, on this thread; skip the test where that cannot be."""
    if not torch.backends.cuda.is_built():
        pytest.skip("this PyTorch is built without CUDA, and knows no tensors of such a device")
    if torch.cuda.is_available():
        pytest.skip("there is a real device, which the pretended one would hide")
    torch._C._ensureCUDADeviceGuardSet()  # one that does nothing, where there is no device
    torch._C._set_only_lift_cpu_tensors(True)  # data become a tensor of the CPU, and then move
    backward, grad = torch.autograd.backward, torch.autograd.grad
    with ExitStack() as stack:
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)
        stack.callback(_retaining.clear)
        stack.enter_context(
            torch.backends.cudnn.flags(enabled=False)
        )  # what PyTorch has of its own
        # Parameters of a module that moves are made anew: the old ones cannot become other tensors.
        stack.callback(
            torch.__future__.set_overwrite_module_params_on_conversion,
            torch.__future__.get_overwrite_module_params_on_conversion(),
        )
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        # Tensors of a subclass know no inference mode; its nearest kin keeps no graph either.
        keep_graph = lambda mode=True: torch.set_grad_enabled(not mode)  # noqa: E731
        stack.enter_context(patch.object(torch, "inference_mode", keep_graph))
        for name, function in _stand_ins().items():
            stack.enter_context(patch.object(torch.cuda, name, function))
        for name, ours, real in (("backward", _backward, backward), ("grad", _grad, grad)):
            stand_in = lambda *a, _ours=ours, _real=real, **k: _ours(_real, *a, **k)  # noqa: E731
            stack.enter_context(patch.object(torch.autograd, name, stand_in))
        device = stack.enter_context(PretendedDevice())
        wait = lambda of=None: device.waits.update(["synchronize"])  # noqa: E731
        stack.enter_context(patch.object(torch.cuda, "synchronize", wait))
        yield device
