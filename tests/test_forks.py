"""Processes forked after computations on several threads compute too, on one thread."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Each is computed beside two threads at work, and then by two workers.
PROGRAM = """
import multiprocessing
import numpy as np
import torch
from sweep_features import SWEEP, make_features
from convexbn import activation, sample_gates, solve, train_exact, whiten
from convexbn.training.engine import train

torch.set_num_threads(2)
rng = np.random.default_rng(0)
X, y = rng.standard_normal((200, 4)), rng.standard_normal(200)
large = torch.ones(600, 600)


def gated(_):
    U = whiten(X).U
    solution = solve(U, activation(U, sample_gates(U, 20, 0)), y, 2.0)
    return solution.certificate.objective


def exact(_):
    return train_exact(whiten(X[:8]).U, y[:8], 1.0).certificate.objective


def networks(_):
    return train(make_features(), SWEEP)[0][-1]["objective"]


def threads(_):
    return torch.get_num_threads()


for work in (gated, exact, networks):
    (large @ large).exp().sum()
    alone = work(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        np.testing.assert_allclose(pool.map(work, range(2)), alone, rtol=1e-4)
        assert pool.map(threads, range(2)) == [1, 1]
    assert torch.get_num_threads() == 2
    print(work.__name__)
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no forks"
)
def test_forked_workers_compute_after_their_parent_did_on_two_threads():
    """Without the hook the first of them waits for ever."""
    # Threads that wait give way to others: a busy machine takes a minute otherwise.
    threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    environment = os.environ | threads | {"PYTHONPATH": _path()}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as run:
        try:
            out, error = run.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)  # the workers too
            raise
    assert (out.split(), run.returncode) == (["gated", "exact", "networks"], 0), error


def _path() -> str:
    """The path of this process, and the helpers of the tests."""
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
