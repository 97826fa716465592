"""The config as its user wrote it: what is refused by name, and what means the same."""

import io
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workflow_runs import ROOT

from convexbn.pipeline import configs

SCHEMAS = ROOT / "workflow" / "schemas"


def check(text, folder, name="config.yaml"):
    path = folder / name
    path.write_text(text)
    configs.check_text(path)


DOUBLED = {
    "at the top": "seed: 0\ndevice: cpu\nseed: 1\n",
    "two runs": "convex:\n  full: {gates: 8}\n  other: {gates: 8}\n  full: {gates: 16}\n",
    "in a run": "convex:\n  full:\n    gates: 8\n    gates: 16\n",
    "in braces": "convex: {full: {gates: 8, gates: 8}}\n",
    "in a list": "a: [{b: 1}, {b: 1, b: 2}]\n",
    "in an anchor": "a: &a {b: 1, b: 2}\nc: {<<: *a}\n",
    "quoted once": "a: {b: 1, 'b': 2}\n",
    "JSON": '{"convex": {"full": {"gates": 8}, "full": {"gates": 16}}}',
    "JSON with tabs": '{\n\t"seed": 0,\n\t"seed": 1\n}',
}


@pytest.mark.parametrize("text", DOUBLED.values(), ids=DOUBLED)
def test_a_key_that_is_given_twice_is_refused_by_name(text, tmp_path):
    with pytest.raises(ValueError, match=r"config.yaml.* '(seed|full|gates|b)' is given twice"):
        check(text, tmp_path)


def test_the_lines_of_a_doubled_key_are_said(tmp_path):
    with pytest.raises(ValueError, match=r"config.yaml, line 4: .* first in line 2;"):
        check(DOUBLED["two runs"], tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1}\nb: &b {y: 1}\nc: {<<: *a, x: 2}\nd: {<<: [*a, *b]}\ne: {<<: *a, <<: *b}\n",
        "a: {b: 1}\nc: {b: 1}\nd: [{b: 1}, {b: 1}]\n",
        "a: &a [1]\nb: *a\nc: *a\n",
        '{"a": {"b": 1}, "c": {"b": 1}}',
        "\ufeffseed: 0\n",
        "",
    ],
)
def test_merge_keys_anchors_and_the_same_key_elsewhere_are_allowed(text, tmp_path):
    check(text, tmp_path)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_shipped_configs_are_allowed(path):
    configs.check_text(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gates: 010", "line 1: YAML reads 010 as 8; write the number in decimal"),
        ("seed: 00", "YAML reads 00 as 0"),
        ("epochs: 1:30", "YAML reads 1:30 as 90"),
        ("tolerance: 1:30.5", r"YAML reads 1:30.5 as 90.5"),
        ("datasets: {no: {train: 1}}", "does not read the key no as text; write it in quotes"),
        ("a: 1\non: 1", "line 2: YAML does not read the key on as text"),
        ("datasets: {2024-01-01: {}}", "the key 2024-01-01 as text"),
        ("datasets: {10: {}}", "the key 10 as text"),
        ("datasets: {~: {}}", "the key ~ as text"),
    ],
)
def test_what_yaml_reads_otherwise_than_meant_is_refused(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        check(text, tmp_path)


@pytest.mark.parametrize("number", ["10", "0", "0.5", "'010'", "-1", "1_000", "0x10", "01.5"])
def test_other_numbers_are_allowed(number, tmp_path):
    check(f"a: {number}", tmp_path)


def test_names_must_make_different_files_everywhere():
    configs.check_names("datasets", ["digits", "digits2", "figures", "convex"], ["theory"])
    with pytest.raises(ValueError, match="convex runs 'full' and 'Full' differ in case only"):
        configs.check_names("convex runs", ["full", "other", "Full"])


@pytest.mark.parametrize("name", ["theory", "Theory", "con", "NUL", "com1", "lpt9"])
def test_a_name_with_another_use_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' cannot be the name of one of the datasets"):
        configs.check_names("datasets", ["digits", name], ["theory", "bias"])


@pytest.mark.parametrize("name", ["NA", "nan", "None", "null", "inf", "Infinity", "true", "False"])
def test_a_name_that_a_table_reads_as_a_value_is_refused(name):
    (read,) = pd.read_csv(io.StringIO(f"run\n{name}\n"))["run"]
    assert not isinstance(read, str)
    with pytest.raises(ValueError, match=f"'{name}' cannot be the name of one of the convex runs"):
        configs.check_names("convex runs", ["full", name])


def test_equal_numbers_are_the_same():
    run = {"gates": 16.0, "betas": [2, 1], "filter": {"kind": "ridge", "value": 1}, "flip": True}
    (made,) = configs.standard("convex", {"full": run}).values()
    assert repr(made) == repr(
        {"gates": 16, "betas": [2.0, 1.0], "filter": {"kind": "ridge", "value": 1.0}, "flip": True}
    )
    assert configs.standard("theory", {"n": 3, "beta": 1}) == {"n": 3, "beta": 1.0}


def test_a_run_may_have_the_name_of_a_key():
    runs = {"betas": {"gates": 3, "seeds": 2}, "tuning_seeds": {"seeds": 2}, "seeds": {"seeds": 2}}
    assert repr(configs.standard("convex", runs)) == repr(runs)


@pytest.mark.parametrize(
    ("section", "entry", "kept"),
    [
        ("datasets", {"source": "cifar100", "labels": "fine"}, {"source": "cifar100"}),
        ("datasets", {"labels": "coarse"}, {"labels": "coarse"}),
        ("convex", {"seeds": 2, "tuning_seeds": 2}, {"seeds": 2}),
        ("sgd", {"seeds": 2, "tuning_seeds": 1}, {"seeds": 2, "tuning_seeds": 1}),
        ("convex", {"loss": "squared"}, {"loss": "squared"}),  # the schema fills it in
        ("theory", {"loss": "squared", "penalty": "group", "C": 1.0, "stride": 1}, {}),
        ("theory", {"pooling": "sum", "depth": 2}, {}),
        ("theory", {"depth": 3, "loss": "logistic"}, {"depth": 3, "loss": "logistic"}),
    ],
)
def test_a_default_that_is_written_out_is_the_default(section, entry, kept):
    assert configs.standard(section, {"name": entry}) == {"name": kept}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("entry", [lambda x: {"beta": x}, lambda x: {"betas": [1.0, x]}])
def test_numbers_must_be_finite(value, entry):
    with pytest.raises(ValueError, match=r"betas? must be a finite number, got"):
        configs.standard("convex", {"full": entry(value)})


def test_the_real_numbers_are_those_of_the_schemas():
    found = set()
    for path in SCHEMAS.glob("*.yaml"):
        found |= set(reals(yaml.safe_load(path.read_text())))
    found -= {"positive", "positives", "items", "additionalProperties"}  # of JSON schema itself
    optimizers = yaml.safe_load((SCHEMAS / "types.yaml").read_text())["optimizer"]["enum"]
    assert found | {*optimizers} == configs.REALS


def reals(schema):
    """Yield the keys anywhere in a schema whose values are real numbers, or lists of them."""
    if not isinstance(schema, dict):
        return
    for name, part in schema.items():
        if isinstance(part, dict):
            words = {str(part.get("type")), str(part.get("$ref")).removeprefix("types.yaml")}
            if words & {"number", "#/positive", "#/positives"}:
                yield name
        yield from reals(part)


def test_home_and_variables_are_filled_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    assert configs.results_folder("~/out") == f"{tmp_path}/out"
    assert configs.results_folder("${SCRATCH}/out/") == "/scratch/me/out"
    assert configs.folder("path", "~") == str(tmp_path)
    assert configs.folder("path", "$SCRATCH") == "/scratch/me"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("results/", "results"),
        ("./results//mine/", "results/mine"),
        ("a/../results", "results"),
        ("../results", "../results"),
        ("/scratch/results/", "/scratch/results"),
        ("my results", "my results"),
        ("ergebnisse/größe", "ergebnisse/größe"),
    ],
)
def test_folders_are_written_in_one_way(text, path):
    assert configs.results_folder(text) == path


@pytest.mark.parametrize("text", ["~nobody-of-this-name/out", "$NO_SUCH_VARIABLE/out", "${x"])
def test_an_unknown_user_or_variable_is_refused(text, monkeypatch):
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    for fill_in in (configs.results_folder, lambda text: configs.folder("data_dir", text)):
        with pytest.raises(ValueError, match="a user or an environment variable is unknown"):
            fill_in(text)


@pytest.mark.parametrize("text", ["out/{run}", "<logs>/x", "out*", "a[1]", "what?", "a\nb", "a\tb"])
def test_results_have_no_characters_of_snakemake_s(text):
    with pytest.raises(ValueError, match=r"results is .* in it; choose another folder"):
        configs.results_folder(text)


@pytest.mark.parametrize("text", [".", "./", "..", "/", "results/.."])
def test_results_need_a_folder_of_their_own(text):
    with pytest.raises(ValueError, match="choose a folder of its own"):
        configs.results_folder(text)


@pytest.mark.parametrize("folder", ["/my repo", "/a'b", "/größe", "/a#b$c"])
def test_a_project_may_be_anywhere_but_in_braces(folder):
    configs.check_place(folder)
    with pytest.raises(ValueError, match="move it to a folder without braces"):
        configs.check_place(f"{folder}/{{run}}/project")


def test_the_working_directory_by_its_full_name_is_refused_too():
    with pytest.raises(ValueError, match="choose a folder of its own"):
        configs.results_folder(str(Path.cwd()))


def test_one_folder_has_one_path_also_where_it_is_written_in_full(tmp_path, monkeypatch):
    """Snakemake would make all of it again under another path, as after `~` became a full one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for text in ("results/mine", f"{tmp_path}/results/mine/", f"~/{tmp_path.name}/results/mine"):
        assert configs.results_folder(text) == "results/mine"
    assert configs.results_folder(f"{tmp_path}2/out") == f"{tmp_path}2/out"
