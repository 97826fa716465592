"""Texts of the report: reStructuredText with variables, as Snakemake's own report reads it."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

_SETTINGS = {
    "halt_level": 2,  # a text with a mistake is an error, and not a page that shows the mistake
    "report_level": 5,
    "math_output": "MathML",  # needs no style sheet
    "raw_enabled": False,
    "file_insertion_enabled": False,
}
_TITLED = re.compile(r"<p><strong>(?P<title>.*?)</strong>\s*(?P<rest>.*)", re.DOTALL)


class Text(NamedTuple):
    """A text as HTML; `title` is what it begins with in bold, "" without."""

    title: Markup
    body: Markup


def rendered(path: str | Path, wildcards: dict[str, str] | None = None) -> Text:
    """Read a text and return it as HTML.

    Parameters
    ----------
    path : path
    wildcards : dict, optional
        The values of `snakemake.wildcards` in the text.

    Raises
    ------
    jinja2.UndefinedError
        If the text has another variable.
    docutils.utils.SystemMessage
        If it is no reStructuredText.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # the result is no HTML
    template = environment.from_string(Path(path).read_text(encoding="utf-8"))
    text = template.render(snakemake=SimpleNamespace(wildcards=wildcards or {}))
    html = publish_parts(text, writer="html5", settings_overrides=_SETTINGS)["body"].strip()
    # A norm's bars stretch to the height of the line, and what stands above them sinks.
    html = html.replace("<mo>‖</mo>", '<mo stretchy="false">‖</mo>')
    if not (found := _TITLED.fullmatch(html)):
        return Text(Markup(), Markup(html))
    rest = found["rest"]
    body = rest.removeprefix("</p>") if rest.startswith("</p>") else f"<p>{rest}"
    return Text(Markup(found["title"].rstrip(".")), Markup(body.lstrip()))
