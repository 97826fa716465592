"""docs/paper.md: every claim stands there once, and all rules and files that it names exist."""

import re
from importlib import import_module

import pytest
from workflow_runs import ROOT, rules

from convexbn.imports import PACKAGE
from convexbn.reporting import papers
from convexbn.reporting.claims import Statement

TEXT = (ROOT / "docs/paper.md").read_text()
ROWS = [line for line in TEXT.splitlines() if papers.ids_of(line)]


def statements(value) -> list[Statement]:
    """Return the statements in a value, and in what it holds."""
    if isinstance(value, Statement):
        return [value]
    inner = value.values() if isinstance(value, dict) else value
    return [s for v in inner for s in statements(v)] if isinstance(value, dict | tuple) else []


def registered() -> set[str]:
    paths = [path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("statements.py")]
    modules = [import_module(".".join(path.with_suffix("").parts)) for path in paths]
    return {s.id for module in modules for s in statements(tuple(vars(module).values()))}


def test_every_claim_stands_in_one_row():
    named = [name for row in ROWS for name in papers.ids_of(row)]
    assert len(named) == len(set(named))
    assert set(named) == registered()


@pytest.fixture(scope="module")
def workflow():
    """The rules of the configs that have every section between them, by their names."""
    found = {}
    for config in ("test", "config"):
        found |= {rule.name: rule for rule in rules(ROOT / f"config/{config}.yaml")}
    return found


def test_every_rule_that_is_named_exists_and_its_logs_have_its_name(workflow):
    """By which the minutes of its jobs are found."""
    named = {name for row in ROWS for name in papers.rules_of(row)}
    assert len(named) > 20
    assert named <= workflow.keys()
    for name in named:
        assert re.search(rf"results/(test/)?logs/{name}[./]", str(workflow[name].log[0]))


def test_every_file_that_is_named_is_made(workflow):
    paths = {str(path) for rule in workflow.values() for path in rule.output}
    made = {re.sub("^results/(test/)?", "", path) for path in paths}
    named = set(re.findall(r"`((?:figures|tables)/[^`]+)`", TEXT))
    assert len(named) > 25
    # Patterns of rules may constrain their wildcards.
    assert named <= {re.sub(r"\{(\w+),[^}]*\}", r"{\1}", path) for path in made}


def test_every_config_link_and_target_that_is_named_exists():
    for config in re.findall(r"config/[\w-]+\.yaml", TEXT):
        assert (ROOT / config).exists(), config
    for path in re.findall(r"\](?!\(http)\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make\s+([a-z]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_configs_of_the_evaluation_judge_the_claims_beside_them():
    """A claim that a config's row names has a section of that config behind it."""
    judged = {"E1": "theory", "C1": "convex_layers", "Z0": "ridge", "E2": "bias", "B": "learning_"}
    judged |= {"E3": "convex", "K": "knobs", "C5d": "learned_filters", "E4f": "studies"}
    rows = [
        row for row in TEXT.split("## For an artifact evaluation")[1].splitlines() if "|" in row
    ]
    for ids, section in judged.items():
        row = next(row for row in rows if re.search(rf"(^\| |, ){ids}\b", row))
        config = re.search(r"CONFIG=([\w./-]+)", row)
        text = (ROOT / (config[1] if config else "config/config.yaml")).read_text()
        assert re.search(rf"^{section}", text, re.M), ids


def test_verdicts_and_minutes_are_those_of_the_records():
    """`make record` writes them; by hand: convexbn.reporting.papers.fill."""
    assert papers.filled(TEXT, ROOT / "results/record") == TEXT
