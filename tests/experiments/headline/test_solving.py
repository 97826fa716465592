"""Solves from files to files, by processes that share the training samples."""

import itertools
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from convexbn.arrangements.gates import sample_gates
from convexbn.experiments.headline import solving
from convexbn.experiments.headline.solving import solve_files
from convexbn.pipeline import logs
from convexbn.pipeline.artifacts import load_tensors, read_table, save_tensors
from convexbn.whitening import whiten

K, d, C, P = 2, 4, 3, 6
BETAS = [2.0, 1.0]
SIZES = {"train": 31, "validation": 9, "test": 11}  # no number of processes divides 31


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The arguments of a solve that has been done by one process."""
    folder, rng = tmp_path_factory.mktemp("solving"), np.random.default_rng(0)
    features = {}
    for split, n in SIZES.items():
        features[f"X_{split}"] = rng.standard_normal((K, n, d)).astype(np.float32)
        features[f"labels_{split}"] = features[f"X_{split}"].sum(axis=0)[:, :C].argmax(axis=1)
    features["Y_train"] = np.eye(C, dtype=np.float32)[features["labels_train"]]
    whitening = whiten(features["X_train"].reshape(-1, d))
    gates = {"gates": sample_gates(whitening.U[:, [0, 1, 2, -1]], P, 5)[None]}
    gates |= {"seeds": np.array([5]), "seconds": np.array([1.0])}
    svd = {**whitening.tensors(), "seconds": np.array(1.0)}
    work = {
        name: str(folder / f"{name}.safetensors") for name in ("features", "whitening", "gates")
    }
    for name, tensors in (("features", features), ("whitening", svd), ("gates", gates)):
        save_tensors(work[name], tensors, {})
    entry = {"rank": 3, "gates": P, "betas": BETAS, "seeds": 1, "tolerance": 1e-8}
    work |= {"entry": entry, "labels": {"run": "r"}, "device": "cpu"}
    return work | outputs(folder, 1)


def outputs(folder, processes):
    return {
        "solutions": str(folder / f"{processes}.safetensors"),
        "history": str(folder / f"{processes}.csv"),
    }


def test_over_nodes_a_torchrun_starts_on_each_and_they_meet_on_the_first(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    started = []
    monkeypatch.setattr(os, "execvp", lambda _, command: started.append(command))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # put back in the end
    for nodes in (2, 1):
        solving.become(4, nodes, 6, {}, "the.log")
        assert os.environ["OMP_NUM_THREADS"] == str(6 * nodes // 4)
    spread, together = started
    assert spread[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert spread[4] == "--cpus-per-task=6"
    options, expected = dict(itertools.pairwise(spread)), {"--nproc-per-node": "2", "--nnodes": "2"}
    assert options.items() >= (expected | {"--rdzv-id": "17"}).items()
    assert options["--rdzv-endpoint"].startswith(f"{socket.gethostname()}:2")
    assert together[0] == sys.executable
    assert "--standalone" in together
    assert spread[-2:] == together[-2:] == ["{}", "the.log"]


@pytest.mark.slow
def test_processes_find_what_one_finds(work, tmp_path):
    """Four at once: each takes seconds to start. Fewer are tested as threads, in programs/."""
    processes = 4
    solve_files(**work)
    shared = work | outputs(tmp_path, processes)
    home = "convexbn.experiments.headline.solving"
    log = tmp_path / "log"
    code = f"from convexbn.pipeline import logs; logs.start({str(log)!r})\n"
    code += (
        f"from {home} import become; become({processes}, 1, {processes}, {shared}, {str(log)!r})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, log.read_text()
    assert logs.last_attempt(log).ended
    alone, found = (load_tensors(which["solutions"]) for which in (work, shared))
    assert alone.keys() == found.keys()
    for b in range(len(BETAS)):
        # Gaps of 1e-8 leave sqrt(2e-8) to predictions near 1; the same steps, of which Newton's
        # directions are rounded to float32, leave a tenth of that.
        for name in (f"weights.0.{b}", f"dual.0.{b}"):
            np.testing.assert_allclose(found[name], alone[name], rtol=0, atol=1e-5)
    last, ends = (read_table(which["history"]).groupby("beta").last() for which in (shared, work))
    # The bound's sums are in another order, and the tolerance is 1e-8.
    np.testing.assert_allclose(last["objective"], ends["objective"], rtol=1e-8)
    for column in ("train_accuracy", "test_accuracy"):
        np.testing.assert_array_equal(last[column], ends[column])
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".csv", ""}


def test_a_process_without_a_gpu_of_its_own_says_what_to_do(monkeypatch):
    for name, value in {"RANK": 1, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(solving.sys, "argv", ["solving", json.dumps({"device": "cuda"})])
    monkeypatch.setattr(solving.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SystemExit, match="finds 1 for 4; lower `processes`"):
        solving.main()
