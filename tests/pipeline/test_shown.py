"""What the report shows: the figures and tables of a config, found by the rules that make them."""

from pathlib import Path

import pytest
import workflow_runs
from workflow_runs import ROOT

from convexbn.imports import PACKAGE
from convexbn.pipeline import shown

# Between them they have every experiment.
CONFIGS = ["test.yaml", "benchmark.yaml"]


@pytest.fixture(scope="module", params=CONFIGS)
def asked(request):
    """The rules of a config, and what it asks for."""
    rules = workflow_runs.rules(ROOT / "config" / request.param)
    return rules, [str(path) for rule in rules if rule.name == "all" for path in rule.input]


def test_every_figure_is_shown_once_in_the_order_of_the_config(asked):
    rules, outputs = asked
    found = shown.figures(rules, outputs, "elsewhere")
    assert [figure["png"] for figure in found] == [path for path in outputs if ".png" in path]
    assert len(found) >= 7


def test_a_figure_has_a_caption_its_tables_and_a_pdf(asked):
    for figure in shown.figures(*asked, "elsewhere"):
        assert Path(figure["caption"]).exists()
        assert figure["tables"]
        assert all(path.endswith(".csv") and "{" not in path for path in figure["tables"])
        assert Path(figure["pdf"]) == Path(figure["png"]).with_suffix(".pdf")
        assert "{" not in figure["group"] + figure["label"]


def test_every_experiment_has_a_text_on_the_report():
    experiments = {path.parent.name for path in PACKAGE.glob("experiments/*/__init__.py")}
    texts = {path.stem for path in (ROOT / "workflow/report/sections").glob("*.rst")}
    assert texts == experiments | {"question"}


def test_results_may_lie_anywhere(asked):
    rules, outputs = asked
    there = Path(next(path for path in outputs if path.endswith(".png"))).parents[2]
    general = [path.replace(str(there), "<results>") for path in outputs]
    assert shown.figures(rules, general, there) == shown.figures(rules, outputs, "elsewhere")


def test_tables_are_known_by_their_names():
    paths = ["<results>/tables/runs.csv", "<results>/figures/a/rank.png", "<results>/x/times.csv"]
    expected = {"runs": "out/tables/runs.csv", "times": "out/x/times.csv"}
    assert shown.tables(paths, "out") == expected
