"""What a run's status says, from Snakemake's table of files and the logs."""

import os
import platform
import re
import time

import pytest
from workflow_runs import ROOT, command, snakemake

from convexbn.pipeline import status

HERE = f"host {platform.node()}, process"
# After this process began.
NOW = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + 1))
GONE = f"{HERE} {2**22 + 1}"  # a number that Linux gives to no process
ELSEWHERE = "host node7, Slurm job 12"


def summary(*rows, results="results") -> str:
    """Return Snakemake's table for rows of a file, its rule, and whether it is up to date."""
    head = "output_file\tdate\trule\tlog-file(s)\tstatus\tplan"
    plan = {True: "no update", False: "update pending"}
    lines = [f"{results}/{path}\t-\t{rule}\t-\tok\t{plan[done]}" for path, rule, done in rows]
    return "\n".join([head, *lines])


def log(folder, name, where, *said) -> None:
    path = folder / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"--- attempt 1: {where}, 1 threads, {NOW}", *said, ""]))


ROWS = [
    ("sgd/bn.csv", "train_sgd", False),
    ("sgd/plain.csv", "train_sgd", True),
    ("convex/full.csv", "solve", False),
    ("images/digits.csv", "ingest", True),
]


def test_done_missing_running_and_stopped_jobs_are_told_apart(tmp_path):
    words = "2026-01-01 10:00:00,123 convexbn.training: epoch 3 of 5"
    log(tmp_path, "train_sgd/bn", f"{HERE} {os.getpid()}", "x", words)
    log(tmp_path, "solve/full", GONE, "some words")
    log(tmp_path, "solve/small", ELSEWHERE)
    log(tmp_path, "solve/other", GONE, "--- ended well, 2026-01-01 10:00:00", "leaked")
    log(tmp_path, "ingest", GONE)  # nothing of this rule is missing any more
    said = status.lines(summary(*ROWS, results=tmp_path), "config/x.yaml")
    assert said[0] == "config/x.yaml: 2 of 4 files are done, 2 jobs run, 1 stopped."
    text = " ".join(" ".join(said).split())
    assert "done images 1 missing sgd 1 of 2, convex 1 of 1" in text
    when = r"since \w+ \d\d:\d\d"
    assert re.search(rf"running solve/small, {when} train_sgd/bn, {when}: epoch 3 of 5", text)
    assert re.search(rf"stopped solve/full, {when}: some words logs {tmp_path}/logs", text)
    assert "ingest" not in text
    assert "other" not in text
    assert "goes on from here" not in text  # something runs


def test_it_says_how_to_go_on_where_nothing_runs(tmp_path):
    said = status.lines(summary(*ROWS, results=tmp_path), "config/x.yaml")
    assert said[-1] == "`make reproduce CONFIG=config/x.yaml` goes on from here."
    done = [(path, rule, True) for path, rule, _ in ROWS]
    said = status.lines(summary(*done, results=tmp_path), "config/x.yaml")
    assert [line.split()[0] for line in said] == ["config/x.yaml:", "done"]


def test_it_is_never_longer_than_a_screen(tmp_path):
    rows = [(f"folder{i}-of-a-long-name/x.csv", "solve", i % 2 == 0) for i in range(200)]
    for i in range(30):
        log(tmp_path, f"solve/a{i}", GONE, "words " * 50)
        log(tmp_path, f"solve/b{i}", ELSEWHERE, "words " * 50)
    said = status.lines(summary(*rows, results=tmp_path), "config/x.yaml")
    assert len(said) <= status.LINES
    assert max(len(line) for line in said if not line.startswith("logs")) <= 100


def test_a_later_process_of_the_same_number_is_not_the_job(tmp_path):
    log(tmp_path, "solve/full", f"{HERE} {os.getpid()}")
    path = tmp_path / "logs/solve/full.log"
    path.write_text(re.sub(r"\d{4}-\d\d-\d\d", "2020-01-01", path.read_text()))
    assert "0 jobs run, 1 stopped" in status.lines(summary(*ROWS, results=tmp_path), "x")[0]


@pytest.mark.slow  # Snakemake starts three times
def test_the_status_of_a_real_run(tmp_path, capsys, monkeypatch):
    """It may be asked while Snakemake's lock is there, and refuses a config by name."""
    config = str(ROOT / "config/test.yaml")
    monkeypatch.chdir(tmp_path)
    said = snakemake("results/test/theory/sampling.csv", "--configfile", config, directory=tmp_path)
    assert ".py" not in said.split("Execute 1 jobs")[1]  # no code files among what a job prints
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(str(tmp_path / "results/test/tables/claims.csv"))
    arguments = command("--configfile", config, directory=tmp_path)[3:]
    status.main(arguments)
    assert f"{config}: 1 of " in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"missing\.yaml"):
        status.main([*arguments[:-1], "missing.yaml"])
