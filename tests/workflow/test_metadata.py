"""What tells others of the project: it agrees with the package, and names what there is."""

import re
import tomllib

import yaml
from workflow_runs import ROOT

import convexbn

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_is_of_this_package():
    """Its form was validated by cffconvert."""
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["version"] == PROJECT["version"] == convexbn.__version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]
    assert CITATION["keywords"] == PROJECT["keywords"]
    (paper,) = CITATION["references"]
    assert paper["title"].startswith("Demystifying Batch Normalization in ReLU Networks")
    names = [author["family-names"] for author in paper["authors"]]
    assert ", ".join(names[:-1]) + f" and {names[-1]}" in " ".join(
        (ROOT / "README.md").read_text().split()
    )


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def test_the_pythons_that_are_named_are_allowed():
    named = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if ":: Python :: 3." in c]
    assert named
    assert PROJECT["requires-python"] == f">={min(named, key=lambda v: int(v.split('.')[1]))}"


def test_contributing_names_what_there_is():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.M), target
        assert re.search(rf"^\.PHONY:.* {target}\b", makefile, re.M), target
    paths = re.findall(r"`((?:tests|workflow|config|docs)/[\w./]+)`|\]\(([\w./]+)\)", text)
    assert len(paths) > 5
    for path in map("".join, paths):
        assert (ROOT / path).exists(), path


def test_the_workflow_catalog_finds_what_it_needs():
    """Its standardized usage: workflow/Snakefile, config/README.md, and how it is deployed."""
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert (ROOT / "config/README.md").exists()
    assert 'include: "../Snakefile"' in (ROOT / "workflow/Snakefile").read_text()
    deployment = catalog["usage"]["software-stack-deployment"]
    refused = (
        "--sdm conda is not supported" in (ROOT / "workflow/rules/environment.smk").read_text()
    )
    assert deployment["conda"] != refused
