"""Run the workflow as a user does, in a working directory of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import ConfigSettings, ResourceSettings

ROOT = Path(__file__).parents[1]


def command(*arguments, directory, root=ROOT) -> list[str]:
    """Return the command line of a run with `directory` as the working directory."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile"]
    words += ["--workflow-profile", root / "workflow/profiles/local"]
    words += ["--max-jobs-per-timespan", "100/1s"]  # the profile's would have it end 10 s later
    without_jobs = {"--unlock", "--report"} & set(arguments)  # need no number of cores
    words += [] if without_jobs else ["--cores", "2"]
    return [str(word) for word in (*words, "--directory", directory, *arguments)]


def snakemake(*arguments, directory, check=True, root=ROOT) -> str:
    """Run the workflow with `directory` as the working directory; return what it printed.

    With another `root` it is the workflow of that copy of the project.
    """
    words = command(*arguments, directory=directory, root=root)
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    output = run.stdout + run.stderr
    assert not check or run.returncode == 0, output[-4000:]
    return output


def rules(*configs, snakefile=ROOT / "Snakefile") -> list:
    """Return the rules that Snakemake reads for a config: in this process, without a DAG.

    Without a number of cores, as for `--unlock` and on a cluster.
    """
    settings = {"resource_settings": ResourceSettings()}
    settings |= {"config_settings": ConfigSettings(configfiles=configs)}
    with SnakemakeApi() as api:
        workflow = api.workflow(**settings, snakefile=snakefile)._workflow
        return list(workflow.rules)


def refusal(config) -> str:
    """Return the words in which the workflow refuses a config."""
    with pytest.raises(WorkflowError) as caught:
        rules(config)
    return str(caught.value)


def jobs(output) -> dict:
    """Return how many jobs of each rule a dry run lists."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def edited(config, change, folder):
    """Write a config with one change and return its path."""
    content = yaml.safe_load((ROOT / "config" / config).read_text())
    change(content)
    path = folder / "config.yaml"
    # Snakemake takes a different order of keys for a change.
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
