"""The report: one page with the verdicts, the figures with their captions, and their origins.

It holds its images and style, and asks for nothing from elsewhere; it runs no script. What was not
made yet is named on it, so that it can be written of an unfinished run.
"""

import base64
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from convexbn.pipeline import artifacts
from convexbn.pipeline.shown import Figure
from convexbn.reporting import captions, origins, pages
from convexbn.reporting.captions import Text
from convexbn.reporting.registries import present

_VERDICTS = {"reproduced": "✓", "not reproduced": "✗", "not resolved": "?", "not run": "○"}
_FIRST = "headline"  # of the experiments: what a reader comes for
_DPI = 300  # of the images, see convexbn.reporting.plotting.save
_ENLARGED = 1.2  # on a screen: figures have the small type of a printed page


class Shown(NamedTuple):
    """A figure as the page shows it; links are relative to the page."""

    id: str
    text: Text
    data: str
    width: int
    height: int
    links: list[tuple[str, str]]


class Section(NamedTuple):
    """An experiment: its figures by group, its table ("" without), and what is missing."""

    id: str
    text: Text
    groups: dict[str, list[Shown]]
    table: Markup
    table_text: Text | None
    missing: list[str]


class Claims(NamedTuple):
    """The claims of an experiment, as rows of their table."""

    id: str
    title: str
    rows: list[dict[str, str]]


def report(
    page: str | Path,
    figures: Sequence[Figure],
    tables: dict[str, str],
    texts: str | Path,
    config: dict[str, Any],
    sources: dict[str, str],
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    page : path
        Where it will lie, in a folder of the folder of results.
    figures : sequence of Figure
        What the config asks for; those that do not exist are named.
    tables : dict
        Paths by name of the tables that the config asks for: claims, methods, theorems, others.
    texts : path
        The folder of the captions and the texts of the sections.
    config : dict
    sources : dict
        Texts of the files that the config was read from, by their names.

    Raises
    ------
    ValueError
        If nothing that it shows was made yet, or a table was edited.
    """
    page, texts = Path(page), Path(texts)
    made = {name: path for name, path in tables.items() if Path(path).exists()}
    if not made and not any(Path(figure["png"]).exists() for figure in figures):
        raise ValueError(
            f"nothing was made yet for {', '.join(sources)}, in {page.parents[1]}; run `make "
            "reproduce` with this CONFIG first"
        )
    sections = _sections(page, figures, made, texts)
    titles = {section.id: section.text.title for section in sections}
    claims = _claims(made, titles)
    verdicts = [row["verdict"] for group in claims for row in group.rows]
    drawn = [path for figure in figures for path in figure["tables"] if Path(path).exists()]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template("report.html").render(
        question=captions.rendered(texts / "sections" / "question.rst"),
        background=captions.rendered(texts / "workflow.rst"),
        symbols=_VERDICTS,
        counts={verdict: verdicts.count(verdict) for verdict in _VERDICTS},
        claims=claims,
        claims_text=captions.rendered(texts / "claims.rst"),
        sections=sections,
        methods=_table(made, "methods"),
        methods_text=captions.rendered(texts / "methods.rst"),
        links=[(Path(path).name, _link(page, path)) for path in made.values()],
        missing=[name for name in tables if name not in made],
        origins=origins.origins(sorted({*drawn, *made.values()})),
        seed=config.get("seed"),
        seeds=origins.seeds(config),
        times=origins.times(page.parents[1] / "benchmarks").to_dict("records"),
        surroundings=origins.surroundings(),
        sources=sources,
        written=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC".lstrip("0"),
    )


def _claims(made: dict[str, str], titles: dict[str, Markup]) -> list[Claims]:
    """Return the claims by experiment; those of which it is not known, last."""
    if "claims" not in made:
        return []
    table = artifacts.read_table(made["claims"]).fillna("").astype(str)
    present("verdicts", table["verdict"], _VERDICTS)
    homes = {
        id: experiment for experiment, ids in origins.judged(made["claims"]).items() for id in ids
    }
    rows: dict[str, list[dict[str, str]]] = {}
    for row in table.to_dict("records"):
        rows.setdefault(homes.get(row["id"], ""), []).append(row)
    order = _ordered([*(name for name in rows if name), *([""] if "" in rows else [])])
    return [Claims(name, titles.get(name, Markup("Other claims")), rows[name]) for name in order]


def _sections(
    page: Path, figures: Sequence[Figure], made: dict[str, str], texts: Path
) -> list[Section]:
    sections = []
    for name in _ordered(figure["experiment"] for figure in figures):
        own = [figure for figure in figures if figure["experiment"] == name]
        drawn = [figure for figure in own if Path(figure["png"]).exists()]
        missing = [_id(page, figure) for figure in own if figure not in drawn]
        groups: dict[str, list[Shown]] = {}
        for figure in drawn:
            groups.setdefault(figure["group"], []).append(_shown(page, figure))
        table = _table(made, "theorems") if name == "theory" else Markup()
        text = captions.rendered(texts / "sections" / f"{name}.rst")
        table_text = captions.rendered(texts / "theorems.rst") if table else None
        sections.append(Section(name, text, groups, table, table_text, missing))
    return sections


def _ordered(experiments: Iterable[str]) -> list[str]:
    return sorted(dict.fromkeys(experiments), key=lambda name: name != _FIRST)


def _shown(page: Path, figure: Figure) -> Shown:
    png = Path(figure["png"])
    with Image.open(png) as image:
        pixels = image.size
    width, height = (round(side / _DPI * 96 * _ENLARGED) for side in pixels)  # 96 CSS pixels: 1 in
    text = captions.rendered(figure["caption"], figure["wildcards"])
    tables = [path for path in figure["tables"] if Path(path).exists()]
    pdf = [figure["pdf"]] if Path(figure["pdf"]).exists() else []
    return Shown(
        id=_id(page, figure),
        text=text if text.title else text._replace(title=Markup.escape(figure["label"])),
        data=base64.b64encode(png.read_bytes()).decode(),
        width=width,
        height=height,
        links=[(Path(path).name, _link(page, path)) for path in [*pdf, figure["png"], *tables]],
    )


def _id(page: Path, figure: Figure) -> str:
    figures = page.parents[1] / "figures"
    return "-".join(Path(figure["png"]).relative_to(figures).with_suffix("").parts)


def _table(made: dict[str, str], name: str) -> Markup:
    """Return a table as HTML, "" if it was not made."""
    if name not in made:
        return Markup()
    form = {"methods": pages.methods_table, "theorems": pages.theorems_table}[name]
    return Markup(pages.html_of(form(artifacts.read_table(made[name]))))


def _link(page: Path, path: str | Path) -> str:
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())


def duration(seconds: float) -> str:
    """Return a time in the largest unit of which it has one: 0.8 s, 12 s, 3.4 min, 2.1 h."""
    if pd.isna(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
