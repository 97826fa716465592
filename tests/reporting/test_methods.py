"""Methods are said once: names, kinds and styles, and the method of a config's entry."""

import pandas as pd
import pytest
import yaml

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
