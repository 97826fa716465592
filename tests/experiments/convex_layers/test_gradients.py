"""Central differences and closed forms find a gradient right, and would find it wrong."""

import numpy as np
import pytest

from convexbn.experiments.convex_layers import gradients
from convexbn.experiments.convex_layers.programs import PROGRAMS
from convexbn.experiments.convex_layers.statements import layers

SETTINGS = {"tolerance": 1e-9, "seeds": 2, "directions": 3, "step": 1e-4, "steps": [1e-2]}


@pytest.fixture(scope="module")
def table():
    return gradients.measure(SETTINGS, seed=3)


def test_every_layer_is_right(table):
    assert list(table.columns) == gradients.COLUMNS
    assert set(layers(gradients=table)["verdict"]) == {"reproduced"}
    assert (table["residual"] <= SETTINGS["tolerance"]).all()
    per_layer = table.groupby("layer")
    assert set(per_layer.groups) == set(PROGRAMS)
    for _, rows in per_layer:
        assert sorted(zip(rows["seed"], rows["step"], rows["judged"], strict=True)) == [
            (seed, step, step == 1e-4) for seed in (3, 4) for step in (1e-4, 1e-2)
        ]


def test_curvature_is_in_a_large_step(table):
    """The error of central differences grows with the square of the step: 1e4 from 1e-4 to 1e-2."""
    error = table[table["layer"] == "gated BN program"].groupby("step")["relative_error"].mean()
    assert 3e2 < error[1e-2] / error[1e-4] < 3e5


def test_a_wrong_gradient_is_found(monkeypatch):
    right = gradients._gradient
    monkeypatch.setattr(gradients, "_gradient", lambda *a: [1.01 * g for g in right(*a)])
    monkeypatch.setattr(gradients, "PROGRAMS", {"ReLU": PROGRAMS["ReLU"]})
    wrong = gradients.measure(SETTINGS, seed=0)
    for measure in ("relative_error", "closed_form_error"):
        np.testing.assert_allclose(wrong[measure], 0.01, rtol=1e-3)
    assert set(layers(gradients=wrong)["verdict"]) == {"not reproduced"}
