"""Sweeps: every combination once, under names that stay."""

import pytest

from convexbn.pipeline.grids import expanded

RIDGE = {"kind": "ridge", "value": 0.01}
OVER = {"dataset": ["digits", "tiles"], "rank": [5, None], "filter": [RIDGE, None]}
SWEEP = {"section": "convex", "over": OVER, "run": {"gates": 8}}


def test_every_combination_is_a_run_named_after_its_values():
    runs = expanded({"sweep": {"a": SWEEP}, "convex": {"full": {"gates": 4}}})["convex"]
    assert len(runs) == 1 + 2 * 2 * 2
    assert runs["full"] == {"gates": 4}
    filtered = {"gates": 8, "dataset": "digits", "rank": 5, "filter": RIDGE}
    assert runs["a-digits-rank5-ridge0p01"] == filtered
    assert runs["a-tiles-no-rank-no-filter"] == {"gates": 8, "dataset": "tiles"}


def test_more_values_leave_the_names_of_the_others():
    more = {**SWEEP, "over": OVER | {"rank": [3, 5, None, 1e20]}}
    few, many = (expanded({"sweep": {"a": sweep}})["convex"] for sweep in (SWEEP, more))
    assert few.items() <= many.items()
    assert "a-digits-rank1e20-ridge0p01" in many


def test_runs_of_sgd_join_their_section_and_the_config_stays_as_it_is():
    sweep = {"section": "sgd", "over": {"batch_size": [50]}, "run": {"width": 3}}
    config = {"sweep": {"b": sweep}, "sgd": {"bn": {}}}
    assert expanded(config) == {"sgd": {"bn": {}, "b-batch_size50": {"batch_size": 50, "width": 3}}}
    assert config["sgd"] == {"bn": {}}
    assert expanded({"convex": {"full": {}}}) == {}


def test_names_that_are_taken_and_keys_that_both_vary_and_stay_are_refused():
    taken = {"sweep": {"a": {**SWEEP, "over": {"rank": [5]}}}, "convex": {"a-rank5": {}}}
    with pytest.raises(ValueError, match=r"makes a run 'a-rank5'.* in convex already"):
        expanded(taken)
    with pytest.raises(ValueError, match="sweep 'a' has the key 'rank' in run"):
        expanded({"sweep": {"a": {**SWEEP, "run": {"rank": 2}}}})
