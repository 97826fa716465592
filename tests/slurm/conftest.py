"""The cluster that the tests share. Without Slurm nothing is tested, and it is said why."""

import shutil
import tempfile
from pathlib import Path

import pytest
from slurm.cluster import PACKAGES, Cluster, missing


@pytest.fixture(scope="session")
def cluster():
    """A cluster that runs until the last test has ended."""
    if programs := missing():
        install = f"apt-get install --no-install-recommends {PACKAGES}"
        pytest.exit(f"Slurm is not tested: no {', '.join(programs)} here; {install}", returncode=3)
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="run `make .venv/slurm` first")
    made = Cluster(Path(tempfile.mkdtemp(prefix="slurm")))  # a short path
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder)
