"""The theory's figures show their tables, on made-up rows."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from convexbn.experiments.theory import figures
from convexbn.reporting import pages, plotting

BLUE, GREY = figures.CONVEX, figures.TRIAL
PROBLEMS = {"a": "relu", "b": "cnn", "c": "bn_after_relu"}


def duality_table() -> pd.DataFrame:
    rows = [
        {
            **{"problem": problem, "program": program, "n": 20, "arrangements": 382, "neurons": 7},
            **{"width": width, "trial": trial, "optimum": 2.0},
            "relative_excess": -1e-12 if width == 32 else 10.0 ** -(trial + 1) / width,
        }
        for problem, program in PROBLEMS.items()
        for width in (2, 8, 32)
        for trial in range(4)
    ]
    table = pd.DataFrame(rows)
    return table.assign(objective=table["optimum"] * (1 + table["relative_excess"]))


def depth_table() -> pd.DataFrame:
    rows = [
        {
            **{"depth": depth, "n": 20, "d": 25, "width": 30, "optimum": 0.5},
            **{"trial": trial, "iteration": iteration},
            "relative_excess": 10.0 ** (1 - trial) / (1 + iteration),
        }
        for depth in (2, 3, 4, 5)
        for iteration in (0, 1, 10, 1000)
        for trial in range(3)
    ]
    table = pd.DataFrame(rows)
    return table.assign(objective=table["optimum"] * (1 + table["relative_excess"]))


def counting_table() -> pd.DataFrame:
    rows = []
    for rank, samples in ((1, (5, 10, 20)), (2, (5, 10))):
        for n in samples:
            total = n**rank + 1
            rows += [(rank, n, kind, None, total) for kind in ("enumerated", "formula")]
            rows += [(rank, n, "sampled", N, min(N, total) - 1) for N in (10, 100)]
    return pd.DataFrame(rows, columns=["rank", "n", "kind", "draws", "arrangements"])


def sampling_table() -> pd.DataFrame:
    rows = []
    for model, optimum in (("relu", 4.0), ("gated", 2.0)):
        for draw in range(3):
            for P in (5, 20):
                excess = 0.0 if (model, P) == ("relu", 20) else (draw + 1) / P
                rows.append((model, P, draw, optimum, excess))
        rows.append((model, 40, 0, optimum, 0.0))
    table = pd.DataFrame(rows, columns=["model", "gates", "draw", "optimum", "relative_excess"])
    objective = table["optimum"] * (1 + table["relative_excess"])
    return table.assign(objective=objective, arrangements=40, relative_gap=1e-7)


def interpolation_table() -> pd.DataFrame:
    x = np.linspace(-1, 1, 50)
    parts = [("data", None, x[::10], None), ("convex", None, x, 0.25)]
    kinds = ("adam", "momentum")
    parts += [(kind, trial, x, 0.3 + trial / 10) for kind in kinds for trial in range(3)]
    tables = [
        pd.DataFrame({"kind": kind, "trial": trial, "x": x, "y": np.sin(x), "objective": objective})
        for kind, trial, x, objective in parts
    ]
    return pd.concat(tables, ignore_index=True)


TABLES = {
    "duality": duality_table(),
    "depth": depth_table(),
    "counting": counting_table(),
    "sampling": sampling_table(),
    "interpolation": interpolation_table(),
}


@pytest.fixture(scope="module")
def drawn():
    return {name: getattr(figures, name)(table) for name, table in TABLES.items()}


def lines(axes, color, style=None) -> list:
    return [
        line
        for line in axes.lines
        if to_hex(line.get_color()) == color and style in (None, line.get_linestyle())
    ]


def legend_words(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_figure_is_drawn_here():
    own = (f for f in vars(figures).values() if getattr(f, "__module__", "") == figures.__name__)
    assert {f.__name__ for f in own if not f.__name__.startswith("_")} == TABLES.keys()


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("duality", "program"),
        ("counting", "kind"),
        ("sampling", "model"),
        ("interpolation", "kind"),
    ],
)
def test_rows_that_a_figure_cannot_draw_are_refused_by_name(name, column):
    table = TABLES[name].copy()
    table.loc[table.index[-1], column] = "brand-new"
    with pytest.raises(ValueError, match="'brand-new'"):
        getattr(figures, name)(table)


def test_every_trial_is_a_dot_beside_its_width(drawn):
    table = TABLES["duality"]
    panels = np.array(drawn["duality"].axes).reshape(2, 3)
    for (top, bottom), problem in zip(panels.T, PROBLEMS, strict=True):
        rows = table[table["problem"] == problem]
        (objectives,), (excesses,) = (lines(axes, GREY, "None") for axes in (top, bottom))
        np.testing.assert_array_equal(objectives.get_ydata(), rows["objective"])
        shown = rows["relative_excess"].clip(lower=figures.LOWEST)
        np.testing.assert_array_equal(excesses.get_ydata(), shown)
        # Moved by less than half the way to the next width.
        np.testing.assert_array_less(np.abs(np.log2(objectives.get_xdata() / rows["width"])), 0.5)
        assert len(set(objectives.get_xdata())) == len(rows)


def test_the_optimum_and_its_neurons_are_lines_of_every_panel(drawn):
    panels = np.array(drawn["duality"].axes).reshape(2, 3)
    for top, bottom in panels.T:
        (optimum,) = lines(top, BLUE, "-")
        assert set(optimum.get_ydata()) == {2.0}
        for axes in (top, bottom):
            (neurons,) = lines(axes, BLUE, ":")
            assert set(neurons.get_xdata()) == {7}
    titles = [axes.get_title().split("\n")[0] for axes in panels[0]]
    assert titles == ["fully connected", "convolutional", "BN after ReLU"]


def test_every_depth_has_its_curves_and_the_closed_form(drawn):
    table = TABLES["depth"]
    panels = np.array(drawn["depth"].axes).reshape(2, 4)
    for (top, bottom), depth in zip(panels.T, (2, 3, 4, 5), strict=True):
        rows = table[table["depth"] == depth]
        assert top.get_title() == f"{depth} layers"
        assert set(lines(top, BLUE)[0].get_ydata()) == {0.5}
        for axes, measure in ((top, "objective"), (bottom, "relative_excess")):
            curves = lines(axes, GREY)
            assert len(curves) == 3
            for trial, curve in enumerate(curves):
                trial = rows[rows["trial"] == trial]
                np.testing.assert_array_equal(curve.get_ydata(), trial[measure])
                np.testing.assert_array_equal(curve.get_xdata(), trial["iteration"])


def test_counts_are_drawn_by_rank(drawn):
    left, right = drawn["counting"].axes
    colors = [to_hex(color) for color in plotting.gradient(2)]
    for color, rank, samples in zip(colors, (1, 2), ((5, 10, 20), (5, 10)), strict=True):
        formula, enumerated = lines(left, color)
        for line in (formula, enumerated):
            assert line.get_xdata().tolist() == list(samples)
            assert line.get_ydata().tolist() == [n**rank + 1 for n in samples]
        # On the right the largest n that both ranks have, 10.
        found, total = lines(right, color)
        assert found.get_xdata().tolist() == [10, 100]
        assert set(total.get_ydata()) == {10**rank + 1}
    assert right.get_title() == "$n$ = 10"


def test_bands_of_samples_reach_from_the_lowest_to_the_highest_draw(drawn):
    left, right = drawn["sampling"].axes
    for color, optimum in ((BLUE, 4.0), (figures.GATED, 2.0)):
        assert set(lines(left, color, "--")[0].get_ydata()) == {optimum}
    (mean,) = lines(left, figures.GATED, "-")
    np.testing.assert_allclose(mean.get_ydata(), [2 * 1.4, 2 * 1.1, 2])
    (band,) = [c for c in left.collections if to_hex(c.get_facecolor()[0]) == figures.GATED]
    heights = {round(y, 9) for y in band.get_paths()[0].vertices[:, 1]}
    assert heights == {2.4, 3.2, 2.1, 2.3, 2.0}
    # All arrangements have no excess to show, and none smaller than the gaps is.
    (excess,) = lines(right, BLUE, "-")
    assert excess.get_xdata().tolist() == [5, 20]
    assert excess.get_ydata().tolist() == [pytest.approx(0.4), 1e-7]


def test_functions_stand_beside_the_convex_one(drawn):
    figure = drawn["interpolation"]
    for axes, label in zip(figure.axes, ("Adam", "gradient descent, momentum"), strict=True):
        assert len(lines(axes, GREY)) == 3
        assert len(lines(axes, BLUE)) == 1
        assert axes.get_title() == f"{label}\nobjectives 0.3 to 0.5"
        (samples,) = [line for line in axes.lines if line.get_marker() == "o"]
        assert len(samples.get_xdata()) == 5
    assert "convex program: 0.25" in legend_words(figure)


def test_nothing_overlaps_and_no_legend_is_cut(drawn):
    for name, figure in drawn.items():
        with plotting.style():
            figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes), name
        assert figure.bbox.x0 <= legend.x0, name
        assert legend.x1 <= figure.bbox.x1, name
        titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        for first, second in pairwise(titles):
            assert not first.overlaps(second), name


def test_the_page_of_theorems_marks_what_is_not_certified():
    row = {
        **{"id": "relu", "statement": "A < B", "loss": "squared", "penalty": "group"},
        **dict.fromkeys(("n", "d", "C", "K", "depth", "P", "beta"), 2),
        **{"convex_optimum": 1.25, "recovered_objective": 1.25, "best_trained": 1.5},
        **{"relative_difference": 0.0, "round_trip_difference": 2e-16, "relative_excess": 0.2},
        **{"relative_gap": 3e-8, "violation": 0.0, "certified": True, "seconds": 0.12},
    }
    page = pages.theorems_page(pd.DataFrame([row]))
    assert "A &lt; B" in page
    assert "1.25" in page
    assert "3.0e-08" in page
    assert "†" not in page
    assert "relu †" in pages.theorems_page(pd.DataFrame([row | {"certified": False}]))
