"""What the report shows: the figures and tables of a config, as the rules name them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from snakemake.rules import Rule


class Figure(TypedDict):
    """A figure of the report.

    Attributes
    ----------
    png, pdf : str
    tables : list of str
        What it is drawn from.
    caption : str
        Path of a text with the variables `snakemake.wildcards`.
    wildcards : dict
    experiment : str
        The package of `convexbn.experiments` that draws it.
    group, label : str
        Among the figures of the experiment.
    """

    png: str
    pdf: str
    tables: list[str]
    caption: str
    wildcards: dict[str, str]
    experiment: str
    group: str
    label: str


def figures(rules: Iterable["Rule"], outputs: Iterable[str], results: str | Path) -> list[Figure]:
    """Return the figures among some outputs, in their order, whether or not they were drawn.

    Parameters
    ----------
    rules : iterable of Rule
        All rules of the workflow.
    outputs : iterable of str
        Paths, of which `<results>` begins those of figures.
    results : path
        The folder that `<results>` stands for.
    """
    paths = _in(results, outputs)
    plots = [rule for rule in rules if hasattr(rule.output, "png")]
    return [
        _figure(rule, path)
        for path in paths
        if path.endswith(".png")
        for rule in plots
        if rule.output.png.match(path)
    ]


def tables(outputs: Iterable[str], results: str | Path) -> dict[str, str]:
    """Return the tables among some outputs by their names, whether or not they were made."""
    return {Path(path).stem: path for path in _in(results, outputs) if path.endswith(".csv")}


def _in(results: str | Path, paths: Iterable[str]) -> list[str]:
    return [path.replace("<results>", str(results)) for path in paths]


def _figure(rule: "Rule", png: str) -> Figure:
    wildcards = rule.get_wildcards(png)
    marked = rule.output.png.flags["report"]
    inputs = rule.expand_input(wildcards)[0]
    params: dict[str, Any] = dict(rule.params.items())
    return {
        "png": png,
        "pdf": str(rule.output.pdf.apply_wildcards(wildcards)),
        "tables": [str(path) for path in inputs],
        "caption": marked.caption.get_path_or_uri(secret_free=True),
        "wildcards": dict(wildcards),
        "experiment": params["function"].split(".")[2],
        "group": marked.subcategory.format(**wildcards),
        "label": marked.labels["figure"].format(**wildcards),
    }
