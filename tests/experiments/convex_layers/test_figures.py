"""The figures of convex layers show their tables, on made-up rows."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from convexbn.experiments.convex_layers import figures
from convexbn.experiments.convex_layers.figures import BLUE, COSTS, GREEN, GREY, ORANGE, WAYS


def lines_of(axes, color) -> list:
    return [line for line in axes.lines if to_hex(line.get_color()) == color]


def gradients_table() -> pd.DataFrame:
    rows = [
        {
            **{"layer": layer, "seed": seed, "step": step, "judged": step == 1e-4},
            **{"relative_error": step * (seed + 1), "closed_form_error": closed},
        }
        for layer, closed in (("one", 1e-9), ("two", np.nan))
        for seed in range(3)
        for step in (1e-2, 1e-4)
    ]
    return pd.DataFrame(rows)


def test_gradients_of_every_layer_and_seed():
    left, right = figures.gradients(gradients_table()).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["two", "one"]
    (errors,), (closed,) = lines_of(left, BLUE), lines_of(left, ORANGE)
    np.testing.assert_allclose(sorted(errors.get_xdata()), np.repeat([1e-4, 2e-4, 3e-4], 2))
    assert np.isfinite(closed.get_xdata()).sum() == 3
    medians = [line for line in right.lines if line.get_label() in ("one", "two")]
    for line in medians:
        np.testing.assert_allclose(line.get_ydata(), [2e-4, 2e-2])


def poisoning_table() -> pd.DataFrame:
    points = pd.DataFrame(
        {
            **{"label": [0, 1, 1], "x1": [-1.0, 1.0, 2.0], "x2": [0.0, 0.5, -1.0]},
            **{"gradient1": [0.0, 3.0, 0.0], "gradient2": [0.0, 4.0, 1.0]},
        }
    )
    line = {"a1": 1.0, "a2": 1.0, "b": -1.0, "test_a1": 0.0, "test_a2": 0.0, "test_b": 1.0}
    return pd.concat(
        [
            points.assign(seed=seed, predicted=seed * 1e-3, realised=seed * 2e-3, **line)
            for seed in (4, 5)
        ],
        ignore_index=True,
    )


def test_poisoned_points_gradients_and_rises():
    left, right = figures.poisoning(poisoning_table()).axes
    assert left.get_title() == "seed 4"
    assert [len(lines_of(left, color)[0].get_xdata()) for color in (BLUE, ORANGE)] == [2, 1]
    (arrows,) = [c for c in left.collections if hasattr(c, "U")]
    np.testing.assert_allclose(np.c_[arrows.U, arrows.V], [[0, 0], [1.5, 2], [0, 0.5]])
    (decision,) = lines_of(left, GREY)  # that of the test points is nowhere, and not drawn
    (x, y), (x2, y2) = decision.get_xy1(), decision.get_xy2()
    assert x + y == pytest.approx(1)
    assert x2 + y2 == pytest.approx(1)
    (rises,) = lines_of(right, GREY)
    np.testing.assert_allclose([rises.get_xdata(), rises.get_ydata()], [[4, 5], [8, 10]])


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="label must be one of"):
        figures.poisoning(poisoning_table().assign(label=2))


def test_costs_and_what_is_saved():
    table = pd.DataFrame(
        {
            **{"seed": [0, 0, 1, 1], "iteration": [0, 1, 0, 1], "cost": [2.0, 1.0, 4.0, 3.0]},
            **{"training_cost": [2.0, np.nan, 3.0, np.nan], "uncontrolled_cost": 0.5},
        }
    )
    left, right = figures.control(table).axes
    (mean,) = lines_of(left, BLUE)
    np.testing.assert_allclose(mean.get_ydata(), [3, 2])
    ends = [line.get_ydata() for line in lines_of(right, BLUE)]
    np.testing.assert_allclose(ends, [[0, 50], [0, 25]])


def canonicalization_table() -> pd.DataFrame:
    names = [("canonicalization", "CPP", np.nan), ("derivative", np.nan, "DIFFCP")]
    rows = [
        {
            **{"program": program, "stage": stage, "backend": backend, "solver": solver},
            **{"way": way, "repetition": r, "ms": 10.0**i * (r + 1), "installed": True},
        }
        for program in figures.PUBLISHED
        for stage, backend, solver in names
        for i, way in enumerate(WAYS)
        if (stage, way) != ("derivative", "without")
        for r in range(3)
    ]
    absent = {"stage": "canonicalization", "backend": "RUST", "installed": False}
    return pd.DataFrame([*rows, *({**absent, "program": name} for name in figures.PUBLISHED)])


def test_times_of_every_way_and_what_is_not_installed():
    table = canonicalization_table()
    panels = figures.canonicalization(table).axes
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == ["paper", "CPP", "layer, DIFFCP", "RUST"]  # and of all, as they share the axis
    for panel in panels:
        assert [text.get_text() for text in panel.texts] == ["not installed"]
        low, high = panel.get_ylim()
        assert high < panel.texts[0].get_position()[1] < low
        for i, (_, color, marker) in enumerate(WAYS.values()):
            found = [line for line in lines_of(panel, color) if line.get_marker() == marker]
            places = {int(y): x for line in found for x, y in zip(*line.get_data(), strict=True)}
            assert places == dict.fromkeys([0] if i == 1 else [0, 1], 2 * 10.0**i)
    with pytest.raises(ValueError, match="way must be one of"):
        figures.canonicalization(table.assign(way="guessed"))


def agreement_table() -> pd.DataFrame:
    rows = [
        {
            **{"part": part, "loss": loss, "penalty": "group", "C": C, "n": 10, "variable": name},
            **{"relative_error": error, "is_at_kink": name == "beta"},
        }
        for part in ("cvxpylayers", "differences")
        for loss, C in (("squared", 1), ("cross_entropy", 3))
        for name, error in (("U", 1e-9), ("Y", 1e-8), ("beta", 1e-2))
        if (part, C) != ("differences", 1)
    ]
    cost = {"part": "cost", "loss": "cross_entropy", "penalty": "group", "C": 3, "n": 100}
    rows += [
        {**cost, "tolerance": tol, "forward_s": 2.0, "backward_s": seconds}
        for tol, times in ((1e-4, (1.0, 2.0, 4.0)), (1e-8, (0.5, 0.5, 0.5)))
        for seconds in times
    ]
    return pd.DataFrame(rows)


def test_errors_of_every_variable_and_costs():
    figure = figures.agreement(agreement_table())
    left, middle, right = figure.axes
    programs = ["squared, one output", "cross-entropy, group"]
    assert [label.get_text() for label in left.get_yticklabels()] == programs
    for panel, rows in ((left, 2), (middle, 1)):
        for color, error, face in ((BLUE, 1e-9, BLUE), (ORANGE, 1e-8, ORANGE), (GREEN, 1e-2, "w")):
            drawn = [line for line in lines_of(panel, color) if len(line.get_xdata())]
            assert [list(line.get_xdata()) for line in drawn] == [[error] * rows]
            assert to_hex(drawn[0].get_markerfacecolor()) == to_hex(face)
    for (color, marker), median, quartiles in zip(
        COSTS, (1.0, 0.25), ([0.75, 1.5], [0.25, 0.25]), strict=False
    ):
        bar, mark = lines_of(right, to_hex(color))[:2]
        assert list(bar.get_xdata()) == quartiles
        assert mark.get_marker() == marker
        assert list(mark.get_xdata()) == [median]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"at a kink", "n = 100, tolerance 1e-04", "n = 100, tolerance 1e-08"} <= set(words)


def test_an_unknown_variable_is_refused():
    with pytest.raises(ValueError, match="variable must be one of"):
        figures.agreement(agreement_table().assign(variable="D"))
