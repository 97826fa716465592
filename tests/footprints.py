"""Memory that work really takes, against its estimate."""

import subprocess
import sys

from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import Size

CIFAR = {"source": "cifar10", "train": None, "validation": 5000, "test": None, "pool": 1}

MEASURE = """
import os, resource
import numpy as np
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.experiments.headline.stages import certify_run, evaluate_run, solve_run
from convexbn.experiments.headline.run import Run, Settings
from convexbn.whitening import whiten
import torch

def mb():
    if os.path.exists("/proc/self/status"):
        # The resource usage counts what the parent process had before this one began.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in status if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: in bytes

torch.set_num_threads(1)
(torch.ones(99, 99) @ torch.ones(99, 99)).sum()
n, m, d, C, K = {size}
rng = np.random.default_rng(0)
base = mb()
{work}
print(base, mb())
"""


def measured(size: Size, work: str) -> tuple[float, float]:
    """Run `work` in a process of its own; return MB after the imports, and at the peak."""
    program = MEASURE.format(size=(size.n, size.m, size.d, size.C, size.K), work=work)
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    base, peak = map(float, run.stdout.split())
    return base, peak


def check(estimate, base, peak):
    assert peak <= estimate < 10 * peak
    # And not only thanks to what is set aside for the interpreter, which is there also for the
    # buffers of BLAS and the allocator: some ten MB, whatever the size of the problem.
    assert base <= footprint._INTERPRETER
    assert peak - base <= estimate - footprint._INTERPRETER + 20
