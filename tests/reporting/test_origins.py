"""Where results come from: what tables, configs and Snakemake's measurements say of it."""

import pandas as pd
import pytest

from convexbn.pipeline import artifacts
from convexbn.reporting import origins

RECORD = {"commit": "0123456789abcdef", "dirty": False, "python": "3.12.1", "machine": "x86_64"}
RECORD |= {"versions": {"numpy": "2.4.6", "torch": "2.15.0"}, "device": "cpu", "parameters": {}}


def table(folder, name, **changes):
    path = folder / f"{name}.csv"
    artifacts.write_table(path, pd.DataFrame({"a": [1]}), RECORD | changes)
    return path


def test_tables_are_counted_by_what_made_them(tmp_path):
    paths = [table(tmp_path, name) for name in "ab"] + [table(tmp_path, "c", dirty=True)]
    (first, two), (second, one) = origins.origins(paths)
    assert (two, one) == (2, 1)
    words = ("3.12.1", "numpy 2.4.6, torch 2.15.0", "x86_64", "cpu")
    assert first == ("0123456789ab", *words)
    assert second == ("0123456789ab with changes", *words)


def test_a_table_of_an_installed_copy_has_no_commit(tmp_path):
    ((origin, _),) = origins.origins([table(tmp_path, "a", commit=None)])
    assert origin.commit == "no checkout"


def test_a_table_without_a_record_is_counted_as_such(tmp_path):
    (tmp_path / "edited.csv").write_text("a\n1\n")
    assert origins.origins([tmp_path / "edited.csv"]) == [(("", "", "", "", ""), 1)]


def test_seeds_are_found_in_every_section():
    config = {
        "seed": 3,
        "convex": {"full": {"seeds": 5.0}, "small": {"seeds": 2}},
        "ridge": {"panels": {"seeds": 1}, "images": {"digits": {"seeds": 4}}},
        "theory": {"depth": {"n": 5}},
    }
    assert origins.seeds(config) == {"convex": "2 or 5", "ridge": "1 or 4"}


def test_times_are_added_up_by_rule(tmp_path):
    head = "s\th:m:s\tmax_rss\n"
    (tmp_path / "solve").mkdir()
    (tmp_path / "solve" / "full.tsv").write_text(f"{head}60.0\t0:01:00\t100.5\n")
    (tmp_path / "solve" / "rank10.tsv").write_text(f"{head}30.0\t0:00:30\t-\n")
    (tmp_path / "whiten.tsv").write_text(f"{head}0.1\t0:00:00\t-\n")  # too short to be measured
    solve, whiten = origins.times(tmp_path).to_dict("records")
    assert solve == {"rule": "solve", "jobs": 2, "seconds": 90, "longest": 60, "memory": 100.5}
    assert whiten["seconds"] == pytest.approx(0.1)
    assert pd.isna(whiten["memory"])


def test_a_run_without_measurements_has_no_times(tmp_path):
    assert origins.times(tmp_path / "none").empty


def test_the_claims_say_who_judged_them(tmp_path):
    judged = {
        "convexbn.experiments.theory.statements.exactness": ["E1a", "E1b"],
        "convexbn.experiments.bias.statements.bias": ["E2a"],
        "convexbn.experiments.theory.more.statements.depth": ["E1e"],
    }
    new, old = table(tmp_path, "new", parameters={"judged": judged}), table(tmp_path, "old")
    assert origins.judged(new) == {"theory": ["E1a", "E1b", "E1e"], "bias": ["E2a"]}
    assert origins.judged(old) == {}
    (tmp_path / "edited.csv").write_text("a\n1\n")
    assert origins.judged(tmp_path / "edited.csv") == {}


def test_the_surroundings_name_versions():
    found = origins.surroundings()
    assert f"pandas {pd.__version__}" in found["packages"]
    assert all(found.values())
