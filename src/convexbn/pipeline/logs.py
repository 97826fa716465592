"""Log of a workflow script: it takes all output, and leaves progress bars to the terminal.

Snakemake's `script:` does not fill `log:`, and a crash would leave it empty. The log of an attempt
that failed, or was killed, is gone on with by the next one; that of one which ended well is
replaced: so it says all that was tried since the last result, and does not grow from run to run.
Snakemake removes a log before its job runs: until an attempt ends well the file has a second name.
"""

import atexit
import contextlib
import faulthandler
import gc
import io
import logging
import os
import platform
import re
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from convexbn import imports, progress
from convexbn.pipeline import interpreters

_LARGEST = 2**20  # bytes of a log that is gone on with
_BEGUN = re.compile(rb"^--- attempt (\d+):", re.MULTILINE)
_ENDED = b"--- ended well"
_TIME = "%Y-%m-%d %H:%M:%S"
_PLACE = re.compile(
    r"^--- attempt \d+: host (\S+), (process|Slurm job) (\d+),.* (\S+ \S+)\n", re.MULTILINE
)
_FINISHED = re.compile(rf"^{_ENDED.decode()}, (\S+ \S+)$", re.MULTILINE)
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [\w.]+: ")  # of logging


def start(path: str | Path, threads: int | None = None) -> None:
    """Send stdout, stderr and logging of this process to `path`, from the file descriptors up.

    Its first line says at once which attempt this is, and where and when: Snakemake shows the log
    of a job that failed only if there is something in it.

    Duplicating the descriptors also catches what compiled libraries print, and faults. The
    terminal, if there is one, is kept for the bars of :mod:`convexbn.progress`.

    What the script starts finds this package as the script does, also in an environment of its own
    (`--sdm conda`), where Snakemake takes PYTHONPATH away.

    Figures are drawn for files: MPLBACKEND, in a notebook's terminal, may name what is missing
    here. A matplotlibrc may ask for the numbers of the user's language, which LC_ALL then names.

    Ctrl-C ends the script at once, as a kill does, and without a traceback in the log: what it has
    finished is kept, and no solve that was interrupted counts as one, where :func:`convexbn.solve`
    would give back the best so far.

    The imports that follow make hundreds of thousands of objects, none of them garbage: they are
    searched for it less often than by default, and not at all when the process ends.
    """
    gc.set_threshold(20_000, 10, 10)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    atexit.register(gc.freeze)
    os.environ |= {"MPLBACKEND": "agg", "LC_ALL": "C.UTF-8"}
    interpreters.find_first(str(imports.PACKAGE.parent))
    if sys.stderr.isatty():
        progress.terminal = os.fdopen(os.dup(2), "w", buffering=1)
    path, second = Path(path), _second(path)
    with contextlib.suppress(OSError):  # there is none, or the first one is still there
        os.link(second, path)
    attempt = 1 + _failed(path)
    replace = os.O_TRUNC if attempt == 1 else 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | replace, 0o644)
    os.write(descriptor, _first_line(attempt, threads).encode())
    with contextlib.suppress(OSError):  # not every file system has second names
        second.unlink(missing_ok=True)
        os.link(path, second)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale; names of files need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    faulthandler.enable()
    atexit.register(_end, path)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr
    )
    # The plotting libraries speak of themselves at INFO.
    for talkative in ("matplotlib", "fontTools"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _failed(path: Path) -> int:
    """Return how many attempts are in a log that did not end well; 0 for one to replace."""
    if not path.exists() or path.stat().st_size > _LARGEST:
        return 0
    content = path.read_bytes()
    attempts = list(_BEGUN.finditer(content))
    over = not attempts or _ENDED in content[attempts[-1].start() :]
    return 0 if over else int(attempts[-1][1])


class Attempt(NamedTuple):
    """The last attempt in a log: where and when it began, its last words, and when it ended."""

    host: str
    process: int  # 0 for a job of Slurm
    began: float  # seconds since the epoch
    words: str
    ended: float  # likewise, if it ended well; else 0


def last_attempt(path: str | Path) -> Attempt | None:
    """Return the last attempt that a log tells of; None for a log of something else."""
    content = Path(path).read_text(encoding="utf-8", errors="replace")
    begun = list(_PLACE.finditer(content))
    if not begun:
        return None
    host, where, number, when = begun[-1].groups()
    rest = content[begun[-1].end() :]
    ended = _FINISHED.findall(rest)
    return Attempt(
        host=host,
        process=int(number) if where == "process" else 0,
        began=_seconds(when),
        words=_STAMP.sub("", (rest.splitlines() or [""])[-1]),
        ended=_seconds(ended[-1]) if ended else 0.0,
    )


def _seconds(when: str) -> float:
    return time.mktime(time.strptime(when, _TIME))


def _first_line(attempt: int, threads: int | None) -> str:
    job = os.environ.get("SLURM_JOB_ID")
    where = [f"host {platform.node()}", f"Slurm job {job}" if job else f"process {os.getpid()}"]
    where += [f"{threads} threads"] if threads else []
    return f"--- attempt {attempt}: {', '.join(where)}, {time.strftime(_TIME)}\n"


def _second(path: str | Path) -> Path:
    """Return the second name of a log."""
    return Path(path).with_name(f".{Path(path).name}.kept")


def end(path: str | Path) -> None:
    """Say in a log, to which this process writes, that its attempt has ended well."""
    sys.stdout.flush()
    os.write(2, b"%b, %b\n" % (_ENDED, time.strftime(_TIME).encode()))
    _second(path).unlink(missing_ok=True)


def _end(path: Path) -> None:
    if not hasattr(sys, "last_value"):  # else an error has ended the script
        end(path)
