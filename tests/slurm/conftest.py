"""The cluster that the tests share. Without Slurm nothing is tested, and it is said why."""

import pytest
from slurm.cluster import PACKAGES, Cluster, missing, running
from slurm.runs import HERE, Run


@pytest.fixture(scope="session")
def cluster():
    """A cluster that runs until the last test has ended."""
    if programs := missing():
        install = f"apt-get install --no-install-recommends {PACKAGES}"
        pytest.exit(f"Slurm is not tested: no {', '.join(programs)} here; {install}", returncode=3)
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="run `make .venv/slurm` first")
    with running(Cluster) as made:
        yield made


@pytest.fixture
def begin(cluster, tmp_path):
    """Return a function that starts Snakemake in a folder; what still runs in the end is killed."""
    runs = []

    def begin(name, *arguments):
        runs.append(Run(cluster, tmp_path / name, *arguments))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()


@pytest.fixture
def start(begin):
    """Return a function that starts the small jobs: the second takes some time or memory."""

    def start(seconds=0, megabytes=0, minutes=10):
        settings = (f"seconds={seconds}", f"megabytes={megabytes}", f"minutes={minutes}")
        name = f"{seconds}-{megabytes}-{minutes}"
        return begin(name, "--snakefile", HERE / "Snakefile", "--config", *settings)

    return start
