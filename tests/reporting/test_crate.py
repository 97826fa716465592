"""A run as an RO-Crate, read back from its zip file by the library that defines the format."""

import json

import pandas as pd
import pytest
from rocrate.rocrate import ROCrate
from workflow_runs import ROOT, rules

from convexbn.pipeline import artifacts
from convexbn.reporting.claims import COLUMNS
from convexbn.reporting.crate import pack

CONFIG = {"seed": 0, "datasets": {"digits": {"source": "digits", "train": 1000}}}
ORIGIN = {"python": "3.12.1", "versions": {"convexbn": "0.1.0", "torch": "2.9"}}


@pytest.fixture
def run(tmp_path):
    """The outputs of a run with two claims; what made them is not what is installed here."""
    origin = ORIGIN | {"commit": "abc", "dirty": True}
    rows = [
        ("E3a", "digits", "SGD is better", "> 0", "+1 point", "reproduced"),
        ("E3b", "digits", "or not", "> 0", 2, "not resolved"),
    ]
    claims = tmp_path / "out/tables/claims.csv"
    artifacts.write_table(claims, pd.DataFrame(rows, columns=COLUMNS), origin)
    methods = tmp_path / "out/tables/methods.csv"
    artifacts.write_table(methods, pd.DataFrame({"x": [1]}), origin | {"commit": None})
    figure = tmp_path / "out/figures/digits/rank 1.png"
    figure.parent.mkdir(parents=True)
    figure.write_bytes(b"a figure")
    (tmp_path / "my.yaml").write_text("seed: 0 # as it was written")
    return tmp_path / "out", [claims, methods, figure]


@pytest.fixture
def crate(run, tmp_path):
    folder, outputs = run
    pack(folder / "crate.zip", outputs, CONFIG, [tmp_path / "my.yaml"])
    return ROCrate(folder / "crate.zip")


def by_type(crate, kind) -> dict:
    return {e["name"]: e for e in crate.get_entities() if e.type == kind}


def test_every_file_is_there_as_it_was(crate, run, tmp_path):
    crate.write(tmp_path / "unpacked")
    folder, outputs = run
    for path in outputs:
        name = path.relative_to(folder)
        assert (tmp_path / "unpacked" / name).read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "unpacked/config.json").read_text()) == CONFIG
    assert "as it was written" in (tmp_path / "unpacked/config/my.yaml").read_text()
    snakefile = (tmp_path / "unpacked/Snakefile").read_text()
    assert snakefile == (ROOT / "Snakefile").read_text()


def test_an_action_made_the_outputs_from_config_and_data_by_the_workflow(crate):
    action = crate.get("#run")
    assert action.type == "CreateAction"
    assert action["instrument"] == crate.mainEntity == crate.get("Snakefile")
    assert {made["name"] for made in action["result"]} == {
        "tables/claims.csv",
        "tables/methods.csv",
        "figures/digits/rank 1.png",
    }
    assert {e["name"] for e in action["object"]} == {"config.json", "config/my.yaml", "digits"}
    assert json.loads(crate.get("#data-digits")["description"]) == CONFIG["datasets"]["digits"]
    assert crate.get("tables/claims.csv")["encodingFormat"] == "text/csv"


def test_the_software_is_that_of_the_run(crate):
    software = by_type(crate, "SoftwareApplication")
    assert {name: e["softwareVersion"] for name, e in software.items()} == {
        "Python": "3.12.1",
        "convexbn": "0.1.0",
        "torch": "2.9",
        "convexbn checkout": "abc, with changes",
    }
    assert set(map(str, crate.mainEntity["softwareRequirements"])) == set(
        map(str, software.values())
    )


def test_a_table_that_was_edited_on_purpose_names_no_software(run, tmp_path):
    """Its first line is deleted, as the error about an edited table says."""
    folder, (claims, methods, figure) = run
    methods.write_text("".join(methods.read_text().splitlines(keepends=True)[1:]))
    pack(folder / "crate.zip", [claims, methods, figure], CONFIG)
    crate = ROCrate(folder / "crate.zip")
    assert by_type(crate, "SoftwareApplication")["Python"]["softwareVersion"] == "3.12.1"
    pack(folder / "crate.zip", [methods], CONFIG)
    assert not by_type(ROCrate(folder / "crate.zip"), "SoftwareApplication")


def test_claims_are_reviews_with_verdicts(crate):
    claims = by_type(crate, "ClaimReview")
    assert claims.keys() == {"E3a on digits", "E3b on digits"}
    first, second = claims.values()
    assert (first["claimReviewed"], first["reviewBody"]) == ("SGD is better", "+1 point")
    assert first["reviewRating"]["name"] == "reproduced"
    assert second["reviewRating"]["name"] == "not resolved"
    assert second["reviewBody"] == "2"
    assert set(map(str, claims.values())) <= set(map(str, crate.root_dataset["mentions"]))


def test_a_run_without_claims_has_none(run, tmp_path):
    folder, (_, methods, figure) = run
    pack(folder / "crate.zip", [methods, figure], CONFIG)
    crate = ROCrate(folder / "crate.zip")
    assert not by_type(crate, "ClaimReview")
    assert {e["name"] for e in crate.get("#run")["object"]} == {"config.json", "digits"}


def test_the_rule_packs_what_a_run_makes():
    found = {rule.name: rule for rule in rules(ROOT / "config/test.yaml")}
    assert set(found["crate"].input) == set(found["all"].input)
    assert "crate" in found["crate"].workflow._localrules
