"""Fixtures that several test modules share."""

import os
from pathlib import Path

# One thread per test process, before numpy and torch look: the problems are small, and sums have
# the same order on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# The same examples every time; a busy machine is no failure.
settings.register_profile("convexbn", deadline=None, derandomize=True)
settings.load_profile("convexbn")


@pytest.fixture(scope="session")
def cifar_dir() -> Path:
    """The folder with the official CIFAR files, named by the environment variable CIFAR_DIR."""
    folder = os.environ.get("CIFAR_DIR")
    if not folder:
        pytest.skip("CIFAR_DIR is not set: name the folder that contains cifar-10-batches-py")
    return Path(folder)
