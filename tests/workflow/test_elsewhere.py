"""The workflow elsewhere: imported by another one, and run by a Python with Snakemake alone."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import workflow_runs
import yaml
from workflow_runs import ROOT, jobs

from convexbn.pipeline import artifacts

CONFIG = ROOT / "config" / "test.yaml"
PROFILE = ROOT / "workflow/profiles/local"
WHITENED = "results/test/whitening/digits.safetensors"
IMPORTING = f"""
import yaml

with open({str(CONFIG)!r}) as file:
    CONFIG = yaml.safe_load(file)


rule mine:
    input:
        {WHITENED!r},
    output:
        "mine.txt",
    shell:
        "wc -c {{input}} > {{output}}"


module convexbn:
    snakefile:
        {str(ROOT / "Snakefile")!r}
    config:
        CONFIG


use rule * from convexbn as convexbn_*
"""


def snakemake(*words, python=sys.executable, environment=os.environ) -> str:
    """Run Snakemake in the working directory; return what it printed."""
    options = ["--workflow-profile", PROFILE, "--cores", 1, "--max-jobs-per-timespan", "100/1s"]
    words = [str(word) for word in (python, "-m", "snakemake", *options, *words)]
    run = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout + run.stderr


def test_another_workflow_imports_it(tmp_path, monkeypatch):
    """Its own first rule stays the default; results are made in its folder, by the scripts here."""
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text(IMPORTING)
    output = snakemake()
    assert "convexbn_whiten" in output
    assert str((tmp_path / WHITENED).stat().st_size) in (tmp_path / "mine.txt").read_text()
    listed = jobs(snakemake("--dry-run", "convexbn_all"))
    config = yaml.safe_load(CONFIG.read_text())
    left = {"convexbn_solve": len(config["convex"]), "convexbn_train_sgd": len(config["sgd"])}
    assert left.items() <= listed.items()
    assert listed["convexbn_all"] == 1
    assert listed["convexbn_whiten"] == len(config["datasets"]) - 1


def test_an_imported_rule_is_the_same_rule(tmp_path):
    """By a name of its own: where it runs, what it makes, runs and rests on."""
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(IMPORTING)
    own = {rule.name: said(rule) for rule in workflow_runs.rules(CONFIG)}
    imported = {rule.name: said(rule) for rule in workflow_runs.rules(snakefile=snakefile)}
    del imported["mine"]
    assert len(own) > 50
    assert imported == {f"convexbn_{name}": rule for name, rule in own.items()}


def said(rule) -> dict:
    """Return what a rule says that does not depend on wildcards."""
    flags = [path.flags.get("report") for path in rule.output]
    paths = [flag.caption.get_path_or_uri(secret_free=True) for flag in flags if flag]
    named = filter(None, (rule.conda_env, rule.script))
    paths += [os.path.normpath(f"{rule.basedir}/{path}") for path in named]
    assert all(Path(path).exists() for path in paths), paths
    return {
        "paths": paths,
        "output": list(map(str, rule.output)),
        "local": rule.name in rule.workflow._localrules,
        "params": {key: value for key, value in rule.params.items() if not callable(value)},
        "wildcards": rule.wildcard_constraints,
    }


# As `site` runs it: a Python in which this package is not installed, and these are not either.
LACKING = """
import os, sys
from importlib.machinery import PathFinder

class Lacking(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        lacks = name.partition(".")[0] in {packages!r}
        return None if lacks else super().find_spec(name, path, target)

sys.path[:] = [path for path in sys.path if not os.path.isdir(os.path.join(path, "convexbn"))]
sys.meta_path[:] = [Lacking if finder is PathFinder else finder for finder in sys.meta_path]
"""
# What Snakemake asks of conda. An environment is a Python that has the packages, but not this one.
CONDA = """#!/bin/sh
case "$*" in
    "info --json") echo '{info}' ;;
    --version) echo "conda 25.1.0" ;;
    config*) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
    "env create"*)
        while [ "$1" != --prefix ]; do shift; done
        mkdir -p "$2/bin"
        cp '{python}' "$2/bin/python"
        echo "$2" >> '{made}' ;;
    clean*) ;;
    *) echo "conda $*?" >&2; exit 2 ;;
esac
"""


def python_lacking(folder, *packages) -> Path:
    """Make a Python in which some packages cannot be imported."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LACKING.format(packages=packages))
    return executable(
        folder / "python", f"#!/bin/sh\nPYTHONPATH='{folder}' exec '{sys.executable}' \"$@\"\n"
    )


def executable(path, text) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_slurm") is not None,
    reason="Snakemake imports the plugin for Slurm, which needs the NumPy that is to be lacking",
)
def test_conda_makes_the_environment_of_the_jobs(tmp_path, monkeypatch):
    """By a stand-in: the packages that it would fetch are in the Python that runs the tests."""
    monkeypatch.chdir(tmp_path)
    runner = python_lacking(tmp_path / "runner", "numpy", "torch", "pandas", "safetensors")
    python = python_lacking(tmp_path / "packages")
    for lacking, missing in ((runner, "numpy"), (runner, "convexbn"), (python, "convexbn")):
        run = subprocess.run([lacking, "-c", f"import {missing}"], capture_output=True, text=True)
        assert f"No module named '{missing}'" in run.stderr
    made = tmp_path / "made.txt"
    info = json.dumps({"conda_prefix": str(tmp_path / "conda"), "platform": "linux-64"})
    executable(tmp_path / "conda/bin/conda", CONDA.format(info=info, python=python, made=made))
    executable(tmp_path / "conda/bin/activate", 'export PATH="$1/bin:$PATH"\n')
    path = os.pathsep.join([str(tmp_path / "conda/bin"), os.environ["PATH"]])
    words = ["--snakefile", ROOT / "Snakefile", "--configfile", CONFIG, "--sdm", "conda", "--"]
    snakemake(*words, WHITENED, python=runner, environment=os.environ | {"PATH": path})
    (environment,) = made.read_text().splitlines()
    assert Path(f"{environment}.yaml").read_text() == (ROOT / "environment.yml").read_text()
    assert "versions" in artifacts.read_provenance(WHITENED)
