"""A killed training goes on to the same numbers, wherever it was killed."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sweep_features import SWEEP, make_features, make_images, make_patches, whitened_features

from convexbn.files import partial_of
from convexbn.networks import two_layer as networks_module
from convexbn.training import checkpoints
from convexbn.training import engine as training
from convexbn.training.checkpoints import Checkpoint, Parts, fingerprint

# Two groups of three members and one of two, some of them with two seeds; three epochs each.
GROUPS = replace(SWEEP, max_members=3)


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def _written_after_every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))


def train_until(epochs, features, sweep, path, monkeypatch):
    """Train, and die in the epoch after `epochs` epochs, counted over all groups."""
    epoch, left = training.Stack.train_epoch, [epochs]

    def mortal(stack):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        epoch(stack)

    with monkeypatch.context() as patch:
        patch.setattr(training.Stack, "train_epoch", mortal)
        with pytest.raises(Killed):
            training.train(features, sweep, checkpoint=path)


def assert_same(first, second):
    """Bit for bit, but for the clock."""
    (rows, parameters), (others, expected) = first, second
    assert parameters.keys() == expected.keys()
    assert all(torch.equal(parameters[name], expected[name]) for name in expected)

    def timeless(rows):
        kept = [{key: row[key] for key in row if key != "seconds"} for row in rows]
        return [str(row) for row in kept]  # a NaN is not equal to itself

    assert timeless(rows) == timeless(others)


CASES = [
    (GROUPS, make_features),
    (replace(GROUPS, network="plain", optimizer="adam", schedule="cosine"), make_patches),
    (replace(GROUPS, network="convex", width=None), whitened_features),
    # Groups of three and one that tune, and then the other seed's.
    (replace(GROUPS, tuning_seeds=1), make_features),
    (replace(GROUPS, flip=True, shift=1), make_images),
]


@pytest.mark.parametrize(("sweep", "make"), CASES)
def test_a_killed_training_ends_where_an_uninterrupted_one_does(sweep, make, tmp_path, monkeypatch):
    features = make()
    uninterrupted, path = training.train(features, sweep), tmp_path / "run.checkpoint"
    # In the first group, between it and the second, and in the last.
    for epochs in (1, 2, 3, 4, 8):
        train_until(epochs, features, sweep, path, monkeypatch)
        assert path.exists()
        assert_same(training.train(features, sweep, checkpoint=path), uninterrupted)
        path.unlink()


def test_a_training_that_ended_is_not_done_again(tmp_path, monkeypatch):
    """As where its results found no room on the disk."""
    features, path = make_features(), tmp_path / "run.checkpoint"
    monkeypatch.setattr(checkpoints, "EVERY", 1e9)  # only the last state is written
    ended = training.train(features, GROUPS, checkpoint=path)
    monkeypatch.setattr(training.Stack, "train_epoch", None)
    assert_same(training.train(features, GROUPS, checkpoint=path), ended)


def test_with_several_threads_too(tmp_path, monkeypatch):
    features, path, threads = make_features(), tmp_path / "run.checkpoint", torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        uninterrupted = training.train(features, GROUPS)
        train_until(7, features, GROUPS, path, monkeypatch)  # with two stacks side by side
        assert_same(training.train(features, GROUPS, checkpoint=path), uninterrupted)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("epochs", [4, 5])  # of the other seeds, which are a stack or two
def test_with_another_number_of_threads_it_starts_over(epochs, tmp_path, monkeypatch):
    features, path, threads = make_features(), tmp_path / "run.checkpoint", torch.get_num_threads()
    one = {"learning_rates": GROUPS.learning_rates[:1], "betas": GROUPS.betas[:1]}
    sweep = replace(GROUPS, **one, seeds=(0, 1, 2), tuning_seeds=1, max_members=2)
    torch.set_num_threads(1)
    try:
        train_until(epochs, features, sweep, path, monkeypatch)
        torch.set_num_threads(2)
        uninterrupted = training.train(features, sweep)
        assert_same(training.train(features, sweep, checkpoint=path), uninterrupted)
    finally:
        torch.set_num_threads(threads)


def test_it_may_be_killed_more_than_once(tmp_path, monkeypatch):
    features, path = make_features(), tmp_path / "run.checkpoint"
    for _ in range(4):  # of nine epochs, two at a time
        train_until(2, features, GROUPS, path, monkeypatch)
    finished = []
    epoch = training.Stack.train_epoch
    monkeypatch.setattr(
        training.Stack, "train_epoch", lambda stack: (finished.append(1), epoch(stack))
    )
    resumed = training.train(features, GROUPS, checkpoint=path)
    assert len(finished) == 1
    assert_same(resumed, training.train(features, GROUPS))


DYING = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from convexbn import files
from convexbn.training import checkpoints, engine as training
from sweep_features import SWEEP, make_features
checkpoints.EVERY, checkpoints.SHARE = 0.0, float("inf")
replace, left = os.replace, [2]

def die(*paths):  # while the third checkpoint is written
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    replace(*paths)

files.os.replace = die
training.train(make_features(), SWEEP, checkpoint=sys.argv[1])
"""


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    path, tests = tmp_path / "run.checkpoint", Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", DYING, path, tests], check=False)
    assert run.returncode == -9
    (left,) = tmp_path.glob(".run.checkpoint.*.part")
    features = make_features()
    resumed = training.train(features, SWEEP, checkpoint=path)
    assert not left.exists()
    assert_same(resumed, training.train(features, SWEEP))


def of_other_data(features, sweep):
    features["X_test"] = features["X_test"] + np.float32(1e-3)
    return features, sweep


@pytest.mark.parametrize(
    "change",
    [lambda features, sweep: (features, replace(sweep, momentum=0.8)), of_other_data],
    ids=["settings", "data"],
)
def test_the_state_of_other_work_is_not_used(change, tmp_path, monkeypatch, caplog):
    features, path = make_features(), tmp_path / "run.checkpoint"
    train_until(2, features, GROUPS, path, monkeypatch)
    other = change(features, GROUPS)
    with caplog.at_level(logging.WARNING):
        found = training.train(*other, checkpoint=path)
    assert "starting over" in caplog.text
    assert_same(found, training.train(*other))


def test_the_state_that_other_code_came_to_is_not_used(tmp_path, monkeypatch, caplog):
    """A module that the engine imports has been edited since."""
    features, path = make_features(), tmp_path / "run.checkpoint"
    train_until(2, features, GROUPS, path, monkeypatch)
    networks, read = Path(networks_module.__file__), Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda p, **how: read(p, **how) + "#" * (p == networks))
    with caplog.at_level(logging.WARNING):
        training.train(features, GROUPS, checkpoint=path)
    assert "other settings, data or code: starting over" in caplog.text


@pytest.mark.parametrize("content", [b"", b"notes of mine", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(content, tmp_path):
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="notes is not a checkpoint"):
        training.train(make_features(), SWEEP, checkpoint=path)
    assert path.read_bytes() == content


def test_checkpoints_are_written_neither_often_nor_for_long(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoints, "EVERY", 30.0)
    monkeypatch.setattr(checkpoints, "SHARE", 0.02)
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    written, checkpoint = [], Checkpoint(tmp_path / "state", "work")

    def state(seconds):
        written.append(now[0])
        now[0] += seconds
        return {}

    for _ in range(100):
        now[0] += 1.0
        checkpoint.save(lambda: state(0.0))
    assert written == [30.0, 60.0, 90.0]
    now[0] = 120.0
    checkpoint.save(lambda: state(2.0))  # at most a fiftieth of the time goes into writing
    while len(written) < 5:
        now[0] += 1.0
        checkpoint.save(lambda: state(0.0))
    assert written[-1] == 222.0


def test_a_fingerprint_tells_settings_names_shapes_values_and_code_apart():
    a = np.arange(6.0)
    prints = [
        fingerprint("s", {"a": a}, checkpoints.__file__),
        fingerprint("t", {"a": a}, checkpoints.__file__),
        fingerprint("s", {"b": a}, checkpoints.__file__),
        fingerprint("s", {"a": a.reshape(2, 3)}, checkpoints.__file__),
        fingerprint("s", {"a": a.astype(np.float32)}, checkpoints.__file__),
        fingerprint("s", {"a": a[::-1]}, checkpoints.__file__),
        fingerprint("s", {"a": a, "e": np.zeros((0, 2))}, checkpoints.__file__),
        fingerprint("s", {"a": a}, training.__file__),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint("s", {"a": a[::-1][::-1]}, checkpoints.__file__) == prints[0]


def test_a_fingerprint_is_of_numbers_and_not_of_what_holds_them():
    X = np.random.default_rng(0).standard_normal((4, 3))
    expected = fingerprint("", {"X": X}, __file__)
    for values in (X[::-1].copy()[::-1], X.astype(">f8"), torch.tensor(X, requires_grad=True)):
        assert fingerprint("", {"X": values}, __file__) == expected


def test_array_in_a_state_is_refused_when_it_is_saved(tmp_path, monkeypatch):
    """It could not be loaded."""
    monkeypatch.setattr(checkpoints, "EVERY", 0)
    store = Checkpoint(tmp_path / "state", "work")
    with pytest.raises(TypeError, match=r"holds an array of shape \(2,\); keep numbers"):
        store.save(lambda: {"found": [np.zeros(2)]})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_named_and_leaves_no_part(tmp_path):
    parts = Parts(tmp_path)
    file = parts._path(tmp_path, "work")
    partial_of(file, os.getpid()).symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"no space left to write {file}"):
        parts.save("work", {"x": torch.zeros(10**6)})
    assert not list(tmp_path.iterdir())
