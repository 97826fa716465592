"""Methods are said once: names, kinds and styles, and the method of a config's entry."""

import logging

import pandas as pd
import pytest
import yaml

from convexbn.pipeline import artifacts
from convexbn.reporting import methods
from convexbn.reporting.methods import METHODS, NETWORKS, SOLVED, TRAINED, method_of
from convexbn.reporting.registries import present


def test_every_method_has_one_kind_and_a_style_of_its_own():
    assert (*NETWORKS, *SOLVED, *TRAINED) == tuple(METHODS)
    for field in methods.Style._fields:
        values = {getattr(method.style, field) for method in METHODS.values()}
        assert len(values) == len(METHODS)
    assert len({method.words for method in METHODS.values()}) == len(METHODS)


def test_every_solved_program_is_trained_too():
    assert tuple(methods.by_sgd(program) for program in SOLVED) == TRAINED


@pytest.mark.parametrize(
    ("entry", "method"),
    [
        ({"gates": 5}, "convex"),
        ({"rank": 5}, "convex-truncated"),
        ({"energy": 0.9}, "convex-truncated"),
        ({"filter": {"kind": "ridge", "value": 0.01}}, "convex-filtered"),
        ({"network": "bn"}, "SGD"),
        ({"network": "plain"}, "SGD without BN"),
        ({"network": "convex"}, "convex by SGD"),
        ({"network": "convex", "rank": 5}, "convex-truncated by SGD"),
        ({"network": "convex", "filter": {}}, "convex-filtered by SGD"),
    ],
)
def test_the_method_of_an_entry(entry, method):
    assert method_of(entry) == method
    assert method in METHODS


def test_every_entry_of_every_config_has_a_method(request):
    for path in (request.config.rootpath / "config").glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        entries = [*config.get("convex", {}).values(), *config.get("sgd", {}).values()]
        assert {method_of(entry) for entry in entries} <= set(METHODS)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: methods.find("Adam"),
        lambda: methods.style_of("Adam"),
        lambda: method_of({"network": "Adam"}),
        lambda: list(methods.by_method(pd.DataFrame({"method": ["SGD", "Adam"]}))),
    ],
)
def test_an_unknown_method_is_refused_by_name(ask):
    with pytest.raises(ValueError, match="'Adam'"):
        ask()


def test_tables_are_taken_apart_in_the_order_of_the_methods():
    rows = pd.DataFrame({"method": ["convex", "SGD", "convex"], "x": [1, 2, 3]})
    parts = {name: some["x"].tolist() for name, some in methods.by_method(rows)}
    assert list(parts.items()) == [("SGD", [2]), ("convex", [1, 3])]


def test_a_registry_gives_its_names_in_its_order_and_refuses_others():
    assert present("kind", ["b", "a", "b"], ("a", "b", "c")) == ["a", "b"]
    assert present("kind", [], ("a",)) == []
    with pytest.raises(ValueError, match=r"kind must be one of \['a'\], got 'x', 'y'; add it"):
        present("kind", ["a", "y", "x"], ("a",))


# Published values, as people enter them

HEADER = "dataset,method,test_accuracy,source\n"
KNOWN = ["digits", "cifar10", "cifar100"]


def entered(tmp_path, text, dataset="digits", encoding="utf-8"):
    path = tmp_path / "published.csv"
    path.write_bytes(text.encode(encoding))
    return methods.published(artifacts.read_all([path]), dataset, KNOWN)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (HEADER + "digits,SGD,0.85,Some et al.\n", "utf-8-sig"),
        (HEADER + "digits,SGD,85%,Some et al.\n", "utf-16"),
        (HEADER + 'digits,SGD,"85,0 %","Some et al."\n', "utf-8"),
        (HEADER + 'digits,SGD,"0,85",Some et al.\n', "utf-8"),
        ("dataset;method;test_accuracy;source\ndigits;SGD;0,85;Some et al.\n;;;\n", "utf-8"),
        (" dataset , method,test_accuracy ,source\n\ndigits, SGD , 0.85,Some et al. \n", "utf-8"),
        (HEADER + "cifar10,SGD,0.9,Others\ndigits,SGD,.85,Some et al.\n", "utf-8"),
    ],
)
def test_published_values_are_read_as_spreadsheets_write_them(tmp_path, text, encoding):
    (row,) = entered(tmp_path, text, encoding=encoding).itertuples()
    expected = ("digits", "SGD", 0.85, "Some et al.")
    assert (row.dataset, row.method, row.test_accuracy, row.source) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "\ndigits,SGD,43.2,A et al.\n",
            r"got 43\.2 \(.*published\.csv, line 3, column te",
        ),
        (HEADER + "digits,SGD,-0.1,A et al.\n", r"got -0\.1 .*line 2, column test_accuracy"),
        (HEADER + "digits,SGD,101%,A et al.\n", r"got '101%' .*line 2, column test_accuracy"),
        (HEADER + "digits,SGD,,A et al.\n", r"got nothing .*line 2, column test_accuracy"),
        (HEADER + "digits,SGD,high,A et al.\n", r"got 'high' .*line 2, column test_accuracy"),
        (
            HEADER + "digits,SGD,0,85\n",
            r"source in words .* got .*85.* line 2, column source\); .*poi",
        ),
        (HEADER + "digits,SGD,0,85,A et al.\n", r"line 2: expected 4 values.*got 5"),
        (HEADER + "digits,SGD,0.85,\n", r"source in words .* got nothing .*line 2, column source"),
        (HEADER + "digits,sgd,0.85,A et al.\n", r"a method of \['SGD', .* got 'sgd' .*line 2, col"),
        (
            HEADER + "digits,,0.85,A et al.\n",
            r"a method of \['SGD', .* got nothing .*line 2, column met",
        ),
        (
            HEADER + ",SGD,0.85,A et al.\n",
            r"a data set of .*'digits'.* line 2, column dataset.*got ''",
        ),
        (HEADER + "Digits,SGD,0.85,A\n", r"a data set of .* got 'Digits'; correct it to 'digits'"),
        (HEADER + "digits,SGD,0.8,A\ndigts,SGD,0.8,A\n", r"line 3, .* got 'digts'; .* to 'digits'"),
        (HEADER + "cifar-10,SGD,0.85,A\n", r"got 'cifar-10'; correct it to 'cifar10'"),
        (
            "dataset,method,accuracy,source\ndigits,SGD,0.8,A\n",
            r"a column 'test_accuracy' .*published",
        ),
        ("digits,SGD,0.85,A et al.\n", r"a column 'dataset' .*published.*got 'digits', 'SGD'"),
        ("dataset,method,method,source\ndigits,SGD,0.8,A\n", r"line 1: .* name of its own"),
    ],
)
def test_what_is_wrong_in_published_values_is_named_with_its_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        entered(tmp_path, text)


def test_published_values_in_another_encoding_are_refused(tmp_path):
    text = HEADER + "digits,SGD,0.85,Müller\n"
    with pytest.raises(ValueError, match=r"published\.csv, line 2, character 18.*CSV UTF-8"):
        entered(tmp_path, text, encoding="latin-1")


def test_published_values_of_other_configs_are_left_out_with_a_word(tmp_path, caplog):
    text = HEADER + "digits,SGD,0.85,A\ncifar1000,SGD,0.5,B\ncifar10,SGD,0.5,C\n"
    with caplog.at_level(logging.WARNING):
        assert entered(tmp_path, text)["source"].tolist() == ["A"]
    (message,) = (record.getMessage() for record in caplog.records)
    assert "published.csv, line 3, column dataset): 'cifar1000' is not drawn" in message


def test_a_data_set_may_be_called_by_a_number(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(HEADER + "7,SGD,1,A et al.\n")
    assert len(methods.published(artifacts.read_table(path), "7")) == 1
