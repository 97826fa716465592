"""The measurements on a GPU, at a tiny size: on the CPU, and on a device that is only pretended."""

import math
import subprocess
from dataclasses import replace

import pytest
import torch
from pretended_cuda import NAME, pretended_cuda

from convexbn.experiments.benchmark import gpu, gpu_steps
from convexbn.experiments.benchmark.gpu import measure
from convexbn.experiments.benchmark.gpu_report import COLUMNS
from convexbn.experiments.benchmark.gpu_steps import NOT_REACHED, Size
from convexbn.pipeline.artifacts import read_provenance, read_table

TINY = Size(
    **{"n": 60, "pixels": 6, "classes": 3, "gates": 4},
    ranks={2: 600.0, 6: 600.0},
    tolerances=(1e-1, 1e-2),
    **{"width": 5, "epochs": 2, "batch_size": 20, "product": 8},
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(gpu_steps, "_SECONDS", 0.0)
    monkeypatch.setattr(gpu_steps, "operations_of", lambda work: 1e9)


def measured(folder, size=TINY, limit=600.0):
    """Return whether all went well, the table, and the page."""
    went_well = measure(folder, size, size, size, limit)
    return went_well, read_table(folder / "gpu.csv"), (folder / "gpu.md").read_text()


def test_without_a_gpu_it_measures_the_cpu_and_says_so(tmp_path):
    went_well, table, page = measured(tmp_path)
    assert went_well
    assert list(table.columns) == COLUMNS
    steps = ["tests", "products", "images", "solve", "solve", "sweep", "sweep", "solve", "solve"]
    assert table["step"].tolist() == steps
    assert table["words"][0] == "not run: PyTorch finds no CUDA device"
    solves = table[table["step"] == "solve"]
    assert solves["r"].tolist() == [2, 2, 6, 6]
    assert (solves["relative_gap"] <= solves["tolerance"]).all()
    assert (solves["seconds"] > 0).all()
    assert solves["gigaflops"].to_numpy() == pytest.approx(1 / solves["seconds"].to_numpy())
    rate = table["gigaflops"][1]
    assert (solves["share"] * rate).to_numpy() == pytest.approx(solves["gigaflops"].to_numpy())
    sweeps = table[table["step"] == "sweep"]
    assert sweeps["epochs"].tolist() == [1, 2]
    assert (sweeps["epochs_per_second"] * sweeps["seconds"]).to_numpy() == pytest.approx([4, 8])
    assert table["times_cpu"].isna().all()
    assert page.startswith("# convexbn on a CPU, as PyTorch finds no CUDA device\n\n")
    assert page.count("\n| solve | cpu |") == 4
    assert read_provenance(tmp_path / "gpu.csv")["device"] in page


def test_on_a_gpu_it_measures_both_and_names_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.Bench, "tests", lambda self: iter([{"words": "2 passed"}]))
    with pretended_cuda():
        small = replace(TINY, ranks={2: 600.0}, gates=2, tolerances=(0.5,))
        went_well, table, page = measured(tmp_path, small)
    assert went_well
    parts = table[table["step"] == "solve"]
    assert parts["device"].tolist() == ["cuda", "cpu", "cuda"]
    # The same problem everywhere, and here of the same size; a rounding of its gap apart.
    assert parts["relative_gap"].to_numpy() == pytest.approx(parts["relative_gap"].iloc[0])
    there, here, again = parts["seconds"]
    assert parts["times_cpu"].tolist() == pytest.approx(
        [here / there, math.nan, here / again], nan_ok=True
    )
    assert page.startswith(f"# convexbn on a GPU\n\n{NAME}; ")


def test_what_ends_the_time_is_said_and_nothing_fails(tmp_path):
    went_well, table, _ = measured(tmp_path, limit=0.0)
    assert went_well
    assert table["step"].tolist() == ["tests", "products", "images"]
    assert set(table["words"]) == {NOT_REACHED}


def test_a_solve_is_left_with_the_gap_that_it_has(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0, 2.0])
    images = gpu_steps.RandomImages.draw(60, 6, 3, "cpu")
    monkeypatch.setattr(gpu_steps.time, "monotonic", lambda: next(clock, 2.0))
    first, second = gpu_steps.solves(images, replace(TINY, tolerances=(1e-6, 1e-9)), 6, 1.0, 1.0)
    assert first["words"] == second["words"] == NOT_REACHED
    assert first["rounds"] == 0
    assert 1e-6 < first["relative_gap"] <= 1
    assert "relative_gap" not in second


def test_a_step_that_fails_is_written_down_and_the_next_one_begins(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("CUDA error: out of luck\nand more")

    monkeypatch.setattr(gpu_steps, "train", broken)
    went_well, table, _ = measured(tmp_path, replace(TINY, ranks={2: 600.0}))
    assert not went_well
    assert table["words"][3] == "failed: RuntimeError: CUDA error: out of luck"
    assert table["step"].tolist()[3:] == ["sweep", "solve", "solve"]


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (0, "..\n2 passed in 3s\n", "2 passed in 3s"),
        (1, "1 failed in 3s\n", "status 1: 1 failed in 3s"),
        (4, "", "status 4: "),
        (None, "a PASSED\nb", f"{NOT_REACHED}: the end of tests.txt is b"),
    ],
)
def test_the_tests_of_a_gpu_are_a_row(tmp_path, monkeypatch, status, said, words):
    """What they have said is kept, also where their time ends (status None), which is a failure."""

    def run(command, stdout, timeout, **options):
        assert command[1:] == ["-m", "pytest", "-v", "-m", "gpu", *map(str, gpu.TESTS)]
        assert timeout == pytest.approx(120, abs=1)
        stdout.write(said)
        if status is None:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
    bench = gpu.Bench(gpu.Report(tmp_path / "gpu", "cpu"))
    (row,) = bench.tests()
    assert row["words"] == words
    assert (tmp_path / "gpu/tests.txt").read_text() == said
    assert bench.failed == (status != 0)
    assert all(path.exists() for path in gpu.TESTS)


def test_what_did_not_come_to_its_end_has_no_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: NAME)
    report = gpu.Report(tmp_path, "cuda")
    for rank, device, words in [(2, "cpu", ""), (2, "cuda", ""), (3, "cpu", NOT_REACHED)]:
        report.add({"step": "solve", "device": device, "r": rank, "seconds": 2.0, "words": words})
    report.add({"step": "solve", "device": "cuda", "r": 3, "seconds": 1.0, "words": ""})
    assert report.table()["times_cpu"].tolist() == pytest.approx(
        [math.nan, 1.0, math.nan, math.nan], nan_ok=True
    )


def test_operations_are_two_for_each_product_of_numbers(monkeypatch):
    monkeypatch.undo()
    A, B, C = torch.ones(3, 4), torch.ones(4, 5), torch.ones(3, 5)
    for work in (lambda: A @ B, lambda: C.addmm_(A, B), lambda: torch.matmul(A, B, out=C)):
        assert gpu_steps.operations_of(work) == 2 * 3 * 4 * 5
