"""What of a config is done, running, stopped and missing, on one screen.

``python -m convexbn.pipeline.status ARGUMENTS`` asks Snakemake, with these arguments, which files
are up to date, and the logs which jobs are at work. It starts and changes nothing, and may be asked
while a run is under way.
"""

import csv
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from textwrap import wrap

import psutil

from convexbn.pipeline.logs import Attempt, last_attempt

LINES = 20  # at most
_WIDTH = 100
_SHOWN = 4  # jobs of a kind that are named
_ROWS = {"done": 3, "missing": 4}


def lines(summary: str, config: str) -> list[str]:
    """Return at most `LINES` lines about a run.

    Parameters
    ----------
    summary : str
        Snakemake's table ``--summary``: a row for each file that the config makes.
    config : str
        Its path, for the last line.
    """
    rows = list(csv.DictReader(summary.splitlines(), delimiter="\t"))
    results = Path(os.path.commonpath([row["output_file"] for row in rows]))
    folder = {row["output_file"]: _folder(row["output_file"], results) for row in rows}
    late = [row for row in rows if row["plan"] != "no update"]
    running, stopped = _begun(results / "logs", {row["rule"] for row in late})
    files = Counter(folder.values())
    missing = Counter(folder[row["output_file"]] for row in late)
    done = len(rows) - len(late)
    said = [
        f"{config}: {done} of {len(rows)} files are done, {len(running)} jobs run, "
        f"{len(stopped)} stopped."
    ]
    said += _folders("done", [f"{name} {n}" for name, n in files.items() if name not in missing])
    said += _folders("missing", [f"{name} {n} of {files[name]}" for name, n in missing.items()])
    said += _jobs("running", running)
    said += _jobs("stopped", stopped)
    if running or stopped:
        said += [f"logs      {results / 'logs'}"]
    if missing and not running:
        said += [f"`make reproduce CONFIG={config}` goes on from here."]
    return said


def _begun(logs: Path, rules: set[str]) -> tuple[dict[str, Attempt], dict[str, Attempt]]:
    """Return the jobs of some rules that run, and those that were stopped, by their logs.

    Of a job on another machine the log does not tell whether it still runs: it counts as running.
    """
    running: dict[str, Attempt] = {}
    stopped: dict[str, Attempt] = {}
    for path in sorted(logs.rglob("*.log")):
        name = path.relative_to(logs).with_suffix("")
        attempt = last_attempt(path) if name.parts[0] in rules else None
        if attempt and not attempt.ended:
            (running if _alive(attempt) else stopped)[str(name)] = attempt
    return running, stopped


def _alive(attempt: Attempt) -> bool:
    if not attempt.process or attempt.host != platform.node():
        return True
    try:  # the number may be that of a later process; a log's time is in whole seconds
        return psutil.Process(attempt.process).create_time() < attempt.began + 1
    except psutil.NoSuchProcess:
        return False


def _folder(path: str, results: Path) -> str:
    """Return what a result belongs to: the first folder below those of all results."""
    return Path(path).relative_to(results).parts[0]


def _folders(title: str, words: list[str]) -> list[str]:
    found = wrap(", ".join(words), _WIDTH - 10, max_lines=_ROWS[title], placeholder=" ...")
    return _titled(title, found)


def _jobs(title: str, attempts: dict[str, Attempt]) -> list[str]:
    found = []
    for name, attempt in list(attempts.items())[:_SHOWN]:
        since = time.strftime("%a %H:%M", time.localtime(attempt.began))
        words = f"{name}, since {since}" + (f": {attempt.words}" if attempt.words else "")
        found += wrap(words, _WIDTH - 10, max_lines=1, placeholder=" ...")
    if len(attempts) > _SHOWN:
        found += [f"and {len(attempts) - _SHOWN} more"]
    return _titled(title, found)


def _titled(title: str, found: list[str]) -> list[str]:
    """Return lines with a title before the first."""
    return [f"{'' if i else title:10}{line}" for i, line in enumerate(found)]


def main(arguments: list[str]) -> None:
    """Print the status of the config that is among the arguments of Snakemake.

    Raises
    ------
    SystemExit
        If Snakemake refuses the config, with its words.
    """
    command = [sys.executable, "-m", "snakemake", *arguments, "--summary"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    print(*lines(run.stdout, arguments[arguments.index("--configfile") + 1]), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
