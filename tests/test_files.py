"""Writing a file: it is there whole or not at all, and a full disk is named."""

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from convexbn.files import atomic, partial_of
from convexbn.pipeline.artifacts import load_tensors, save_tensors
from convexbn.training.checkpoints import Checkpoint, Parts


def break_off(path, error):
    with atomic(path) as partial:
        partial.write_text("half of it")
        assert not path.exists() or path.read_text() == "older"
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("older", [[], ["older"]])
def test_a_failed_write_leaves_things_as_they_were(tmp_path, error, older):
    path = tmp_path / "a.txt"
    for text in older:
        path.write_text(text)
    with pytest.raises(error):
        break_off(path, error)
    assert [file.read_text() for file in tmp_path.iterdir()] == older


def test_a_successful_write_replaces(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    with atomic(path) as partial:
        partial.write_text("newer")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "newer")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path, number):
    with pytest.raises(OSError, match=r"no space left to write .*a\.txt \(\d+ MiB free") as caught:
        break_off(tmp_path / "a.txt", OSError(number, os.strerror(number)))
    assert caught.value.errno == number
    assert not list(tmp_path.iterdir())


def test_other_system_errors_keep_their_words(tmp_path):
    with pytest.raises(PermissionError, match="not yours"), atomic(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "not yours")


# Twins: a job is started again while its first process still runs, as after a SIGKILL of Snakemake.

SIZE, TIMES = 10_000, 40


def _artifact(folder, mine):
    save_tensors(folder / "x.safetensors", {"x": np.full(SIZE, mine)}, {})
    return load_tensors(folder / "x.safetensors")["x"]


def _part(folder, mine):
    parts = Parts(folder / "x.parts")
    parts.save("work", {"x": torch.full((SIZE,), mine)})
    found = parts.load("work")
    parts.remove()
    return [mine] if found is None else found["x"].numpy()


def _checkpoint(folder, mine):
    store = Checkpoint(folder / "x.checkpoint", "work")
    store._due = 0.0
    store.save(lambda: {"x": torch.full((SIZE,), mine)})
    found = store.load()
    store.remove()
    return [mine] if found is None else found["x"].numpy()


def _twin(write, folder, mine, start):
    torch.set_num_threads(1)
    start.wait()
    for _ in range(TIMES):
        assert len(set(np.asarray(write(folder, mine)).tolist())) == 1


@pytest.mark.parametrize("write", [_artifact, _part, _checkpoint])
def test_twins_write_the_same_file_and_neither_fails_nor_mixes(write, tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    twins = [context.Process(target=_twin, args=(write, tmp_path, x, start)) for x in (1.0, 2.0)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join()
    assert [twin.exitcode for twin in twins] == [0, 0]
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_a_twin_removes_meanwhile_is_made_again(tmp_path, monkeypatch):
    folder, mkdir, left = tmp_path / "x.parts", Path.mkdir, [1]

    def removed(self, *args, **kwargs):
        if left:  # it was there, and is no more when it is looked at
            left.clear()
            raise FileExistsError(errno.EEXIST, "File exists", str(self))
        mkdir(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", removed)
    with atomic(folder / "a") as partial:
        partial.write_text("x")
    assert (folder / "a").read_text() == "x"
    with pytest.raises(FileExistsError), atomic(folder / "a" / "b"):  # a file is no folder
        pass


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    path, gone = tmp_path / "a[1].txt", multiprocessing.get_context("fork").Process()
    gone.start()
    gone.join()
    left = partial_of(path, gone.pid)
    others = [partial_of(path, os.getppid()), tmp_path / ".a[1].txt.elsewhere.1.part"]
    others.append(partial_of(tmp_path / "a1.txt", gone.pid))
    for file in (left, *others):
        file.write_text("half of it")
    with atomic(path) as partial:
        partial.write_text("newer")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
