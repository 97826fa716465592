"""Designs of runs: as their entries say, and as SGD is trained on them."""

from dataclasses import replace

import numpy as np
import pytest
import sweep_features
from sweep_features import P, design_of, make_features, make_patches, n, whitened_features

from convexbn.pipeline.designs import filter_columns, truncated, whitened, whitened_run
from convexbn.training.engine import train

SWEEP = replace(sweep_features.SWEEP, network="convex", width=None)


def test_an_entry_truncates_or_filters():
    w = design_of(make_features())
    tensors = w.tensors()
    np.testing.assert_array_equal(truncated(tensors, {}).U, w.U)
    np.testing.assert_array_equal(truncated(tensors, {"rank": 2}).U, w.truncate(rank=2).U)
    entry = {"gates": 5, "filter": {"kind": "ridge", "value": 0.01}}
    np.testing.assert_array_equal(truncated(tensors, entry).U, w.filtered("ridge", 0.01).U)


def test_a_run_names_its_filter_in_two_columns():
    entry = {"gates": 5, "filter": {"kind": "ridge", "value": 0.01}}
    assert filter_columns(entry) == {"filter_kind": "ridge", "filter_value": 0.01}
    none = filter_columns({"rank": 5})
    assert none["filter_kind"] == ""
    assert np.isnan(none["filter_value"])


@pytest.mark.parametrize("make", [make_features, make_patches])
def test_features_have_unit_variance_and_new_ones_the_training_sets_coordinates(make):
    features = make(np.float64)
    design, data = design_of(features), whitened_features(features)
    Z = data["X_train"].reshape(-1, data["X_train"].shape[-1])
    np.testing.assert_allclose(Z.T @ Z / len(Z), np.eye(Z.shape[1]), atol=1e-12)
    same = whitened(features | {"X_test": features["X_train"]}, design, P, (0,))
    np.testing.assert_allclose(same["X_test"], same["X_train"], atol=1e-10)  # float64
    assert data["X_test"].shape == (*features["X_test"].shape[:-1], Z.shape[1])
    assert whitened(make(np.float32), design, P, (0,))["X_train"].dtype == np.float32


def test_clocks_start_after_whitening_and_sampling():
    features = make_features()
    data = whitened(features, design_of(features), P, SWEEP.seeds, seconds=100.0)
    history, _ = train(data, SWEEP)
    seconds = [row["seconds"] for row in history]
    assert (data["setup_seconds"] > 100).all()
    assert seconds[0] == data["setup_seconds"][0]
    assert max(seconds) < 200


@pytest.mark.parametrize(
    ("entry", "sizes"),
    [
        ({}, {"rank": 5, "filter_kind": ""}),
        ({"rank": 2}, {"rank": 2, "filter_kind": ""}),
        (
            {"filter": {"kind": "ridge", "value": 0.5}},
            {"rank": 5, "filter_kind": "ridge", "filter_value": 0.5},
        ),
        (
            {"rank": 2, "filter": {"kind": "ridge", "value": 0.5}},
            {"rank": 2, "filter_kind": "ridge", "filter_value": 0.5},
        ),
    ],
)
def test_a_run_is_reduced_as_its_entry_says(entry, sizes):
    features = make_features()
    tensors = design_of(features).tensors() | {"seconds": np.array(1.0)}
    data, found = whitened_run(features, tensors, {"gates": P, **entry}, (0, 1))
    assert sizes.items() <= found.items()
    assert found["gates"] == P
    assert found["energy"] == pytest.approx(1) if not entry else found["energy"] < 1
    assert data["X_train"].shape == (n, found["rank"] + 1)
    assert data["gates"].shape == (2, found["rank"] + 1, P)
