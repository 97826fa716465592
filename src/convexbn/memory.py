"""How many bytes solving takes, and what would fit where they are not there.

Upper bounds of what lives at the same time besides the inputs themselves, for n samples, blocks of
p = r + 1 weights, P gates, C outputs and K patches. The gated program takes

    K n (12 p + P + 8 V C) + 4 p^2 + w p P C + pass + 4 N n^2:

its design in float64 and float32, its masks as bytes (on a device that they have to be moved to), V
vectors like the predictions, `U^T U`, w bytes per weight for the iterates of the solver and the
referee's, the intermediate of one pass (:func:`pass_bytes`), and, for a Newton method that forms
its Hessian, N float32 matrices. An exact program, whose blocks have f constraints each (K n unless
those that bound its cone are known), takes

    8 (S P (n + K n) p + R P K n + F P (f + p) p + N n^2):

S times designs A_i and constraints K_i, R vectors of multipliers per block, F times what is
factorized in a Newton step, and N matrices. To both comes what the libraries take for themselves,
`OVERHEAD`. Imports nothing heavy: :mod:`convexbn.footprint` uses the formulas too.
"""

import os
from pathlib import Path

# Bytes that the intermediates of one pass over the design may take: in the cache of a CPU, while a
# GPU wants few large products. With one thread 2 to 16 MiB are alike; with several, each product
# waits for all threads, and where others use the cores too, 2 MiB take seven times as long as 16.
PASS_BYTES, PASS_BYTES_ON_GPU = 16 * 2**20, 256 * 2**20
# But not fewer samples at once than these, as every product of a pass reads all blocks.
PASS_ROWS = 512

# The constants of the formulas, measured by tests/test_memory.py.
OVERHEAD = 32 * 2**20
WEIGHT_BYTES = {"group": 64, "nuclear": 96}
PREDICTION_VECTORS = 12
NEWTON_MATRICES = 3
EXACT_DESIGNS = 5
EXACT_FACTORS = 8
EXACT_ROWS = 24
EXACT_MATRICES = 2


def pass_rows(p, P, C, size=4, device="cpu") -> int:
    """Return how many samples a pass over the design takes at once; `size` is that of a number."""
    budget = PASS_BYTES if device == "cpu" else PASS_BYTES_ON_GPU
    return max(PASS_ROWS, budget // _pass_row(p, P, C, size))


def pass_bytes(n, p, P, C, size=8, device="cpu") -> int:
    """Return the bytes of the intermediates of one pass over n samples."""
    return min(n, pass_rows(p, P, C, size, device)) * _pass_row(p, P, C, size)


def _pass_row(p, P, C, size) -> int:
    """Return the bytes that one sample takes: the masks as numbers, and (narrow, C) of products."""
    return size * (P + min(p, P) * (1 + C))


def gated_bytes(n, p, P, C, patches=1, *, penalty="group", newton=False, device="cpu") -> int:
    """Return an upper bound of the bytes that solving the gated program takes besides its inputs.

    Parameters
    ----------
    n, p, P, C, patches : int
        Samples, r + 1, gates, outputs, patches per sample.
    penalty : {"group", "nuclear"}
    newton : bool
        Whether the solver forms n x n matrices.
    device : {"cpu", "cuda"}
    """
    rows = patches * n
    data = rows * (12 * p + P + 8 * PREDICTION_VECTORS * C) + 4 * p**2
    weights = WEIGHT_BYTES[penalty] * p * P * C
    matrices = 4 * NEWTON_MATRICES * n**2 if newton else 0
    return OVERHEAD + data + weights + pass_bytes(rows, p, P, C, device=device) + matrices


def exact_bytes(n, p, P, patches=1, *, facets=None) -> int:
    """Return an upper bound of the bytes that solving an exact program takes.

    Parameters
    ----------
    n, p, P, patches : int
        Samples, weights of a block, arrangements, patches per sample.
    facets : int, optional
        Constraints per block that are kept; by default all.
    """
    rows = patches * n
    kept = rows if facets is None else facets
    numbers = EXACT_DESIGNS * P * (n + rows) * p + EXACT_FACTORS * P * (kept + p) * p
    return OVERHEAD + 8 * (numbers + EXACT_ROWS * P * rows + EXACT_MATRICES * n**2)


def available(device="cpu") -> int | None:
    """Return the bytes that are free on a device, or None where the system does not say.

    On Linux memory that only caches files counts as free.
    """
    if str(device).startswith("cuda"):
        import torch

        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved  # what PyTorch holds and does not use
    status = Path("/proc/meminfo")
    if status.exists():
        lines = (line.split() for line in status.read_text().splitlines())
        return next((1024 * int(line[1]) for line in lines if line[0] == "MemAvailable:"), None)
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def check(n, p, P, C, patches=1, *, model="gated", device="cpu", budget=None, **options) -> None:
    """Raise ValueError, before anything large is allocated, for a program that does not fit.

    Parameters
    ----------
    n, p, P, C, patches : int
        As for :func:`gated_bytes`.
    model : {"gated", "relu", "relu_bn"}
    device : str or torch.device or None
        None is the CPU.
    budget : int, optional
        Bytes that may be used; by default what is free on the device.
    **options
        Others of :func:`gated_bytes` or :func:`exact_bytes`.

    Raises
    ------
    ValueError
        Saying what is needed, what there is, and the largest P and n that would fit.
    """
    device = str(device or "cpu")
    free = available(device) if budget is None else budget

    def needed(n, P):
        if model != "gated":
            return exact_bytes(n, p, P, patches, **options)
        return gated_bytes(n, p, P, C, patches, device=device, **options)

    if free is None or needed(n, P) <= free:
        return
    gates = _largest(lambda value: needed(n, value) <= free, P)
    samples = _largest(lambda value: needed(value, P) <= free, n)
    raise ValueError(
        f"n = {n}, r + 1 = {p}, P = {P}, C = {C}"
        + (f", {patches} patches" if patches > 1 else "")
        + f" need up to {_readable(needed(n, P))}, and {_readable(free)} are free on {device}; "
        + _advice(gates, samples)
    )


def _largest(fits, high: int) -> int:
    """Return the largest whole number below `high` that fits, 0 if none does, by bisection."""
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _advice(gates, samples) -> str:
    options = [f"P = {gates} gates" if gates else "", f"n = {samples} samples" if samples else ""]
    fitting = " or ".join(option for option in options if option)
    return f"{fitting} would fit" if fitting else "lower r, or take a device with more memory"


def _readable(size) -> str:
    """Return bytes in the largest unit that leaves a whole number of them."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
