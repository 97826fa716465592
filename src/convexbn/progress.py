"""Progress of a long computation: a bar on a terminal, or lines in a log."""

import logging
import time
from typing import Any, Self, TextIO

# The terminal that bars are drawn on, if there is one: set by the logs of a workflow script.
terminal: TextIO | None = None


class progress:
    """A progress bar where there is a terminal, else log lines at most every `every` seconds.

    Parameters
    ----------
    total : int or None
        Number of steps, if known.
    desc : str
        Name of the computation.
    every : float
        Seconds between two log lines.

    Examples
    --------
    >>> with progress(total=3, desc="solve") as bar:
    ...     for gap in (1e-1, 1e-2, 1e-3):
    ...         bar.step(f"gap {gap:.0e}")
    """

    def __init__(self, total: int | None, desc: str, every: float = 10.0) -> None:
        self.bar: Any = None
        self.total, self.desc, self.every = total, desc, every
        self.count, self.spoke = 0, time.monotonic()
        self.logger = logging.getLogger("convexbn.progress")

    def __enter__(self) -> Self:
        if terminal is not None:
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.desc, file=terminal, leave=False)
        return self

    def step(self, words: str = "", steps: int = 1) -> None:
        """Advance by `steps` and show `words`."""
        self.count += steps
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)
            self.bar.update(steps)
        if time.monotonic() - self.spoke >= self.every:
            self.spoke = time.monotonic()
            of = f"/{self.total}" if self.total else ""
            self.logger.info("%s %d%s %s", self.desc, self.count, of, words)

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()
