"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cifar_dir() -> Path:
    """The folder with the official CIFAR files, named by the environment variable CIFAR_DIR."""
    folder = os.environ.get("CIFAR_DIR")
    if not folder:
        pytest.skip("CIFAR_DIR is not set: name the folder that contains cifar-10-batches-py")
    return Path(folder)
