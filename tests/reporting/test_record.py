"""Records of runs: made from a finished run, and held against another, by the command of make."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from claim_rows import runs_of

from convexbn.pipeline import artifacts
from convexbn.reporting import record, selection
from convexbn.reporting.claims import COLUMNS

VERDICTS = {"E3a": "reproduced", "E3b": "not resolved"}


def finish(results, verdicts=VERDICTS, truncated=(0.5, 0.51, 0.52), methods=True):
    """Write the tables and a log of a run."""
    rows = [(name, "d", "words", "> 0", "+1", verdict) for name, verdict in verdicts.items()]
    claims = pd.DataFrame(rows, columns=COLUMNS)
    tables = {"claims": claims}
    if methods:
        runs = runs_of((0.4, 0.41, 0.42), (0.3, 0.31, 0.32), truncated)
        tables |= {"methods": selection.methods(runs), "runs": runs}
    for name, table in tables.items():
        path = results / "tables" / f"{name}.csv"
        artifacts.write_table(path, table, artifacts.provenance(seed=0))
    log = results / "logs" / "solve" / "full.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = "--- attempt 1: host a, process 7, 1 threads, 2026-01-01 00:00:00\n"
    log.write_text(f"{start}--- ended well, 2026-01-01 00:03:00\n")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with a config, its finished run, and the record of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/paper.md").write_text("| words | `E3a` | `solve` | | | |\n")
    write_config()
    finish(tmp_path / "out")
    assert record.main(["record", "config/x.yaml"]) == 0
    return tmp_path


def write_config(**changes):
    content = {"pathvars": {"results": "out"}, "seed": 0, "convex": {"full": {"betas": [1.0]}}}
    record.Path("config").mkdir(exist_ok=True)
    record.Path("config/x.yaml").write_text(yaml.safe_dump(content | changes))


def verify(capsys) -> tuple[int, str]:
    capsys.readouterr()
    status = record.main(["verify", "config/x.yaml"])
    return status, "".join(capsys.readouterr())


def test_a_record_holds_the_tables_as_they_were_and_what_the_run_was(project):
    for name in ("claims.csv", "methods.csv", "runs.csv"):
        kept = (project / "results/record/x" / name).read_bytes()
        assert kept == (project / "out/tables" / name).read_bytes()
    about = artifacts.read_document(project / "results/record/x/run.json")
    assert about["config"] == yaml.safe_load((project / "config/x.yaml").read_text())
    assert about["stages"] == {"solve": {"jobs": 1, "minutes": 3.0}}
    assert about["processor"]
    row = "| words | `E3a` | `solve` | | x: reproduced E3a | x: 3.0 |\n"
    assert (project / "docs/paper.md").read_text() == row


def test_the_same_run_stands(project, capsys):
    status, said = verify(capsys)
    assert status == 0
    assert "2 claims: same 2." in said
    assert "3 methods: agrees 3." in said
    assert "has changed" not in said


def test_a_changed_verdict_fails(project, capsys):
    finish(project / "out", VERDICTS | {"E3b": "reproduced"})
    status, said = verify(capsys)
    assert status == 1
    assert "same 1, changed 1" in said
    assert "Not every recorded verdict stands" in said


def test_a_claim_that_was_not_judged_fails(project, capsys):
    finish(project / "out", {"E3a": "reproduced"})
    assert verify(capsys)[0] == 1


def test_another_accuracy_with_the_same_verdicts_is_said_and_stands(project, capsys):
    finish(project / "out", truncated=(0.6, 0.61, 0.62))
    status, said = verify(capsys)
    assert status == 0
    assert "agrees 2, differs 1" in said


@pytest.mark.parametrize("whole_table", [False, True])
def test_a_missing_method_fails(whole_table, project, capsys):
    path = project / "out/tables/methods.csv"
    if whole_table:
        path.unlink()
    else:
        fewer = artifacts.read_table(path).query("method != 'SGD'")
        artifacts.write_table(path, fewer, {})
    status, said = verify(capsys)
    assert status == 1
    assert "missing" in said


def test_without_a_record_those_that_there_are_are_named(project, capsys):
    shutil.move("results/record/x", "results/record/other")
    status, said = verify(capsys)
    assert status == 2
    assert "there is no record of x.yaml: results/record/x/claims.csv is missing" in said
    assert "recorded are other" in said


@pytest.mark.parametrize("action", ["record", "verify"])
def test_without_a_run_the_command_for_it_is_named(action, project, capsys):
    shutil.rmtree("out")
    kept = (project / "results/record/x/claims.csv").read_bytes()
    assert record.main([action, "config/x.yaml"]) == 2
    assert "no finished run of x.yaml: its tables in out are" in (said := capsys.readouterr().err)
    assert "make reproduce CONFIG=config/x.yaml" in said
    assert (project / "results/record/x/claims.csv").read_bytes() == kept


def test_an_edited_table_is_neither_recorded_nor_compared(project, capsys):
    path = project / "out/tables/claims.csv"
    path.write_text(path.read_text().replace("not resolved", "reproduced"))
    for action in ("record", "verify"):
        assert record.main([action, "config/x.yaml"]) == 2
        assert "it was edited" in capsys.readouterr().err


def test_a_table_without_provenance_is_not_recorded(project, capsys):
    path = project / "out/tables/claims.csv"
    path.write_text(path.read_text().split("\n", 1)[1])
    assert record.main(["record", "config/x.yaml"]) == 2
    assert "no artifact of this project" in capsys.readouterr().err
    assert (project / "results/record/x/claims.csv").exists()  # the old record is still whole


def test_a_config_that_changed_since_is_named_by_its_sections(project, capsys):
    write_config(convex={"full": {"betas": [2.0]}}, device="cpu", bias={})
    status, said = verify(capsys)
    assert status == 0
    assert "The config has changed since, in bias, convex.\n" in said


def test_a_record_is_replaced_whole(project):
    shutil.rmtree("out")
    finish(project / "out", {"W1": "reproduced"}, methods=False)
    assert record.main(["record", "config/x.yaml"]) == 0
    kept = sorted(path.name for path in (project / "results/record/x").iterdir())
    assert kept == ["claims.csv", "run.json"]
    about = json.loads((project / "results/record/x/run.json").read_text())
    assert about["provenance"]["versions"]["convexbn"]


def test_the_tables_of_a_benchmark_are_recorded_and_not_compared(project, capsys):
    shutil.rmtree("out")
    for name in ("times", "engine", "curves"):
        table = pd.DataFrame({"seconds": [1.0]})
        artifacts.write_table(project / f"out/benchmark/{name}.csv", table, artifacts.provenance())
    write_config(benchmark={})
    assert record.main(["record", "config/x.yaml"]) == 2  # its claims are not judged yet
    assert (project / "results/record/x/claims.csv").exists()
    Path("config/x.yaml").write_text("{benchmark: {}, pathvars: {results: out}}")
    assert record.main(["record", "config/x.yaml"]) == 0
    kept = sorted(path.name for path in (project / "results/record/x").iterdir())
    assert kept == ["engine.csv", "run.json", "times.csv"]
    status, said = verify(capsys)
    assert status == 2
    assert "if it judges claims (a benchmark does not)" in said


def test_a_record_is_of_the_commit_of_its_run(project, monkeypatch):
    later = artifacts.provenance() | {"commit": "a later one"}
    monkeypatch.setattr(artifacts, "provenance", lambda *_, **__: later)
    assert record.main(["record", "config/x.yaml"]) == 0
    about = json.loads((project / "results/record/x/run.json").read_text())
    claims = artifacts.read_provenance(project / "results/record/x/claims.csv")
    assert about["provenance"]["commit"] == claims["commit"] != "a later one"
