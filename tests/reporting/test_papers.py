"""Verdicts and minutes of recorded runs in the tables of a page."""

import pandas as pd
import pytest

from convexbn.pipeline import artifacts
from convexbn.reporting import papers
from convexbn.reporting.claims import COLUMNS

HEAD = "# Title\n\n| result | claims | rules | files | verdict | minutes |\n" + 6 * "| --- " + "|\n"
ROW = "| words | `E3a` `E3b` | `solve` `train_sgd` | `x.pdf` | {} | {} |\n"
REST = "| words | none | `solve` | | old | old |\n| E1 | `make` | 7 minutes |\n\nText with `E3a`.\n"
PAGE = HEAD + ROW + REST


def record(folder, name, verdicts, stages=("solve", "train_sgd")):
    rows = [(id, str(i), "", "", "", verdict) for i, (id, verdict) in enumerate(verdicts)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    artifacts.write_table(folder / name / "claims.csv", table, {})
    minutes = {stage: {"jobs": 2, "minutes": 1.26} for stage in stages}
    artifacts.write_document(folder / name / "run.json", {"stages": minutes}, {})


def cells(page) -> list[str]:
    return [cell.strip() for cell in page.splitlines()[4].split("|")[5:7]]


def test_without_records_nothing_is_claimed(tmp_path):
    page = papers.filled(PAGE.format("reproduced", "3"), tmp_path)
    assert cells(page) == ["not recorded", "not recorded"]


def test_verdicts_name_their_claims_and_minutes_add_up(tmp_path):
    record(tmp_path, "b", [("E3a", "reproduced"), ("E3b", "not resolved"), ("E3a", "reproduced")])
    verdicts, minutes = cells(papers.filled(PAGE, tmp_path))
    assert verdicts == "b: reproduced E3a; not resolved E3b"
    assert minutes == "b: 2.5"
    # A claim may have two verdicts on two data sets, and each record has a line.
    record(tmp_path, "a", [("E3a", "reproduced"), ("E3a", "not reproduced")], ["solve"])
    verdicts, minutes = cells(papers.filled(PAGE, tmp_path))
    assert (
        verdicts == "a: reproduced E3a; not reproduced E3a<br>b: reproduced E3a; not resolved E3b"
    )
    assert minutes == "a: 1.3<br>b: 2.5"


@pytest.mark.parametrize("verdicts", [[("E3a", "not run")], [("W1", "reproduced")]])
def test_records_without_these_claims_are_left_out(verdicts, tmp_path):
    record(tmp_path, "a", verdicts)
    assert cells(papers.filled(PAGE, tmp_path)) == ["not recorded", "not recorded"]


def test_minutes_without_logs_are_no_number(tmp_path):
    record(tmp_path, "a", [("E3a", "reproduced")], stages=[])
    assert cells(papers.filled(PAGE, tmp_path)) == ["a: reproduced E3a", "a: no logs"]


def test_everything_else_stays_and_filling_twice_is_filling_once(tmp_path):
    record(tmp_path, "a", [("E3a", "reproduced")])
    (tmp_path / "page.md").write_text(PAGE)
    papers.fill(tmp_path / "page.md", tmp_path)
    once = (tmp_path / "page.md").read_text()
    assert once.startswith(HEAD)
    assert once.endswith(REST)
    assert papers.filled(once, tmp_path) == once
