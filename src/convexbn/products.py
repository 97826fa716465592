"""How matrices are multiplied: on a CPU fast, on as many threads as pay; on a GPU repeatably.

On a CPU it is by the faster of the two libraries in PyTorch.
PyTorch leaves these products to MKL, which does not use AVX-512 on AMD processors: there oneDNN is
about twice as fast. PyTorch's one public way to oneDNN is the setting that allows bfloat16 inside
them. oneDNN uses bfloat16 only with AMX, which a trial product shows: where one is less accurate
than float32, or PyTorch has no such setting, MKL goes on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import torch

# Multiplications in a product from which oneDNN is faster: to call it takes 10 us more.
LARGE = 2**21
# Multiplications in a pass over a design up to which one thread is faster than two: those would
# wait for each other at every operation; on a busy machine for longer than they work, and on an
# idle virtual one up to 40 ms until the second core is awake.
SMALL = 2**24
_ACCURATE = 2.0**-16  # between the roundings of bfloat16 and float32, 2^-9 and 2^-24
_TRIAL = 64, 1024, 64  # of the sizes that are left to oneDNN

# None where PyTorch is older than the setting.
_SETTING: Any = getattr(torch.backends.mkldnn, "matmul", None)

_lock = threading.Lock()
_users = 0  # threads of this process that are within `fast_products`
_before = "none"


@contextmanager
def fast_products(multiplications: int) -> Iterator[None]:
    """Compute float32 products on the CPU by oneDNN where it is as accurate as MKL, and faster.

    The setting is that of the whole process until the last thread leaves: callbacks and other
    threads see it meanwhile. Then it is what it was, by itself and no longer by a more general one.

    Parameters
    ----------
    multiplications : int
        In a product, the three lengths multiplied; 0 where a GPU computes it. oneDNN is taken from
        :data:`LARGE` on.
    """
    if multiplications < LARGE or not _is_accurate():
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


@contextmanager
def threads_for(multiplications: float) -> Iterator[None]:
    """Compute on one thread of the CPU where the work is small.

    Parameters
    ----------
    multiplications : float
        In a pass over the design. Above :data:`SMALL` the threads stay as many as they are.
    """
    threads = torch.get_num_threads()
    if multiplications > SMALL or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def repeatable(device: str | torch.device) -> Iterator[None]:
    """Compute on a CUDA device in float32 itself, and by convolutions that repeat bit for bit.

    There PyTorch's own settings round the inputs of convolutions to TF32, of 10 bits, and let cuDNN
    choose kernels that add in any order. An environment variable can do the same to products.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    exact = _exact_settings()
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in exact]
    try:
        for owner, name, value in exact:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _exact_settings() -> list[tuple[Any, str, Any]]:
    """Return the settings of CUDA that repeat, and round to float32: owners, names and values."""
    products, convolutions = torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn)
    settings = [(convolutions, "benchmark", False), (convolutions, "deterministic", True)]
    if _has_older_settings():
        return [*settings, (products, "allow_tf32", False), (convolutions, "allow_tf32", False)]
    precise = "fp32_precision", "ieee"
    return [*settings, (products, *precise), (convolutions.conv, *precise)]


def _has_older_settings() -> bool:
    """Return whether a precision can be set by its older names, and then be what it was.

    They fail once a program has set one by its newer name, and do not lead back to "medium".
    """
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        return True
    try:
        settings = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        return torch.get_float32_matmul_precision() != "medium" and None not in settings
    except RuntimeError:
        return False


def sums_of_groups(groups: torch.Tensor, x: torch.Tensor, count: int) -> torch.Tensor:
    """Return the sums (count, p) of the rows of x (m, p) in each group, given that of each (m,).

    The same every time: on a GPU, where `index_add_` adds in any order, by a product.
    """
    if x.device.type == "cpu":
        return x.new_zeros(count, x.shape[1]).index_add_(0, groups, x)
    each = torch.arange(count, device=x.device)[:, None]
    return (groups == each).to(x.dtype) @ x


def sums_so_far(x: torch.Tensor) -> torch.Tensor:
    """Return the sums (r,) of the entries of x (r,) up to each of them.

    The same every time: on a GPU, where `cumsum` adds in any order, by a product.
    """
    if x.device.type == "cpu":
        return x.cumsum(0)
    return x.new_ones(len(x), len(x)).tril() @ x


def are_fast() -> bool:
    """Return whether a thread of this process is within :func:`fast_products`, by oneDNN."""
    return _users > 0


def _enter() -> None:
    global _users, _before
    with _lock:
        if _users == 0:
            _before = _SETTING.fp32_precision
            _SETTING.fp32_precision = "bf16"
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _SETTING.fp32_precision = _before


@cache
def _is_accurate() -> bool:
    """Return whether oneDNN computes a product in float32 where it may round to bfloat16."""
    if not (torch.backends.mkldnn.is_available() and _SETTING):
        return False
    m, k, n = _TRIAL
    generator = torch.Generator("cpu").manual_seed(0)
    A, B = (torch.randn(s, generator=generator, device="cpu") for s in ((m, k), (k, n)))
    _enter()
    try:
        error = (A @ B - A.double() @ B.double()).abs()
    finally:
        _leave()
    return bool((error <= _ACCURATE * (A.abs() @ B.abs())).all())
