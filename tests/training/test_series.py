"""A series of trainings goes on after an interruption."""

import pytest

from convexbn.training.checkpoints import Parts
from convexbn.training.series import run_each


def _trainings(names, ran, killed_in=None):
    def training(name, path):
        if name == killed_in:
            raise KeyboardInterrupt
        ran.append((name, path))
        return [{"name": name, "loss": 0.5}]

    return {name: lambda path, name=name: training(name, path) for name in names}


def test_finished_trainings_are_not_run_again(tmp_path):
    parts, second = Parts(tmp_path / "table.parts"), []
    with pytest.raises(KeyboardInterrupt):
        run_each(_trainings("abcd", [], killed_in="c"), "work", parts)
    results = run_each(_trainings("abcd", second), "work", parts)
    assert second == [(name, parts.running_of(f"work {name}")) for name in "cd"]
    assert {path.parent for _, path in second} == {tmp_path / "table.parts"}
    assert results == {name: [{"name": name, "loss": 0.5}] for name in "abcd"}
    parts.remove()
    assert not list(tmp_path.iterdir())


def test_results_of_other_work_are_not_taken(tmp_path):
    parts, ran = Parts(tmp_path / "parts"), []
    run_each(_trainings("ab", []), "work", parts)
    run_each(_trainings("ab", ran), "other work", parts)
    assert [name for name, _ in ran] == ["a", "b"]
    # Nor is a state that a training of other work has left: not all that it rests on is in it.
    assert not {path for _, path in ran} & {parts.running_of(f"work {name}") for name in "ab"}


def test_nothing_is_kept_without_a_folder():
    ran = []
    assert list(run_each(_trainings("ab", ran), "work")) == ["a", "b"]
    assert [path for _, path in ran] == [None, None]


def test_the_state_of_a_training_is_kept_until_its_result_is(tmp_path):
    parts = Parts(tmp_path / "parts")

    def training(path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        return [0.5]

    run_each({"a": training}, "work", parts)
    assert parts.load("work a") == [0.5]
    assert not parts.running_of("work a").exists()
