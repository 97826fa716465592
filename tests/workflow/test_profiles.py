"""The profiles: what they ask for is known, and what a cluster is asked for is said by every rule."""

from pathlib import Path

import pytest
import workflow_runs
from snakemake.cli import parse_args
from workflow_runs import ROOT

PROFILES = ROOT / "workflow" / "profiles"
LOCAL = {"plot", "claims", "benchmark_tables"}  # and tabulate*: they make tables and figures


@pytest.fixture
def plugin():
    """The plugin that sends jobs to Slurm, which the environment of the tests does without."""
    reason = "the plugin for Slurm is not installed: `make .venv/slurm` does it"
    return pytest.importorskip("snakemake_executor_plugin_slurm", reason=reason)


def test_every_key_of_the_local_profile_is_known():
    _, args = parse_args(["--workflow-profile", str(PROFILES / "local")])
    assert args.keep_going


def test_every_key_of_the_slurm_profile_is_known(plugin, monkeypatch):
    """To Snakemake or to the plugin: an unknown one ends here."""
    monkeypatch.chdir(ROOT)
    _, args = parse_args(["--workflow-profile", str(PROFILES / "slurm")])
    assert args.executor == "slurm"
    assert args.slurm_status_command == "squeue"
    assert args.slurm_no_requeue
    known = {"retries", "jobs", "rerun_incomplete", "slurm_partition_config"}
    assert known <= vars(args).keys()


def test_every_key_of_the_partitions_is_known(plugin):
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    main, gpu = read_partition_file(PROFILES / "slurm" / "partitions.yaml")
    assert (main.limits.max_gpu, gpu.limits.max_gpu) == (0, 1)


def test_both_profiles_run_the_same_things_again():
    """A job is not repeated because it is done elsewhere."""
    shared = ("rerun-triggers:", "max-checksum-file-size:", "rerun-incomplete:", "keep-going:")
    local, slurm = (
        [
            line
            for line in (PROFILES / name / "config.yaml").read_text().splitlines()
            if line.startswith(shared)
        ]
        for name in ("local", "slurm")
    )
    assert len(local) == len(shared)
    assert sorted(local) == sorted(slurm)


@pytest.mark.parametrize("config", ["test.yaml", "benchmark.yaml"])
def test_tables_and_figures_are_made_where_snakemake_runs(config):
    rules = [rule for rule in workflow_runs.rules(ROOT / "config" / config) if rule.output]
    local = {rule.name for rule in rules if rule.name in rule.workflow._localrules}
    scripts = {rule.name: Path(rule.script).stem for rule in rules}
    expected = {
        name
        for name, script in scripts.items()
        if script in LOCAL or script.startswith("tabulate")
    }
    assert len(local) > 10
    assert local == expected
