"""A series of trainings goes on after an interruption."""

import math

import pytest

from convexbn.training import checkpoints
from convexbn.training.series import run_each


def _trainings(names, ran, killed_in=None):
    def training(name, path):
        if name == killed_in:
            raise KeyboardInterrupt
        ran.append((name, path))
        return [{"name": name, "loss": 0.5}]

    return {name: lambda path, name=name: training(name, path) for name in names}


def test_finished_trainings_are_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)
    path, first, second = tmp_path / "table.checkpoint", [], []
    with pytest.raises(KeyboardInterrupt):
        run_each(_trainings("abcd", first, killed_in="c"), "work", path)
    assert path.exists()
    results = run_each(_trainings("abcd", second), "work", path)
    assert [name for name, _ in second] == ["c", "d"]
    assert results == {name: [{"name": name, "loss": 0.5}] for name in "abcd"}
    assert second[0][1] == tmp_path / "table.checkpoint.training"
    assert not path.exists()


def test_results_of_other_work_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)
    path, ran = tmp_path / "table.checkpoint", []
    with pytest.raises(KeyboardInterrupt):
        run_each(_trainings("ab", [], killed_in="b"), "work", path)
    run_each(_trainings("ab", ran), "other work", path)
    assert [name for name, _ in ran] == ["a", "b"]


def test_nothing_is_kept_without_a_file():
    ran = []
    assert list(run_each(_trainings("ab", ran), "work")) == ["a", "b"]
    assert [path for _, path in ran] == [None, None]
