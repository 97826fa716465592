"""Memory that work really takes, against its estimate."""

import ctypes
import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor

from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import Size

CIFAR = {"source": "cifar10", "train": None, "validation": 5000, "test": None, "pool": 1}

MEASURE = """
import numpy as np
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.experiments.headline.stages import certify_run, evaluate_run, solve_run
from convexbn.experiments.headline.run import Run, Settings
from convexbn.whitening import whiten
from footprints import mb
import torch

torch.set_num_threads(1)
(torch.ones(99, 99) @ torch.ones(99, 99)).sum()
n, m, d, C, K = {size}
rng = np.random.default_rng(0)
base = mb()
{work}
peak = mb()
"""

# A server makes the imports, which take longer than most of the work, and is forked for each
# program: the peak of a process is counted from its own beginning.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["convexbn.experiments.headline.stages", "convexbn.training.engine"])


# MB of the buffers of BLAS and of the allocator, whatever the size of the problem.
ALLOCATOR = 20


def mb() -> float:
    """Return the peak of this process's memory so far."""
    if os.path.exists("/proc/self/status"):
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: in bytes


def held() -> float:
    """Return the MB that this process holds now; Linux only."""
    return _status("VmRSS")


def _status(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if key in line)


def run_alone(program: str, *names: str) -> tuple:
    """Run a program in a process of its own; return the values of some of its names."""
    with ProcessPoolExecutor(1, mp_context=SERVER) as pool:
        return pool.submit(_values, program, names).result()


def _values(program, names):
    _give_back_freed_memory()
    namespace = {}
    exec(program, namespace)
    return tuple(namespace[name] for name in names)


def _give_back_freed_memory():
    """Let the C library (glibc) give every array of 1 MiB or more a mapping of its own.

    By default it learns from what is freed to keep such arrays in its heap. The gaps between them
    then depend on where the kernel put the heap: the same work was seen to take from 154 to 209 MB.
    In a job they come out of the interpreter's share, which has room for them.
    """
    threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(threshold, 2**20)


def measured(size: Size, work: str) -> tuple[float, float]:
    """Run `work` in a process of its own; return MB after the imports, and at the peak."""
    sizes = size.n, size.m, size.d, size.C, size.K
    return run_alone(MEASURE.format(size=sizes, work=work), "base", "peak")


def check(estimate, base, peak):
    assert peak <= estimate < 10 * peak
    # And not only thanks to what is set aside for the interpreter.
    assert base <= footprint._INTERPRETER
    assert peak - base <= estimate - footprint._INTERPRETER + ALLOCATOR
