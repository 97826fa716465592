"""The profiles: what they ask for is known, and every rule says what it asks a cluster for."""

from pathlib import Path

import pytest
import workflow_runs
from snakemake.cli import parse_args
from snakemake.iocontainers import Wildcards
from workflow_runs import ROOT

PROFILES = ROOT / "workflow" / "profiles"
# And tabulate*: they make tables and figures.
LOCAL = {"plot", "claims", "benchmark_tables", "page", "crate"}


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


@pytest.fixture(scope="module", params=["test.yaml", "benchmark.yaml"])
def rules(request):
    """The rules of a config, but for templates: those have no output."""
    return [rule for rule in workflow_runs.rules(ROOT / "config" / request.param) if rule.output]


def local(rule):
    return rule.name in rule.workflow._localrules


def test_tables_and_figures_are_made_where_snakemake_runs(rules):
    scripts = {rule.name: Path(rule.script).stem for rule in rules}
    expected = {
        name for name, script in scripts.items() if script in LOCAL or script.startswith("tabulate")
    }
    assert len(expected) > 10
    assert {rule.name for rule in rules if local(rule)} == expected


NAMES = {"images": "digits", "dataset": "digits", "bias": "digits", "learned": "digits"}
NAMES |= {
    "judged": "digits",
    "knobs": "digits",
    "crossed": "digits",
    "rescaled": "dense",
    "ridge": "digits",
}


def test_every_job_says_its_memory_and_time(rules):
    sent = [rule for rule in rules if not local(rule)]
    assert len(sent) >= 5
    assert not [rule.name for rule in sent if not {"mem_mb", "runtime"} <= rule.resources.keys()]


def test_a_job_that_is_repeated_asks_for_more():
    """Else it would be cut again. On digits a few minutes are enough, whatever is done."""
    made = workflow_runs.rules(ROOT / "config" / "test.yaml")
    sent = [rule for rule in made if rule.output and not local(rule)]
    for rule in (rule for rule in sent if "benchmark" not in rule.name):
        first, second = (asked(rule, attempt) for attempt in (1, 2))
        assert second == [2 * value for value in first], rule.name
        assert first[1] <= 60 or rule.name == "ridge_images"


def asked(rule, attempt) -> list:
    """Return the memory and time that an attempt at a rule's job asks for."""
    run = "bn" if rule.name == "train_sgd" else "full"
    resources = rule.expand_resources(Wildcards(fromdict=NAMES | {"run": run}), [], attempt)
    return [resources[name] for name in ("mem_mb", "runtime")]
