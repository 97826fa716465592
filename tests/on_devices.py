"""The same work on the CPU and on a CUDA device, one that is pretended or a real one."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
from pretended_cuda import pretended_cuda

# The pretended device computes the same sums in the same order, but for matrix products that NumPy
# takes on the CPU: some roundings of float32, the precision of weights and networks.
ROUNDING = 1e-5


KINDS = {"pretended": pretended_cuda, "real": nullcontext}


def both(kind, work):
    """Return what some work returns on the CPU and on the device."""
    here = work("cpu")
    with KINDS[kind]():
        return here, _on_the_host(work("cuda"))


def _on_the_host(values):
    """Return tensors of the device as such of the CPU, in whatever holds them."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    if isinstance(values, dict):
        return {name: _on_the_host(value) for name, value in values.items()}
    return [*map(_on_the_host, values)] if isinstance(values, list | tuple) else values


def assert_same(here, there, tolerance=ROUNDING, name=""):
    """Compare numbers, arrays, tables, and whatever holds them.

    The tolerance is relative to the largest number of an array, list or column. Clocks are left
    out, and gaps, which are small differences of large numbers that are compared themselves.
    """
    if isinstance(here, pd.DataFrame):
        here, there = here.to_dict("list"), there.to_dict("list")
    if isinstance(here, dict):
        assert here.keys() == there.keys()
        for key in here.keys() - {"seconds", "gap", "relative_gap"}:
            assert_same(here[key], there[key], tolerance, f"{name} {key}")
    elif isinstance(here, list | tuple) and not all(isinstance(v, int | float) for v in here):
        assert len(here) == len(there), name
        for a, b in zip(here, there, strict=True):
            assert_same(a, b, tolerance, name)
    elif isinstance(here, str):
        assert here == there, name
    else:
        a, b = (np.asarray(torch.as_tensor(v).detach(), dtype=float) for v in (here, there))
        size = np.abs(a[np.isfinite(a)]).max(initial=1e-300)
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * size, err_msg=name)
