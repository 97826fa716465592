"""The comparison of two runs: the clock makes no difference, everything else does."""

import numpy as np
import pandas as pd
import pytest
from results_compared import check_same_numbers

from convexbn.pipeline import artifacts


def written(folder, seconds=1.0, loss=0.1, weight=0.5, gap=1e-3):
    """Write a run's results; each of its numbers may differ."""
    folder.mkdir()
    table = pd.DataFrame({"loss": [loss, loss], "seconds": seconds})
    artifacts.write_table(folder / "history.csv", table, {"seed": 0})
    axes = pd.DataFrame({"against": ["epochs", "seconds"], "x": [1.0, seconds]})
    artifacts.write_table(folder / "curves.csv", axes, {})
    tensors = {"weights": np.array([weight]), "seconds": np.array([seconds])}
    artifacts.save_tensors(folder / "solution.safetensors", tensors, {"at": seconds})
    rows = [{"gap": gap, "seconds": seconds}]
    artifacts.write_document(folder / "certificate.json", {"certificates": rows}, {"at": seconds})
    (folder / "logs").mkdir()
    (folder / "logs" / f"{seconds}.csv").touch()
    return folder


def test_runs_that_differ_in_time_are_the_same(tmp_path):
    assert check_same_numbers(written(tmp_path / "a"), written(tmp_path / "b", 2.0)) == 4


@pytest.mark.parametrize("what", ["loss", "weight", "gap"])
def test_a_bit_makes_a_difference(what, tmp_path):
    old = {"loss": 0.1, "weight": 0.5, "gap": 1e-3}[what]
    other = written(tmp_path / "b", **{what: np.nextafter(old, 1)})
    with pytest.raises(AssertionError):
        check_same_numbers(written(tmp_path / "a"), other)


def test_a_missing_file_makes_a_difference(tmp_path):
    first, second = (written(tmp_path / name) for name in "ab")
    (second / "certificate.json").unlink()
    with pytest.raises(AssertionError):
        check_same_numbers(first, second)
