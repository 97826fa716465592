"""Where a workflow script's words go: everything to its log, a progress bar to the terminal.

Snakemake's `script:` does not fill `log:`, and a crash would leave it empty.
"""

import faulthandler
import logging
import os
import sys
import time

_terminal = None


def start(path) -> None:
    """Send stdout, stderr and logging of this process to `path`, from the file descriptors up.

    Duplicating the descriptors also catches what compiled libraries print, and faults. The
    terminal, if there is one, is kept for :func:`progress`.
    """
    global _terminal
    if sys.stderr.isatty():
        _terminal = os.fdopen(os.dup(2), "w", buffering=1)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr
    )
    # The plotting libraries speak of themselves at INFO.
    for talkative in ("matplotlib", "fontTools"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


class progress:
    """A progress bar where a terminal looks on, plain log lines at most every `every` seconds else.

    Parameters
    ----------
    total : int or None
        Number of steps, if known.
    desc : str
        What is going on.
    every : float
        Seconds between two log lines.

    Examples
    --------
    >>> with progress(total=3, desc="solve") as bar:
    ...     for gap in (1e-1, 1e-2, 1e-3):
    ...         bar.step(f"gap {gap:.0e}")
    """

    def __init__(self, total, desc, every=10.0):
        self.total, self.desc, self.every = total, desc, every
        self.count, self.spoke = 0, time.monotonic()
        self.logger = logging.getLogger("convexbn.progress")

    def __enter__(self):
        if _terminal is not None:
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.desc, file=_terminal, leave=False)
        else:
            self.bar = None
        return self

    def step(self, words="", steps=1) -> None:
        """Advance by `steps` and show `words`."""
        self.count += steps
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)
            self.bar.update(steps)
        if time.monotonic() - self.spoke >= self.every:
            self.spoke = time.monotonic()
            of = f"/{self.total}" if self.total else ""
            self.logger.info("%s %d%s %s", self.desc, self.count, of, words)

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.close()
