"""The Makefile in any folder, with any name of a config, and with a stranger's variables set."""

import os
import re
import shutil
import signal
import subprocess

import pytest
from workflow_runs import ROOT

# Stands in for the environment's interpreter: says what it is asked, and in which surroundings.
PYTHON = """#!/bin/sh
echo "asked:$(printf ' [%s]' "$@")"
env | grep -E '^(PYTHONPATH|PYTHONHOME|SNAKEMAKE_PROFILE|CIFAR_DIR)=' || true
"""
FOLDERS = ["my repo", "it's", "a#b", "do$HOME", 'q"uote', "a;b&c(d)", "größe"]


@pytest.fixture(params=FOLDERS)
def project(request, tmp_path):
    folder = tmp_path / request.param
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "requirements-slurm.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv" / "bin" / "python").write_text(PYTHON)
    (folder / ".venv" / "bin" / "python").chmod(0o755)
    (folder / ".venv" / "installed").write_text("")
    return folder


def make(folder, *words, **environment):
    """Run make and return what it printed."""
    run = subprocess.run(
        ["make", *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


@pytest.mark.parametrize("name", ["config.yaml", "my x.yaml", "it's.yaml", "a#b;c&d.yaml"])
def test_a_config_may_have_any_name(name, project):
    said = make(project, "--silent", "reproduce", f"CONFIG=config/{name}")
    assert f"[-m] [snakemake] [--cores] [2] [--configfile] [config/{name}] [--workflow-pro" in said
    assert f"Figures and tables of config/{name} are up to date." in said


def test_a_dollar_is_a_dollar(project):
    assert "[config/$x.yaml]" in make(project, "reproduce", CONFIG="config/$x.yaml")


GOALS = ["test", "lint", "figures", "report", "status", "unlock", "gpu", "record", "verify"]
GOALS += ["crate", "test-fast"]


@pytest.mark.parametrize("goal", GOALS)
def test_every_goal_runs_the_environment_s_python(goal, project):
    assert "asked: [-m]" in make(project, "--silent", goal)


def test_a_run_is_recorded_and_verified_by_the_name_of_its_config(project):
    for goal in ("record", "verify"):
        said = make(project, "--silent", goal, CONFIG="config/my x.yaml")
        assert f"asked: [-m] [convexbn.reporting.record] [{goal}] [config/my x.yaml]" in said


def test_fast_tests_leave_out_what_there_is(project):
    said = make(project, "--silent", "test-fast")
    left_out = re.findall(r"\[--ignore\] \[([^]]+)\]", said)
    assert left_out
    assert all((ROOT / folder).is_dir() for folder in left_out)


def test_clean_leaves_the_records(project):
    for path in (
        "results/record/x/claims.csv",
        "results/.gitkeep",
        "results/my run/a",
        "results/b",
    ):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).touch()
    make(project, "clean")
    assert sorted(path.name for path in (project / "results").iterdir()) == [".gitkeep", "record"]
    assert (project / "results/record/x/claims.csv").exists()
    assert not (project / ".venv").exists()


def test_the_report_makes_nothing_but_its_page(project):
    said = make(project, "--silent", "report", "CONFIG=config/my x.yaml")
    (line,) = (line for line in said.splitlines() if line.startswith("asked: "))
    assert line.endswith("[page] [--forcerun] [page] [--allowed-rules] [page]")
    assert "report/index.html in the results of config/my x.yaml" in said


def test_a_cluster_has_its_own_profile_plugin_cores_and_memory(project):
    words = ["--silent", "reproduce", "PROFILE=slurm", "CONFIG=x.yaml", "CORES=3", "MEMORY=9000"]
    installed, *_, ran = [line for line in make(project, *words).splitlines() if "[-m]" in line]
    assert installed.endswith("[--no-deps] [-r] [requirements-slurm.lock]")
    profile = "[--workflow-profile] [workflow/profiles/slurm]"
    assert ran == f"asked: [-m] [snakemake] [--configfile] [x.yaml] {profile}"
    said = make(project, "--silent", "reproduce", "CORES=3", "MEMORY=9000")
    assert "[snakemake] [--cores] [3]" in said
    assert "[workflow/profiles/local] [--resources] [gpu=1] [mem_mb=9000]" in said
    assert "slurm" not in said


def test_gpu_takes_any_python_where_there_is_no_environment(project):
    (project / ".venv" / "bin" / "python").rename(project / "other python")
    shutil.rmtree(project / ".venv")
    said = make(project, "--silent", "gpu", f"PYTHON={project}/other python")
    assert "asked: [-m] [convexbn.experiments.benchmark.gpu] [results/gpu]" in said
    assert f"PYTHONPATH={project}/src" in said
    assert not (project / ".venv").exists()


def test_variables_of_other_projects_stay_outside(project):
    """A package of the same name, or the profile of a cluster; but CIFAR_DIR is for us."""
    others = {"PYTHONPATH": "/other", "PYTHONHOME": "/other", "SNAKEMAKE_PROFILE": "cluster"}
    said = make(project, "reproduce", **others, CIFAR_DIR="/data/my cifar").splitlines()
    assert "CIFAR_DIR=/data/my cifar" in said
    assert f"PYTHONPATH={project}/src" in said  # also after the project was moved
    assert not [line for line in said if line.startswith(("PYTHONHOME=", "SNAKEMAKE_PROFILE="))]


def test_make_alone_says_in_a_line_each_what_there_is(project):
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", text, re.MULTILINE)[1].replace("\\", "").split()
    said = make(project).splitlines()
    listed = [line.split()[1] for line in said if line.startswith("make ")]
    assert sorted(listed) == sorted(phony)
    assert listed.index("help") < listed.index("clean")
    assert max(map(len, said)) <= 110
    assert all(len(line.split()) > 3 for line in said)  # words for each
    assert make(project, "help").splitlines() == said


def test_status_is_asked_with_the_arguments_of_a_run(project):
    said = make(project, "--silent", "status", "CONFIG=config/my x.yaml", "CORES=3")
    asked = "asked: [-m] [convexbn.pipeline.status] [--cores] [3] [--configfile] [config/my x.yaml]"
    assert said.startswith(asked)


SLOW = """#!/bin/sh
trap 'echo "jobs are ended"; exit 1' INT
echo started
while true; do sleep 0.1; done
"""


def test_ctrl_c_ends_in_one_line_that_says_how_to_go_on(project):
    """A terminal sends it to all processes; make ends by it, and runs nothing else."""
    (project / ".venv" / "bin" / "python").write_text(SLOW)
    run = subprocess.Popen(
        ["make", "reproduce"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    while "started\n" not in said:
        said.append(run.stdout.readline())
    os.killpg(run.pid, signal.SIGINT)
    rest = run.stdout.read().splitlines()
    assert run.wait() == -signal.SIGINT
    assert rest[:-1] == ["jobs are ended"]
    assert rest[-1].startswith("Interrupted. What is finished is kept: run the same command again")
