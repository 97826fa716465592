"""How far a long computation is: a bar on a terminal, lines in a log."""

import logging
import time

terminal = None  # where bars are drawn, if anywhere: a workflow script sets it to its terminal


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
        if terminal is not None:
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.desc, file=terminal, leave=False)
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
