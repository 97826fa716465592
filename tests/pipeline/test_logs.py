"""The log of a script: it takes everything that is said, and keeps it in a crash."""

import os
import platform
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from convexbn.imports import PACKAGE
from convexbn.pipeline import logs

FIRST, END = "--- attempt 1: ", "--- ended well, "
START = """
import ctypes, logging, os, subprocess, sys, time
from convexbn.pipeline import logs
from convexbn.progress import progress
logs.start(sys.argv[1], threads=3)
"""


def script(log, words, **options):
    """Run `words` after logs.start in a process of its own."""
    command = [sys.executable, "-c", START + words, str(log)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def said(log) -> list[str]:
    """Return the lines between the first and the last, of a script that ended well."""
    first, *lines, last = log.read_text(encoding="utf-8").splitlines()
    assert first.startswith(FIRST)
    assert last.startswith(END)
    return lines


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


def test_what_a_script_starts_finds_the_package_as_the_script_does(tmp_path):
    source = str(PACKAGE.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["/other", source])}
    script(tmp_path / "log", 'print(os.environ["PYTHONPATH"])', env=environment)
    assert said(tmp_path / "log") == [os.pathsep.join([source, "/other"])]


def test_log_is_utf_8_in_every_locale_and_takes_names_that_are_no_text(tmp_path):
    old = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    words = """
print("gr\\u00f6\\u00dfe", os.fsdecode(b"\\xff.png"))
logging.getLogger().info("gr\\u00f6\\u00dfe")
"""
    run = script(tmp_path / "log", words, env=os.environ | old)
    assert run.returncode == 0
    first, second = said(tmp_path / "log")
    assert first == "größe \\udcff.png"
    assert second.endswith("größe")


SOLVING = """
import signal
import numpy as np
from convexbn import activation, sample_gates, solve, whiten
U = whiten(np.random.default_rng(0).standard_normal((50, 5))).U
def interrupt(snapshot):
    print("solving", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
solve(U, activation(U, sample_gates(U, 5, 0)), U[:, 0], 1e-3, callback=interrupt)
print("went on with the best so far")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_an_interrupt_ends_a_job_though_it_solves(tmp_path):
    """Else the job would write a solution that is not one, and count as done."""
    run = script(tmp_path / "log", SOLVING)
    assert run.returncode == -signal.SIGINT
    first, *lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert first.startswith(FIRST)
    assert lines == ["solving"]


def test_log_keeps_the_traceback_of_a_crash(tmp_path):
    run = script(tmp_path / "log", "print('before')\n1 / 0")
    assert run.returncode == 1
    log = (tmp_path / "log").read_text()
    assert "before" in log
    assert "Traceback (most recent call last)" in log
    assert log.rstrip().endswith("ZeroDivisionError: division by zero")
    assert END not in log


def test_log_keeps_a_fault(tmp_path):
    run = script(tmp_path / "log", "def culprit():\n    ctypes.string_at(0)\nculprit()")
    assert run.returncode == -signal.SIGSEGV
    log = (tmp_path / "log").read_text()
    assert "Fatal Python error: Segmentation fault" in log
    assert "in culprit" in log


@pytest.mark.parametrize("job", [None, "147"])
def test_first_line_says_at_once_where_an_attempt_is(tmp_path, monkeypatch, job):
    """Of a process that is torn before it says anything itself."""
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    assert script(tmp_path / "log", "os.kill(os.getpid(), 9)").returncode == -signal.SIGKILL
    where = rf"host {platform.node()}, {f'Slurm job {job}' if job else r'process [0-9]+'}"
    line = rf"--- attempt 1: {where}, 3 threads, \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\n"
    assert re.fullmatch(line, (tmp_path / "log").read_text())


@pytest.mark.parametrize("removed", [False, True])
def test_log_goes_on_after_attempts_that_failed_and_replaces_that_of_a_result(tmp_path, removed):
    """Also where it is removed before each of them, as Snakemake does."""
    log = tmp_path / "log"
    log.write_text("from an older version\n" * 100)
    words = ["print('first')\n1 / 0", "print('second', flush=True)\nos.kill(os.getpid(), 9)"]
    for each in [*words, "print('third')"]:
        if removed:
            log.unlink()
        script(log, each)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    lines = log.read_text().splitlines()
    begun = [line.split(":")[0] for line in lines if line.startswith("--- attempt")]
    assert begun == ["--- attempt 1", "--- attempt 2", "--- attempt 3"]
    assert [w for w in lines if w in ("first", "second", "third")] == ["first", "second", "third"]
    assert lines[0].startswith(FIRST)
    script(log, "print('new')")
    assert said(log) == ["new"]


def test_ctrl_c_ends_a_script_at_once_and_without_a_traceback(tmp_path):
    words = "print('before', flush=True)\nos.kill(os.getpid(), 2)\nprint('after')"
    assert script(tmp_path / "log", words).returncode == -signal.SIGINT
    first, *said = (tmp_path / "log").read_text().splitlines()
    assert first.startswith(FIRST)
    assert said == ["before"]


def test_the_last_attempt_of_a_log(tmp_path):
    log = tmp_path / "log"
    began = time.time()
    script(log, "print(os.getpid())\n1 / 0")
    process = int(log.read_text().splitlines()[1])
    attempt = logs.last_attempt(log)
    assert (attempt.host, attempt.process) == (platform.node(), process)
    assert began - 1 <= attempt.began <= time.time()  # whole seconds
    assert attempt.words == "ZeroDivisionError: division by zero"
    assert not attempt.ended
    script(log, "logging.getLogger('a.b').info('seed 3 of 5')")
    attempt = logs.last_attempt(log)
    assert attempt.process != process
    assert attempt.ended
    log.write_text(log.read_text().rsplit("---", 1)[0])
    assert logs.last_attempt(log).words == "seed 3 of 5"
    assert not logs.last_attempt(log).ended
    log.write_text("of another program")
    assert logs.last_attempt(log) is None


def test_log_that_has_grown_large_is_replaced(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"{FIRST}host a\n" + "from an attempt that failed\n" * 50_000)
    script(log, "print('new')")
    assert said(log) == ["new"]


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
    assert [line.split(": ", 1)[1] for line in said(tmp_path / "log")] == [
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
    assert said(tmp_path / "log") == []


def test_the_end_of_a_script_does_not_search_what_was_imported(tmp_path):
    """Python's last search for garbage would take as long as a fourth of the imports."""
    words = "import gc\ngc.set_debug(gc.DEBUG_STATS)\nprint('the end', flush=True)"
    assert script(tmp_path / "log", words).returncode == 0
    _, end = (tmp_path / "log").read_text().split("the end")
    searched = re.findall(r"^gc: objects in each generation: (.+)$", end, re.MULTILINE)
    set_aside = re.findall(r"^gc: objects in permanent generation: (.+)$", end, re.MULTILINE)
    assert len(searched) == len(set_aside) > 0
    for found, kept in zip(searched, set_aside, strict=True):
        assert sum(map(int, found.split())) < int(kept) / 4
