"""Artifacts, logs, devices and input checks: what goes in comes out, and nothing is half done."""

import errno
import json
import logging
import math
import os
import pty
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from convexbn import inputs
from convexbn.files import atomic
from convexbn.pipeline import artifacts
from convexbn.pipeline.devices import pick_device
from convexbn.progress import progress

ORIGIN = {"seed": [1, 2], "parameters": {"beta": 1e-3, "name": "größe"}}


# --- round trips ----------------------------------------------------------------------------------

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


FRAME = pd.DataFrame({"a": [1.0]})
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


# --- all or nothing -------------------------------------------------------------------------------


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


def test_everyone_who_may_read_a_table_may_read_tensors(tmp_path):
    """Several people share a cluster's results; safetensors itself makes files private."""
    (tmp_path / "plain").write_text("")
    artifacts.save_tensors(tmp_path / "a.safetensors", {"a": np.zeros(1)}, {})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_disk_that_is_really_full(tmp_path, name):
    (tmp_path / f".{name}.part").symlink_to("/dev/full")
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


# --- logs -----------------------------------------------------------------------------------------

START = """
import ctypes, logging, os, subprocess, sys, time
from convexbn.pipeline import logs
from convexbn.progress import progress
logs.start(sys.argv[1])
"""


def script(log, words, **options):
    """Run `words` after logs.start in a process of its own."""
    command = [sys.executable, "-c", START + words, str(log)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_log_takes_every_way_to_speak(tmp_path):
    run = script(
        tmp_path / "log",
        """
print("from print")
print("from stderr", file=sys.stderr)
logging.getLogger("some.module").info("from logging")
libc = ctypes.CDLL(None)
libc.puts(b"from C")
libc.fflush(None)
os.write(2, b"from the descriptor\\n")
subprocess.run(["echo", "from a child"])
import warnings
warnings.warn("from warnings")
""",
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    log = (tmp_path / "log").read_text()
    for way in ("print", "stderr", "logging", "C", "the descriptor", "a child", "warnings"):
        assert f"from {way}\n" in log
    assert "some.module: from logging" in log


def test_log_keeps_the_traceback_of_a_crash(tmp_path):
    run = script(tmp_path / "log", "print('before')\n1 / 0")
    assert run.returncode == 1
    log = (tmp_path / "log").read_text()
    assert "before" in log
    assert "Traceback (most recent call last)" in log
    assert log.rstrip().endswith("ZeroDivisionError: division by zero")


def test_log_keeps_a_fault(tmp_path):
    run = script(tmp_path / "log", "def culprit():\n    ctypes.string_at(0)\nculprit()")
    assert run.returncode == -signal.SIGSEGV
    log = (tmp_path / "log").read_text()
    assert "Fatal Python error: Segmentation fault" in log
    assert "in culprit" in log


def test_log_replaces_that_of_the_last_run(tmp_path):
    log = tmp_path / "log"
    log.write_text("from an older run\n" * 100)
    script(log, "print('new')")
    assert log.read_text() == "new\n"


def test_log_of_a_torn_process_has_what_was_logged(tmp_path):
    """Logging goes to stderr, line by line: nothing of it waits in a buffer."""
    words = "logging.getLogger('a').info('last words')\nos.kill(os.getpid(), 9)"
    assert script(tmp_path / "log", words).returncode == -signal.SIGKILL
    assert "last words" in (tmp_path / "log").read_text()


STEPS = """
with progress(total=3, desc="solve", every=0) as bar:
    for gap in (1e-1, 1e-2, 1e-3):
        bar.step(f"gap {gap:.0e}")
        time.sleep(PAUSE)
"""


def test_progress_without_a_terminal_is_lines_in_the_log(tmp_path):
    run = script(tmp_path / "log", STEPS.replace("PAUSE", "0"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        "solve 1/3 gap 1e-01",
        "solve 2/3 gap 1e-02",
        "solve 3/3 gap 1e-03",
    ]


def test_progress_on_a_terminal_is_a_bar_there(tmp_path):
    ours, theirs = pty.openpty()
    # The bar is drawn at most every tenth of a second.
    words = STEPS.replace("every=0", "every=100").replace("PAUSE", "0.15")
    command = [sys.executable, "-c", START + words, tmp_path / "log"]
    run = subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = os.read(ours, 10**5).decode()
    os.close(ours)
    assert run.returncode == 0
    for words in ("solve", "2/3", "gap 1e-02", "\r"):
        assert words in shown
    assert (tmp_path / "log").read_text() == ""


def test_progress_speaks_now_and_then(caplog, monkeypatch):
    clock = iter([0.0, 4.0, 8.0, 12.0, 12.0, 16.0, 23.0, 23.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress(total=None, desc="looks") as bar:
        for steps in (1, 1, 1, 5, 1):
            bar.step("on the way", steps)
    assert [record.getMessage() for record in caplog.records] == [
        "looks 3 on the way",
        "looks 9 on the way",
    ]


def test_progress_lets_errors_through():
    with pytest.raises(RuntimeError, match="mine"), progress(total=1, desc="x"):
        raise RuntimeError("mine")


def test_import_of_artifacts_and_logs_does_not_load_torch():
    """A script that draws a figure does not wait for it."""
    program = "import sys; from convexbn.pipeline import artifacts, logs; "
    program += "print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


# --- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "available", "expected"),
    [
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cuda", True, "cuda"),
    ],
)
def test_device(monkeypatch, name, available, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert pick_device(name) == expected


def test_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device on this machine; run where"):
        pick_device("cuda")
    with pytest.raises(ValueError, match="device must be one of 'auto', 'cpu', 'cuda', got 'tpu'"):
        pick_device("tpu")


# --- input checks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_finite(kind):
    inputs.check_finite("X", kind(np.ones((2, 3))))
    inputs.check_finite("X", kind(np.empty((0, 3))))
    inputs.check_finite("X", kind(np.arange(3)))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="X must be finite, but 1 of its 6 entries"):
            inputs.check_finite("X", kind(np.array([[1, 2, 3], [4, bad, 6.0]])))


@pytest.mark.parametrize("value", [1, 0.5, 1e-300, np.float32(2), np.int64(3)])
def test_positive(value):
    inputs.check_positive("beta", value)


@pytest.mark.parametrize("value", [0, -1, 0.0, math.nan, math.inf, True, "1e-3", None, [1.0]])
def test_not_positive(value):
    with pytest.raises(ValueError, match=r"beta must be (a number )?> 0.*got"):
        inputs.check_positive("beta", value)


@pytest.mark.parametrize("value", [1, 5, np.int32(3)])
def test_between(value):
    inputs.check_between("rank", value, 1, 5)


@pytest.mark.parametrize("value", [0, 6, -1, 2.0, True, "2", None])
def test_not_between(value):
    with pytest.raises(ValueError, match=r"rank must be .*from 1 to 5.*got"):
        inputs.check_between("rank", value, 1, 5)


def test_choice_and_length():
    inputs.check_choice("loss", "a", {"a": 1})
    with pytest.raises(ValueError, match="loss must be one of 'a', 'b', got 'c'"):
        inputs.check_choice("loss", "c", ["a", "b"])
    inputs.check_same_length("U", [1], "Y", np.ones((1, 3)))
    with pytest.raises(ValueError, match="U and Y must have one row per sample, got 1 and 2 rows"):
        inputs.check_same_length("U", [1], "Y", [1, 2])
