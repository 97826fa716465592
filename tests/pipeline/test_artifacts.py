"""Artifacts: what goes in comes out, and nothing is half written."""

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import save_file

from convexbn.files import partial_of
from convexbn.imports import PACKAGE
from convexbn.pipeline import artifacts

ORIGIN = {"seed": [1, 2], "parameters": {"beta": 1e-3, "name": "größe"}}


# Round trips

TENSORS = {
    "float64": np.random.default_rng(0).standard_normal((3, 4)),
    "float32": np.array([1 / 3, np.nan, np.inf, -0.0], dtype=np.float32),
    "int64": np.array([2**62, -1]),
    "uint8": np.arange(12, dtype=np.uint8).reshape(2, 3, 2),
    "bool": np.array([[True, False], [False, False]]),
    "zero-dimensional": np.array(2.5),
    "empty": np.empty((0, 7), dtype=np.float32),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10)[::3],
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "broadcast": np.broadcast_to(np.arange(3.0), (4, 3)),
}


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_tensors_come_back(tmp_path, name, kind):
    array = TENSORS[name].copy("K")
    path = tmp_path / "some" / "where" / "t.safetensors"
    artifacts.save_tensors(path, {"a.0": kind(array)}, ORIGIN)
    (back,) = artifacts.load_tensors(path).values()
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_views_are_saved_as_what_they_show(tmp_path):
    path, base = tmp_path / "t.safetensors", torch.arange(12.0).reshape(3, 4)
    views = {
        "a": base.T,
        "b": base[:, 1],
        "c": base.numpy()[::-1],
        "d": base.requires_grad_(),
        "e": 2,
    }
    artifacts.save_tensors(path, views, {})
    back = artifacts.load_tensors(path)
    for name, view in views.items():
        expected = view.detach().numpy() if torch.is_tensor(view) else np.asarray(view)
        np.testing.assert_array_equal(back[name], expected)


def test_tables_come_back_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(200) * 10.0 ** rng.integers(-300, 300, 200)
    frame = pd.DataFrame(
        {
            "value": [*values, 0.1, 5e-324, 1.7976931348623157e308, np.nan, np.inf, -0.0],
            "count": range(206),
            "name": ['quoted, "twice"', "# not a comment", "größe"] * 68 + ["a", "b"],
            "yes": [True, False] * 103,
        }
    )
    artifacts.write_table(tmp_path / "t.csv", frame, ORIGIN)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "t.csv"), frame, check_exact=True)


@given(st.floats(allow_nan=False))
def test_every_float_survives_a_table(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "float.csv"
    artifacts.write_table(path, pd.DataFrame({"x": [value, 0.5]}), {})
    assert artifacts.read_table(path)["x"][0] == value


def test_tables_without_provenance_are_read(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "t.csv"), frame)


def test_empty_tables_keep_their_columns(tmp_path):
    artifacts.write_table(tmp_path / "t.csv", pd.DataFrame({"a": [], "b": []}), ORIGIN)
    assert list(artifacts.read_table(tmp_path / "t.csv")) == ["a", "b"]


def test_documents_come_back(tmp_path):
    content = {"certificates": [{"gap": 1 / 3, "ok": True, "none": None}], "words": "größe"}
    artifacts.write_document(tmp_path / "d.json", content, ORIGIN)
    assert artifacts.read_document(tmp_path / "d.json") == content | {"provenance": ORIGIN}
    # Other programs cannot read NaN: it is refused, and nothing is left.
    with pytest.raises(ValueError, match="JSON compliant"):
        artifacts.write_document(tmp_path / "e.json", {"gap": math.nan}, ORIGIN)
    assert [file.name for file in tmp_path.iterdir()] == ["d.json"]


FRAME = pd.DataFrame({"a": [0.125]})
WRITERS = {
    "a.safetensors": lambda path: artifacts.save_tensors(path, {"a": np.ones(3)}, ORIGIN),
    "a.csv": lambda path: artifacts.write_table(path, FRAME, ORIGIN),
    "a.json": lambda path: artifacts.write_document(path, {"a": 1}, ORIGIN),
}


@pytest.mark.parametrize("name", WRITERS)
def test_provenance_is_in_the_file(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert artifacts.read_provenance(tmp_path / name) == ORIGIN
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_provenance_says_where_a_result_comes_from(tmp_path):
    origin = artifacts.provenance([3, 4], "cuda", beta=0.5, betas=[1.0, 2.0])
    assert json.loads(json.dumps(origin)) == origin
    assert origin["seed"] == [3, 4]
    assert origin["device"] == "cuda"
    assert origin["parameters"] == {"beta": 0.5, "betas": [1.0, 2.0]}
    assert origin["versions"]["numpy"] == np.__version__
    assert origin["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert origin["python"] == ".".join(map(str, sys.version_info[:3]))


def test_provenance_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert artifacts.provenance()["commit"] is None
    assert artifacts.provenance()["dirty"] is False


def git(folder, *words):
    """Run git in a folder, whoever the user is and wherever the tests run."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", folder, *words]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def repository(folder):
    """Make a repository with one commit and return the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet")
    (folder / "file").write_text("text")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


def said_by(source, **environment):
    """Return what the copy of the package in a folder says of where results come from."""
    shutil.copytree(PACKAGE, source / "convexbn", dirs_exist_ok=True)
    code = "from convexbn.pipeline import artifacts; origin = artifacts._commit(); "
    code += "import json; print(json.dumps([artifacts.__file__, origin]))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(source)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    path, origin = json.loads(run.stdout)
    assert path.startswith(str(source))
    return origin


NOTHING = {"commit": None, "dirty": False}


@pytest.mark.parametrize("folder", [".venv/lib/site-packages", "src"])
def test_the_repository_around_an_installed_copy_is_not_ours(folder, tmp_path):
    repository(tmp_path)
    assert said_by(tmp_path / folder) == NOTHING


def test_nor_is_a_repository_that_keeps_a_copy(tmp_path):
    source = tmp_path / "vendor" / "src"
    shutil.copytree(PACKAGE, source / "convexbn")
    repository(tmp_path)
    assert said_by(source) == NOTHING


def test_a_checkout_has_its_commit_and_worktrees_and_shallow_clones_have_theirs(tmp_path):
    first = tmp_path / "first"
    shutil.copytree(PACKAGE, first / "src" / "convexbn")
    commit = repository(first)
    git(first, "worktree", "add", "--quiet", tmp_path / "second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", first.as_uri(), "third")
    for checkout in ("first", "second", "third"):
        found = said_by(tmp_path / checkout / "src")
        assert found == {"commit": commit, "dirty": False}
    (first / "file").write_text("other text")
    assert said_by(first / "src")["dirty"] is True


def test_variables_of_git_do_not_lead_to_another_repository(tmp_path):
    """Its hooks set them, also in a terminal that an editor opens for a commit message."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    shutil.copytree(PACKAGE, ours / "src" / "convexbn")
    commit = repository(ours)
    repository(theirs)
    hooks = {"GIT_DIR": theirs / ".git", "GIT_WORK_TREE": theirs, "GIT_CEILING_DIRECTORIES": ours}
    hooks |= {"GIT_INDEX_FILE": theirs / ".git" / "index", "GIT_PREFIX": "x/"}
    variables = {name: str(path) for name, path in hooks.items()}
    assert said_by(ours / "src", **variables) == {"commit": commit, "dirty": False}
    assert said_by(tmp_path / "installed", **variables) == NOTHING


def test_a_repository_of_someone_else_is_no_crash(tmp_path):
    """Git refuses to read it (`safe.directory`)."""
    shutil.copytree(PACKAGE, tmp_path / "src" / "convexbn")
    repository(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text("#!/bin/sh\necho dubious ownership >&2\nexit 128\n")
    (tools / "git").chmod(0o755)
    assert said_by(tmp_path / "src", PATH=str(tools)) == NOTHING


# What is not whole

READERS = {
    "a.safetensors": [artifacts.load_tensors, artifacts.read_provenance],
    "a.csv": [artifacts.read_table],
    "a.json": [artifacts.read_document, artifacts.read_provenance],
}
BROKEN = {
    "truncated": lambda content: content[:-2],
    "cut to half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "foreign": lambda content: b"PK\x03\x04 of something else\0" * 9,
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize(
    ("name", "read"), [(name, read) for name, readers in READERS.items() for read in readers]
)
def test_a_file_that_is_not_whole_is_named_with_what_to_do(tmp_path, name, read, kind):
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(BROKEN[kind](path.read_bytes()))
    words = "remove|delete|empty|UTF-8"
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}.*({words})") as caught:
        read(path)
    assert kind not in ("truncated", "cut to half") or "the file and run again" in str(caught.value)


def test_documents_and_tensors_of_others_are_named(tmp_path):
    (tmp_path / "a.json").write_text('{"seed": 1}')
    save_file({"a": np.zeros(2)}, tmp_path / "a.safetensors")
    for name in ("a.json", "a.safetensors"):
        with pytest.raises(ValueError, match=rf"{name} is truncated, or no artifact .*; remove"):
            artifacts.read_provenance(tmp_path / name)


# All or nothing


def test_everyone_who_may_read_a_table_may_read_tensors(tmp_path):
    """Several people share a cluster's results; safetensors itself makes files private."""
    (tmp_path / "plain").write_text("")
    artifacts.save_tensors(tmp_path / "a.safetensors", {"a": np.zeros(1)}, {})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_disk_that_is_really_full(tmp_path, name):
    partial_of(tmp_path / name, os.getpid()).symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"no space left to write .*{name}"):
        WRITERS[name](tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected", "message"),
    [
        (
            "I/O error: No space left on device (os error 28)",
            OSError,
            "no space left to write .*a.safe",
        ),
        ("I/O error: File too large (os error 27)", OSError, "File too large"),
        ("invalid header", SafetensorError, "invalid header"),
    ],
)
def test_tensors_and_a_full_disk(tmp_path, monkeypatch, words, expected, message):
    """The library reports it in an error of its own kind, in these words."""

    def fail(*arguments, **options):
        raise SafetensorError(words)

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(expected, match=message):
        WRITERS["a.safetensors"](tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_tensors_beyond_a_file_size_limit(tmp_path):
    """The words above are the library's: here it meets a limit of the system itself."""
    program = f"""
import resource, signal
import numpy as np
from convexbn.pipeline.artifacts import save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_tensors({str(tmp_path / "a.safetensors")!r}, {{"a": np.zeros(10**5)}}, {{}})
except OSError as error:
    print(error.errno)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(errno.EFBIG)]
    assert not list(tmp_path.iterdir())
