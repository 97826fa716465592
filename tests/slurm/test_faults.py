"""Faults on a real cluster: after each the same numbers, and nothing that was finished done twice.

Those with a time to wait for run beside each other, in folders of their own.
"""

import contextlib
import json
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from results_compared import check_same_numbers
from slurm.cluster import NODES
from slurm.runs import check_done, late
from workflow_runs import ROOT, edited, snakemake

RESULTS = Path("results/test")


def test_time_limit_memory_limit_and_scancel_cost_one_attempt(start):
    timed, crowded, cancelled = start(600, 0, 1), start(0, 700), start(300)
    job, *_ = late(cancelled)
    cancelled.cluster.run("scancel", job)
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in cancelled.finish()
    assert "SLURM status is: 'FAILED'" in crowded.finish()
    (log,) = (crowded.folder / ".snakemake/slurm_logs/rule_late").glob("*.log")
    assert "exceeded memory limit" in log.read_text()
    assert "SLURM status is: 'TIMEOUT'" in timed.finish()
    for run in (timed, crowded, cancelled):
        check_done(run)


@contextlib.contextmanager
def crashed(cluster, node, steps=True):
    """Crash a node, and bring it back in the end."""
    cluster.crash(node, steps)
    try:
        yield
    finally:
        cluster.start_node(node)
        cluster.wait(lambda: cluster.idle() == set(NODES), "idle nodes")


def test_a_lost_node_costs_one_attempt(start):
    run = start(301)
    with crashed(run.cluster, late(run)[2]):
        assert "SLURM status is: 'NODE_FAIL'" in run.finish()
    check_done(run)


def test_a_job_that_outlives_its_slurmd_spoils_nothing(start):
    """It goes on beside its twin, and writes the same once more."""
    run = start(60)
    with crashed(run.cluster, late(run)[2], steps=False):
        assert "SLURM status is: 'NODE_FAIL'" in run.finish()
        check_done(run)
    check_done(run)


def test_an_interrupt_takes_jobs_out_of_the_queue_and_locks_nothing(start):
    run = start(303)
    late(run)
    run.process.send_signal(signal.SIGINT)
    run.finish(1)
    run.cluster.wait(lambda: not run.cluster.jobs(run.folder, "", "PD,R,CG"), "empty queue")
    run.start()
    run.finish()
    check_done(run)


def test_snakemake_that_was_killed_resumes(start):
    """By the words of docs/cluster.md: first its jobs are cancelled. No second one came between."""
    run = start(302)
    late(run)
    assert "LockException" in start(302).finish(1)
    assert run.process.poll() is None
    run.kill()
    cancel = re.search(r"^ +(squeue --me .*)$", (ROOT / "docs" / "cluster.md").read_text(), re.M)
    run.start()
    assert run.finish(1).count("LockException") > 1
    run.cluster.run("sh", "-c", cancel[1])
    run.cluster.wait(lambda: not run.cluster.jobs(run.folder, "late", "R,CG"), "cancelled job")
    run.start("--unlock")
    run.finish()
    run.start()
    run.finish()
    check_done(run)


TARGETS = ["tables/runs.csv", "figures/digits/accuracy.csv", "figures/digits/curves.csv"]
TARGETS = [str(RESULTS / target) for target in TARGETS]
JOBS = 18


def mini(config):
    """Two data sets, three convex runs, a network that trains longer than between checkpoints."""
    for key in config.keys() - {"pathvars", "datasets", "convex", "sgd"}:
        del config[key]
    for key, names in KEPT.items():
        config[key] = {name: config[key][name] for name in names}
    config["sgd"]["bn"].update(epochs=EPOCHS)


KEPT = {"datasets": ["digits", "patches"], "convex": ["full", "truncated10", "patches"]}
KEPT |= {"sgd": ["bn"]}
EPOCHS = 40_000  # a minute or more on one core, twice what lies between checkpoints


def test_numbers_are_those_of_a_local_run_also_where_jobs_were_cancelled(cluster, begin, tmp_path):
    config = edited("test.yaml", mini, tmp_path)
    sources = ("--snakefile", ROOT / "Snakefile", "--configfile", config)
    run = begin("cluster", *TARGETS, *sources)
    checkpoint = run.folder / RESULTS / "sgd/bn.checkpoint"
    cancel(run, {"solve_wildcards_full": lambda: True, "train_sgd_wildcards_bn": checkpoint.exists})
    local = tmp_path / "local"
    snakemake(*TARGETS, "--configfile", config, "--cores", "1", directory=local)
    said = run.finish()
    assert check_same_numbers(local / RESULTS, run.folder / RESULTS) >= 25
    assert len(re.findall("has been submitted with SLURM jobid", said)) == JOBS + 2
    assert said.count("SLURM status is: 'CANCELLED'") == 2
    log = (run.folder / RESULTS / "logs/train_sgd/bn.log").read_text()
    assert "going on from" in log
    assert "Slurm gave this job a GPU, but PyTorch finds no CUDA device" in log
    check_places(cluster.jobs(run.folder, "", "all"))


def over_nodes(config):
    """A run whose two processes are on a node each."""
    mini(config)
    config["device"] = "cpu"  # only one of the nodes has GPUs
    config["convex"]["full"].update(processes=2, nodes=2)


def test_a_solve_is_spread_over_nodes(cluster, begin, tmp_path):
    target, sources = RESULTS / "certificates/full.json", ("--snakefile", ROOT / "Snakefile")
    config = edited("test.yaml", over_nodes, tmp_path)
    run = begin("nodes", str(target), *sources, "--configfile", config)
    assert "No wall time information" not in run.finish()
    ((_, _, nodes, _),) = cluster.jobs(run.folder, "solve_over_nodes", "all")
    assert nodes == "node[1-2]"
    local = tmp_path / "local"
    local.mkdir()
    alone = edited("test.yaml", mini, local)
    snakemake(str(target), "--configfile", alone, "--cores", "1", directory=local)
    found, expected = (json.loads((place / target).read_text()) for place in (run.folder, local))
    ends = [[c["objective"] for c in each["certificates"]] for each in (found, expected)]
    # Within the tolerance of the config both are optimal.
    np.testing.assert_allclose(*ends, rtol=1e-4)


@pytest.fixture
def small_disk():
    """Return a function that makes a folder a disk of its own, and one that gives it more room."""
    mounted = []

    def mount(folder, size):
        folder.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if subprocess.run(words, check=False).returncode:
            pytest.skip("a disk of its own cannot be mounted here: that takes root")
        mounted.append(folder)
        (folder / "something").touch()  # Snakemake removes folders that it finds empty

    def extend(folder, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)

    yield mount, extend
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_costs_the_job_that_met_it(begin, small_disk, tmp_path):
    mount, extend = small_disk
    target, config = RESULTS / "gates/full.safetensors", edited("test.yaml", mini, tmp_path)
    disk = tmp_path / "disk" / RESULTS / "whitening"
    mount(disk, "16k")
    sources = ("--snakefile", ROOT / "Snakefile", "--configfile", config)
    run = begin("disk", str(target), *sources)
    said = run.finish(1)
    assert re.search(r"no space left to write .*whitening.*; free some and run again", said)
    extend(disk, "100m")
    run.start()
    said = run.finish().removeprefix(said)
    assert set(re.findall(r"^rule (\w+):", said, re.M)) == {"whiten", "sample_gates"}


def cancel(run, due):
    """Cancel a job of each rule, once it runs and is due."""

    def look():
        assert run.process.poll() is None, f"ended before jobs of {[*due]} were due"
        for rule in [rule for rule, is_due in due.items() if is_due()]:
            for job, *_ in run.cluster.jobs(run.folder, rule):
                run.cluster.run("scancel", job)
                due.pop(rule)
        return not due

    run.cluster.wait(look, "job to cancel")


def check_places(jobs):
    """Check that both nodes had jobs, and the partition with GPUs those that compute on one."""
    assert {node for _, _, node, _ in jobs} == set(NODES)
    on_gpu = {rule.split("_wildcards")[0] for _, partition, _, rule in jobs if partition == "gpu"}
    assert on_gpu == {"solve", "certify", "evaluate", "train_sgd"}
    assert {partition for _, partition, _, _ in jobs} == {"main", "gpu"}
