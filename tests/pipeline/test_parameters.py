"""Parameters as Snakemake compares them: by their text."""

import json
import pickle

from convexbn.pipeline.parameters import Unordered

ENTRY = {
    "filter": {"kind": "ridge", "value": 0.1},
    "betas": [2.0, 1.0],
    "tables": [{"b": 1, "a": 2}],
}
OTHER = {
    "tables": [{"a": 2, "b": 1}],
    "betas": [2.0, 1.0],
    "filter": {"value": 0.1, "kind": "ridge"},
}


def test_the_order_of_keys_does_not_change_the_text():
    assert repr(ENTRY) != repr(OTHER)
    assert repr(Unordered(ENTRY)) == repr(Unordered(OTHER))
    assert eval(repr(Unordered(ENTRY))) == ENTRY


def test_anything_else_changes_the_text():
    changed = [ENTRY | {"betas": [1.0, 2.0]}, ENTRY | {"filter": None}, ENTRY | {"seeds": 1}]
    texts = {repr(Unordered(entry)) for entry in (ENTRY, *changed)}
    assert len(texts) == 4


def test_a_script_gets_the_mapping_as_it_is():
    """Snakemake pickles it; the order is that of the config."""
    back = pickle.loads(pickle.dumps(Unordered(OTHER), protocol=4))
    assert back == OTHER
    assert list(back) == list(OTHER)
    assert json.loads(json.dumps(back)) == OTHER
