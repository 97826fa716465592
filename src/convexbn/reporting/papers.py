"""The page of the papers' results, and where each is: verdicts and minutes, from the records.

A row of a table on that page names, in backticks, ids of claims in its second cell and rules in its
third. Its last two cells are filled in: the verdicts of these claims in each recorded run, and the
minutes that the jobs of these rules took there.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from convexbn.files import atomic
from convexbn.pipeline import artifacts

PAGE = Path("docs/paper.md")
VERDICTS = ("reproduced", "not resolved", "not reproduced")
_ID = re.compile(r"[A-Z]\d[a-z]?")
_NONE = "not recorded"


def fill(page: str | Path, records: str | Path) -> None:
    """Write the verdicts and minutes of the recorded runs in a folder into a page."""
    text = filled(Path(page).read_text(encoding="utf-8"), records)
    with atomic(page) as partial:
        partial.write_text(text, encoding="utf-8")


def filled(text: str, records: str | Path) -> str:
    """Return the text of a page with the verdicts and minutes of the recorded runs in a folder."""
    runs = {
        path.parent.name: (artifacts.read_table(path), _stages(path.with_name("run.json")))
        for path in sorted(Path(records).glob("*/claims.csv"))
    }
    return "".join(_line(line, runs) for line in text.splitlines(keepends=True))


def ids_of(row: str) -> list[str]:
    """Return the ids of the claims that a row of a table is about; none for any other line."""
    cells = row.split("|")
    named = _named(cells[2]) if row.startswith("|") and len(cells) > 6 else []
    return named if all(map(_ID.fullmatch, named)) else []


def rules_of(row: str) -> list[str]:
    """Return the rules that a row about claims names."""
    return _named(row.split("|")[3])


def _named(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def _stages(path: Path) -> dict[str, dict[str, float]]:
    return artifacts.read_document(path)["stages"]


def _line(line: str, runs: dict[str, tuple[pd.DataFrame, dict]]) -> str:
    if not (ids := ids_of(line)):
        return line
    verdicts, minutes = [], []
    for config, (claims, stages) in runs.items():
        rows = claims[claims["id"].isin(ids) & claims["verdict"].isin(VERDICTS)]
        if len(rows):
            verdicts.append(f"{config}: {_verdicts(rows)}")
            minutes.append(f"{config}: {_minutes(rules_of(line), stages)}")
    cells = ("<br>".join(words) or _NONE for words in (verdicts, minutes))
    return "|".join([*line.split("|")[:-3], *(f" {cell} " for cell in cells), "\n"])


def _verdicts(rows: pd.DataFrame) -> str:
    """Return verdicts with the claims that have them; a claim has several on several data sets."""
    found = {verdict: list(rows.loc[rows["verdict"] == verdict, "id"]) for verdict in VERDICTS}
    named = [f"{verdict} {_listed(ids)}" for verdict, ids in found.items() if ids]
    return "; ".join(named)


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(ids))


def _minutes(rules: Iterable[str], stages: dict[str, dict[str, float]]) -> str:
    known = [stages[rule]["minutes"] for rule in rules if rule in stages]
    return f"{sum(known):.1f}" if known else "no logs"
