"""What is drawn is what the tables say, and a reader can tell what is certified."""

import json
import re
import subprocess
import sys

import digits_like
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from convexbn import figures, plotting, tables

RANKS = [5, 10, 20, 40, 61]
MISSED = {("k5", 1, 0.01), ("full", 0, 0.1)}


@pytest.fixture(scope="module")
def convex():
    return digits_like.convex_history()


@pytest.fixture(scope="module")
def sgd():
    return digits_like.sgd_history()


@pytest.fixture(scope="module")
def runs(convex, sgd):
    return tables.collect(digits_like.evaluations(convex), sgd)


@pytest.fixture(scope="module")
def doubtful(convex, sgd):
    """The same runs, two solves of which are not certified."""
    return tables.collect(digits_like.evaluations(convex, uncertified=MISSED), sgd)


def draw_all(runs, convex, sgd, published=None) -> dict:
    published = digits_like.published() if published is None else published
    tolerance = dict.fromkeys(digits_like.RANKS, 1e-4)
    return {
        "accuracy": figures.accuracy(runs, convex, sgd, published, "digits"),
        "rank": figures.rank(runs, published, "digits"),
        "certificates": figures.certificates(convex, runs, "digits", tolerance),
        "spectrum": figures.spectrum(np.arange(61.0, 0, -1), {"k5": 5, "full": None}, "digits"),
    }


@pytest.fixture(scope="module")
def drawn(runs, convex, sgd):
    return draw_all(runs, convex, sgd)


@pytest.fixture(scope="module")
def drawn_doubtful(doubtful, convex, sgd):
    return draw_all(doubtful, convex, sgd)


def lines(axes, color=None, marker=None) -> list:
    """Lines of a panel, by colour and by marker ("None" for lines without)."""
    return [
        line
        for line in axes.lines
        if (color is None or to_hex(line.get_color()) == color)
        and (marker is None or line.get_marker() == marker)
    ]


def open_markers(axes) -> list:
    return [line for line in axes.lines if line.get_markerfacecolor() == "white"]


def legend_words(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_method_has_one_look():
    assert tuple(plotting.LOOKS) == tables.METHODS
    for field in plotting.Look._fields:
        assert len({getattr(look, field) for look in plotting.LOOKS.values()}) == len(
            tables.METHODS
        )
    with pytest.raises(ValueError, match=r"plotting\.LOOKS"):
        plotting.look("Adam")


@pytest.mark.parametrize("method", tables.METHODS)
def test_accuracy_against_beta_is_the_table(drawn, runs, method):
    right = drawn["accuracy"].axes[1]
    by = ["method", "beta"]
    expected = tables.summarize(tables.select(runs, by), by).query("method == @method")
    (line,) = lines(right, plotting.look(method).color, "None")
    np.testing.assert_array_equal(line.get_xdata(), expected["beta"])
    np.testing.assert_array_equal(line.get_ydata(), 100 * expected["test_accuracy_mean"])


@pytest.mark.parametrize("method", tables.METHODS)
def test_time_ends_at_the_accuracy_and_time_of_the_methods_table(drawn, runs, method):
    left = drawn["accuracy"].axes[0]
    (line,) = lines(left, plotting.look(method).color, "None")
    setting = tables.methods(runs).set_index("method").loc[method]
    assert line.get_ydata()[-1] == pytest.approx(100 * setting["test_accuracy_mean"], abs=1e-9)
    chosen = tables.select(runs).query("method == @method")
    assert line.get_xdata()[-1] == chosen["seconds"].max()
    (end,) = lines(left, plotting.look(method).color, plotting.look(method).marker)
    assert (end.get_xdata()[0], end.get_ydata()[0]) == (line.get_xdata()[-1], line.get_ydata()[-1])


def test_convex_time_starts_with_the_largest_beta(drawn, runs, convex):
    (line,) = lines(drawn["accuracy"].axes[0], plotting.look("convex").color, "None")
    first = convex[(convex["run"] == "full") & (convex["iteration"] == 0) & (convex["beta"] == 1)]
    assert line.get_xdata()[0] == first["seconds"].max()
    assert tables.methods(runs).set_index("method").loc["convex", "beta"] < 1


def test_band_is_one_standard_deviation(drawn, runs):
    right = drawn["accuracy"].axes[1]
    by = ["method", "beta"]
    table = tables.summarize(tables.select(runs, by), by).query("method == 'convex'")
    color = plotting.look("convex").color
    (band,) = [c for c in right.collections if to_hex(c.get_facecolor()[0]) == color]
    heights = {round(y, 9) for y in band.get_paths()[0].vertices[:, 1]}
    mean, std = 100 * table["test_accuracy_mean"], 100 * table["test_accuracy_std"]
    assert heights == {round(y, 9) for y in [*(mean - std), *(mean + std)]}


def test_rank_figure_is_the_table_and_ends_at_full_rank(drawn, runs):
    convex = runs[runs["rank"].notna()]
    table = tables.summarize(tables.select(convex, ["rank"]), ["rank"])
    for axes, measure in zip(drawn["rank"].axes, ("test", "train"), strict=True):
        (line,) = lines(axes, plotting.look("convex-truncated").color, "None")
        np.testing.assert_array_equal(line.get_xdata(), RANKS)
        np.testing.assert_allclose(line.get_ydata(), 100 * table[f"{measure}_accuracy_mean"])
        (full,) = lines(axes, plotting.look("convex").color, plotting.look("convex").marker)
        assert full.get_xdata() == [61]


def test_networks_are_bands_of_the_rank_figure(drawn, runs):
    row = tables.methods(runs).set_index("method").loc["SGD"]
    axes = drawn["rank"].axes[0]
    color = plotting.look("SGD").color
    (line,) = lines(axes, color)
    assert line.get_ydata()[0] == pytest.approx(100 * row["test_accuracy_mean"])
    (span,) = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == color]
    assert span.get_height() == pytest.approx(200 * row["test_accuracy_std"])


def test_every_solve_has_its_gap_drawn(drawn, convex):
    panels = np.array(drawn["certificates"].axes).reshape(2, 5)
    for axes, run in zip(panels[1], digits_like.RANKS, strict=True):
        paths = [line for line in lines(axes, marker="None") if len(line.get_xdata()) > 2]
        assert len(paths) == 3 * 3  # seeds, betas
        seconds = np.concatenate([line.get_xdata() for line in paths])
        gaps = np.concatenate([line.get_ydata() for line in paths])
        expected = convex[convex["run"] == run].sort_values("seconds")
        np.testing.assert_array_equal(gaps[np.argsort(seconds)], expected["relative_gap"])
        (tolerance,) = [line for line in lines(axes, marker="None") if line not in paths]
        assert set(tolerance.get_ydata()) == {1e-4}


def test_solves_end_in_the_certificate_not_in_what_the_solver_saw(runs, convex):
    refereed = runs.assign(relative_gap=3e-5)
    tolerance = dict.fromkeys(digits_like.RANKS, 1e-4)
    figure = figures.certificates(convex, refereed, "digits", tolerance)
    ends = [line.get_ydata()[0] for line in lines(figure.axes[5], marker="o")]
    assert ends == [3e-5] * 9


def test_dual_bound_is_the_best_so_far(runs, convex):
    worse = convex.copy()
    worse.loc[worse["iteration"] == 300, "dual_objective"] = -1.0
    figure = figures.certificates(worse, runs, "digits", dict.fromkeys(digits_like.RANKS, 1e-4))
    bounds = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert len(bounds) == 9
    assert all((np.diff(line.get_ydata()) >= 0).all() for line in bounds)


def test_gaps_of_zero_stay_on_the_axis(runs, convex):
    exact = convex.assign(relative_gap=0.0)
    figure = figures.certificates(exact, runs, "digits", dict.fromkeys(digits_like.RANKS, 1e-4))
    assert set(figure.axes[5].lines[0].get_ydata()) == {figures.LOWEST_GAP}


def test_uncertified_solves_are_marked_wherever_they_appear(drawn, drawn_doubtful):
    for name in ("accuracy", "rank", "certificates"):
        assert not any(open_markers(axes) for axes in drawn[name].axes)
        assert "not certified" not in legend_words(drawn[name])
        assert "not certified" in legend_words(drawn_doubtful[name])
    time, betas = (open_markers(axes) for axes in drawn_doubtful["accuracy"].axes)
    assert [line.get_color() for line in time] == [plotting.look("convex").color]
    assert [list(line.get_xdata()) for line in betas] == [[0.1]]
    for axes in drawn_doubtful["rank"].axes:
        assert [list(line.get_xdata()) for line in open_markers(axes)] == [[61]]
    certificates = drawn_doubtful["certificates"].axes
    assert [len(open_markers(axes)) for axes in certificates[5:]] == [1, 0, 0, 0, 1]
    assert "1 of 9 not certified" in certificates[0].get_title()
    assert "all certified" in certificates[1].get_title()


def test_colours_belong_to_methods_in_every_figure(drawn):
    for name in ("accuracy", "rank", "spectrum"):
        for handle in drawn[name].legends[0].legend_handles:
            (look,) = [k for k in plotting.LOOKS.values() if k.label == handle.get_label()]
            assert handle.get_color() == look.color


def test_diverged_betas_are_crossed_not_dropped(runs, convex, sgd):
    lost = (runs["method"] == "SGD") & (runs["beta"] == 1)
    figure = figures.accuracy(
        runs.assign(objective=runs["objective"].mask(lost)),
        *(convex, sgd, digits_like.published(), "digits"),
    )
    (cross,) = lines(figure.axes[1], marker="x")
    assert cross.get_xdata()[0] == 1
    assert cross.get_color() == plotting.look("SGD").color
    assert "diverged at every learning rate" in legend_words(figure)


def test_published_values_are_drawn_only_where_there_are_any(drawn, runs, convex, sgd):
    row = {"dataset": "digits", "method": "SGD", "test_accuracy": 0.9, "source": "Some et al."}
    entered = draw_all(runs, convex, sgd, digits_like.published(**row))
    elsewhere = draw_all(runs, convex, sgd, digits_like.published(**{**row, "dataset": "other"}))
    words = "SGD with BN, published (Some et al.)"
    for name in ("accuracy", "rank"):
        dotted = [line for line in entered[name].axes[0].lines if line.get_linestyle() == ":"]
        assert [set(line.get_ydata()) for line in dotted] == [{90.0}]
        assert words in legend_words(entered[name])
        assert legend_words(elsewhere[name]) == legend_words(drawn[name])


def test_spectrum_of_known_energies():
    figure = figures.spectrum(np.array([4.0, 3, 0]), {"k1": 1, "full": None}, "d")
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [4, 3, 0])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [64, 100, 100])
    ends = [(line.get_xdata()[0], line.get_color()) for line in right.lines[1:]]
    truncated, full = plotting.look("convex-truncated"), plotting.look("convex")
    assert ends == [(1, truncated.color), (3, full.color)]


def test_figures_of_one_seed_and_one_method_can_be_drawn(convex):
    one = convex[convex["seed"] == 0]
    runs = tables.collect(digits_like.evaluations(one), pd.DataFrame())
    drawn = draw_all(runs, one, pd.DataFrame())
    words = [plotting.look(method).label for method in ("convex", "convex-truncated")]
    assert legend_words(drawn["accuracy"]) == legend_words(drawn["rank"]) == words


def test_without_convex_runs_there_is_nothing_to_draw(runs):
    networks = runs[runs["rank"].isna()]
    with pytest.raises(ValueError, match="convex run"):
        figures.rank(networks, digits_like.published(), "digits")


def test_legends_cover_no_panel(drawn_doubtful):
    for figure in drawn_doubtful.values():
        with plotting.style():
            figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_same_figure_same_bytes_with_provenance(runs, tmp_path):
    provenance = {"commit": "abc", "parameters": {"dataset": "digits"}}
    for name in ("first", "second"):
        figure = figures.rank(runs, digits_like.published(), "digits")
        plotting.save(figure, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png", provenance)
    for kind in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("first", "second"))
        assert first == second
    assert not re.search(rb"CreationDate|ModDate", (tmp_path / "first.pdf").read_bytes())
    assert b'"commit": "abc"' in (tmp_path / "first.pdf").read_bytes()
    with Image.open(tmp_path / "first.png") as image:
        assert json.loads(image.info["Provenance"]) == provenance


def test_ticks_keep_the_last_and_leave_room():
    _, ((axes,),) = plotting.panels(1)
    axes.plot([1, 1000], [0, 1])
    plotting.log_x(axes)
    plotting.ticks_at(axes.xaxis, [1, 10, 900, 950, 1000])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "10", "1000"]


def test_drawing_does_not_wait_for_torch():
    code = "import sys, convexbn.figures, convexbn.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
