"""A race: the referee judges, and what goes wrong is in the table."""

import pandas as pd
import pytest
from benchmark_cases import built

from convexbn.experiments.benchmark import race, tables
from convexbn.pipeline import artifacts

SETTINGS = {"seconds": 20, "memory": 4000, "threads": 1, "repeats": 1}
SETTINGS |= {"target": 1e-4, "tolerance": 1e-6}


@pytest.fixture
def stored(tmp_path):
    problem = built(outputs=1)
    artifacts.save_tensors(tmp_path / "problem.safetensors", problem.tensors(), {})
    return problem, tmp_path / "problem.safetensors"


def measured(stored, solver="convexbn", bound=None, **settings) -> pd.DataFrame:
    return race.measure(*stored, "toy", solver, SETTINGS | settings, bound)


def test_a_race_is_judged_by_the_referee(stored):
    runs = measured(stored, repeats=2)
    assert set(runs["repeat"]) == {0, 1}
    assert set(runs["status"]) == {tables.ENDED}
    last = runs.groupby("repeat").tail(1)
    assert (last["relative_gap"] <= SETTINGS["tolerance"]).all()
    assert (runs["objective"] >= runs["dual_objective"].max()).all()
    assert (runs["peak_memory"] >= 0).all()
    # Above the level before: less than the interpreter with PyTorch, which takes 0.3 GB and more.
    assert (runs["peak_memory"] < 2e8).all()
    # Wide of the target a peer is stopped at once.
    bound = runs["dual_objective"].max()
    assert set(measured(stored, bound=bound, target=1e9)["status"]) == {tables.SOLVED}


def sleeper(words):
    """Return a contestant module that does something else instead of solving."""
    return f"import sys, time; from multiprocessing.connection import Connection; {words}"


CONNECTED = "c = Connection(int(sys.argv[1])); c.send(('start', 0)); "


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (CONNECTED + "time.sleep(60)", r"time limit 0\.5 s$"),
        ("time.sleep(60)", r"time limit 0\.5 s, before it started"),
        (CONNECTED + "x = bytearray(3 * 10**8); time.sleep(60)", r"out of memory \(150 MB\)"),
        (CONNECTED + "raise ArithmeticError('no step')", "failed: ArithmeticError: no step"),
        (CONNECTED + "c.send(('failed', 'out of memory'))", "out of memory"),
        (CONNECTED + "import os; os.kill(os.getpid(), 9)", "out of memory"),
    ],
)
def test_what_goes_wrong_is_in_the_table_and_is_not_repeated(words, status, stored, monkeypatch):
    module = stored[1].parent / "impostor.py"
    module.write_text(sleeper(words))
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    monkeypatch.setattr(race.contestant, "__name__", "impostor")
    limits = {"seconds": 0.5, "memory": 150, "repeats": 3}
    runs = measured(stored, solver="pyscnn", **limits)
    assert len(runs) == 1
    assert pd.Series(runs["status"]).str.match(status).all(), runs["status"]
    assert runs["objective"].isna().all()


def test_a_failure_of_this_library_is_an_error(stored):
    with pytest.raises(RuntimeError, match="failed"):
        measured(stored, tolerance="none")
