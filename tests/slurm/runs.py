"""Runs on the cluster of the tests, in the background, and what their small jobs leave."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from workflow_runs import ROOT

HERE = Path(__file__).parent
PROFILE = ROOT / "workflow" / "profiles" / "slurm"


class Run:
    """Snakemake with the project's profile for Slurm, in a folder of its own, in the background."""

    def __init__(self, cluster, folder, *arguments):
        folder.mkdir(exist_ok=True)
        self.cluster, self.folder = cluster, folder
        words = [sys.executable, HERE / "polling.py", "--workflow-profile", PROFILE]
        words += ["--slurm-partition-config", PROFILE / "partitions.yaml", "--directory", folder]
        words += ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]
        words += ["--max-jobs-per-timespan", "100/1s", *arguments]
        self.words = [str(word) for word in words]
        self.start()

    def start(self, *more):
        with open(self.folder / "said", "a") as said:
            streams = {"stdout": said, "stderr": subprocess.STDOUT}
            words, environment = [*self.words, *more], self.cluster.environment
            self.process = subprocess.Popen(words, env=environment, **streams)

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def finish(self, code=0) -> str:
        assert self.process.wait(timeout=1200) == code, self.said()[-6000:]
        return self.said()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def late(run) -> list[str]:
    """Return id, partition and node of the second job, once it runs: the first one is done."""
    run.cluster.wait(lambda: "late" in started(run), "second job")
    return run.cluster.jobs(run.folder, "late")[-1]


def started(run) -> Counter:
    path = run.folder / "started"
    return Counter(path.read_text().split() if path.exists() else [])


def check_done(run):
    """Check that what was finished was done once, and what the fault met once more."""
    found = started(run)
    assert found == {"early": 1, "late": 2}, f"{found}\n{run.said()[-6000:]}"
    assert (run.folder / "early").read_text() == "1\n"
    assert (run.folder / "late").read_text() == "2\n"
