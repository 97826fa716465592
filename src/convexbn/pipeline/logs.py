"""Log of a workflow script: it takes all output, and leaves progress bars to the terminal.

Snakemake's `script:` does not fill `log:`, and a crash would leave it empty.
"""

import atexit
import faulthandler
import gc
import io
import logging
import os
import sys
from pathlib import Path

from convexbn import progress


def start(path: str | Path) -> None:
    """Send stdout, stderr and logging of this process to `path`, from the file descriptors up.

    Duplicating the descriptors also catches what compiled libraries print, and faults. The
    terminal, if there is one, is kept for the bars of :mod:`convexbn.progress`.

    Figures are drawn for files: MPLBACKEND, in a notebook's terminal, may name what is missing
    here. A matplotlibrc may ask for the numbers of the user's language, which LC_ALL then names.

    The imports that follow make hundreds of thousands of objects, none of them garbage: they are
    searched for it less often than by default, and not at all when the process ends.
    """
    gc.set_threshold(20_000, 10, 10)
    atexit.register(gc.freeze)
    os.environ |= {"MPLBACKEND": "agg", "LC_ALL": "C.UTF-8"}
    if sys.stderr.isatty():
        progress.terminal = os.fdopen(os.dup(2), "w", buffering=1)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale; names of files need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    faulthandler.enable()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr
    )
    # The plotting libraries speak of themselves at INFO.
    for talkative in ("matplotlib", "fontTools"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
