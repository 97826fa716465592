"""Fixtures that several test modules share."""

import os
import signal
from pathlib import Path

# One thread per test process, before numpy and torch look: the problems are small, and sums have
# the same order on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "agg"  # a notebook's terminal names one that is missing here

import pytest

try:
    from hypothesis import settings
except ImportError:  # on a machine with a GPU and little else: `make gpu`
    settings = None

# What a shell starts in the background ignores it, and so would what the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The helpers' assertions fail with the values in them, as those of the tests do.
pytest.register_assert_rewrite("footprints", "on_devices", "theory_cases", "workflow_runs")

# The same examples every time; a busy machine is no failure.
if settings is not None:
    settings.register_profile("convexbn", deadline=None, derandomize=True)
    settings.load_profile("convexbn")


def pytest_collection_modifyitems(config, items):
    """Let the whole DAG start first when several workers share the tests: nothing is longer."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name != "test_workflow.py")


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def kind(request) -> str:
    """The CUDA device of a test: one that is only pretended, or a real one."""
    if request.param == "real":
        import torch  # here, so that tests which do without it do not wait for it

        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no CUDA device on this machine")
    return request.param


@pytest.fixture
def two_threads():
    """Two threads for PyTorch, where one is the rule here."""
    import torch  # here, so that tests which do without it do not wait for it

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def cifar_dir() -> Path:
    """The folder with the official CIFAR files, named by the environment variable CIFAR_DIR."""
    folder = os.environ.get("CIFAR_DIR")
    if not folder:
        pytest.skip("CIFAR_DIR is not set: name the folder that contains cifar-10-batches-py")
    return Path(folder)
