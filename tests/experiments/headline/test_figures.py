"""Figures draw what the tables say, and a reader can tell which solves are certified."""

import json
import re

import digits_like
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from convexbn.experiments.headline.figures import (
    accuracy,
    calibration,
    certificates,
    curves,
    filters,
    rank,
    sensitivity,
    spectrum,
)
from convexbn.experiments.studies.figures import trends as studies
from convexbn.pipeline import artifacts
from convexbn.reporting import plotting, selection, significance
from convexbn.reporting.finishing import finished, panels
from convexbn.reporting.methods import METHODS, NETWORKS, SOLVED, TRAINED, style_of
from convexbn.whitening import FILTERS

RANKS = [5, 10, 20, 40, 61]
DRAWN = (accuracy, calibration, certificates, curves, filters, rank, sensitivity, spectrum)
FIGURES = {module.__name__.rpartition(".")[2]: module for module in DRAWN}
ALL = FIGURES | {"studies": studies}  # both are drawn from the headline's tables
TABLED = [*SOLVED, *digits_like.NETWORKS]  # methods that the tables made by hand have
STYLES = [method.style for method in METHODS.values()]
MISSED = {("k20", 1, 0.1), ("full", 0, 0.1)}
TOLERANCE = dict.fromkeys(digits_like.RANKS, 1e-4)
NOISE = {"digits": 0.0, "worse": 0.2, "worst": 0.4}


@pytest.fixture(scope="module")
def convex():
    return digits_like.convex_history()


@pytest.fixture(scope="module")
def sgd():
    return digits_like.sgd_history()


@pytest.fixture(scope="module")
def runs(convex, sgd):
    return selection.collect(digits_like.evaluations(convex), sgd)


@pytest.fixture(scope="module")
def doubtful(convex, sgd):
    """The same runs, two solves of which are not certified."""
    return selection.collect(digits_like.evaluations(convex, uncertified=MISSED), sgd)


def with_variations(runs) -> pd.DataFrame:
    """The runs, and some that vary one quantity and are no candidates."""
    bn = runs[(runs["method"] == "SGD") & (runs["learning_rate"] == 0.01)]
    k20 = runs[runs["run"] == "k20"]
    variations = [
        *(bn.assign(run=f"bn-{b}", batch_size=b, test_accuracy=0.9 + b / 1e4) for b in (20, 500)),
        bn.assign(run="bn-adam", optimizer="adam", test_accuracy=0.94),
        *(k20.assign(run=f"k20-{P}", gates=P, test_accuracy=0.93 + P / 1e4) for P in (16, 64)),
    ]
    return pd.concat([runs, *(some.assign(candidate=False) for some in variations)])


def of_study(runs) -> pd.DataFrame:
    """The runs on three data sets, the accuracy of SGD falling by a point from each to the next."""
    parts = [
        runs.assign(
            dataset=name,
            test_accuracy=runs["test_accuracy"] - 0.01 * i * (runs["method"] == "SGD"),
        )
        for i, name in enumerate(NOISE)
    ]
    return pd.concat(parts, ignore_index=True)


def all_tables(runs, convex, sgd) -> dict:
    published = digits_like.published()
    of_spectrum = spectrum.table(
        digits_like.spectrum(), {"k5": 5, "full": len(digits_like.spectrum())}
    )
    return {
        "accuracy": accuracy.table(runs, convex, sgd, published, "digits"),
        "rank": rank.table(runs, published, "digits"),
        "curves": curves.table(runs, convex, sgd, "digits"),
        "filters": filters.table(runs, of_spectrum, "digits"),
        "sensitivity": sensitivity.table(with_variations(runs), "digits"),
        "calibration": calibration.table(runs, "digits"),
        "certificates": certificates.table(runs, convex, "digits", TOLERANCE),
        "spectrum": of_spectrum,
        "studies": studies.table(of_study(runs), NOISE, "noise"),
    }


def draw(name, table):
    how = {"kind": "noise"} if name == "studies" else {}
    return ALL[name].draw(table, title="digits", **how)


def draw_all(given) -> dict:
    return {name: draw(name, table) for name, table in given.items()}


@pytest.fixture(scope="module")
def shown(runs, convex, sgd):
    """The small table of every figure."""
    return all_tables(runs, convex, sgd)


@pytest.fixture(scope="module")
def shown_doubtful(doubtful, convex, sgd):
    return all_tables(doubtful, convex, sgd)


@pytest.fixture(scope="module")
def drawn(shown):
    return draw_all(shown)


@pytest.fixture(scope="module")
def drawn_doubtful(shown_doubtful):
    return draw_all(shown_doubtful)


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


def numbers(figure) -> list:
    """Everything that a figure's lines show."""
    return [
        np.asarray(line.get_xydata(), dtype=float) for axes in figure.axes for line in axes.lines
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_drawn_from_the_small_table_beside_it(
    name, shown_doubtful, drawn_doubtful, tmp_path
):
    path = tmp_path / f"{name}.csv"
    artifacts.write_table(path, artifacts.rounded(shown_doubtful[name]), {})
    assert path.stat().st_size < 1e5
    first, again = drawn_doubtful[name], draw(name, artifacts.read_table(path))
    assert legend_words(first) == legend_words(again)
    for expected, found in zip(numbers(first), numbers(again), strict=True):
        # Six digits are kept, of which a difference loses some.
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("method", TABLED)
def test_accuracy_against_beta_is_the_table(drawn, runs, method):
    """Of the method's chosen rank alone: a line through several would be of nothing."""
    right = drawn["accuracy"].axes[1]
    by = ["method", "beta"]
    (rank,) = selection.methods(runs).query("method == @method")["rank"]
    same = runs[runs["rank"].eq(rank) | runs["rank"].isna()].query("method == @method")
    expected = selection.summarize(selection.select(same, by), by)
    (line,) = lines(right, style_of(method).color, "None")
    np.testing.assert_array_equal(line.get_xdata(), expected["beta"])
    # Means of a few seeds, which may be summed in another order.
    mean = 100 * expected["test_accuracy_mean"]
    np.testing.assert_allclose(line.get_ydata(), mean, rtol=1e-14)


@pytest.mark.parametrize("method", TABLED)
def test_time_ends_at_the_accuracy_and_time_of_the_methods_table(drawn, runs, method):
    left = drawn["accuracy"].axes[0]
    (line,) = lines(left, style_of(method).color, "None")
    setting = selection.methods(runs).set_index("method").loc[method]
    assert line.get_ydata()[-1] == pytest.approx(100 * setting["test_accuracy_mean"], abs=1e-9)
    chosen = selection.select(runs).query("method == @method")
    assert line.get_xdata()[-1] == chosen["seconds"].max()
    (end,) = lines(left, style_of(method).color, style_of(method).marker)
    assert (end.get_xdata()[0], end.get_ydata()[0]) == (line.get_xdata()[-1], line.get_ydata()[-1])


def test_convex_time_starts_with_the_largest_beta(drawn, runs, convex):
    (line,) = lines(drawn["accuracy"].axes[0], style_of("convex").color, "None")
    first = convex[(convex["run"] == "full") & (convex["iteration"] == 0) & (convex["beta"] == 1)]
    assert line.get_xdata()[0] == first["seconds"].max()
    assert selection.methods(runs).set_index("method").loc["convex", "beta"] < 1


def test_band_is_one_standard_deviation(drawn, runs):
    right = drawn["accuracy"].axes[1]
    by = ["method", "beta"]
    table = selection.summarize(selection.select(runs, by), by).query("method == 'convex'")
    color = style_of("convex").color
    (band,) = [c for c in right.collections if to_hex(c.get_facecolor()[0]) == color]
    heights = {round(y, 9) for y in band.get_paths()[0].vertices[:, 1]}
    mean, std = 100 * table["test_accuracy_mean"], 100 * table["test_accuracy_std"]
    assert heights == {round(y, 9) for y in [*(mean - std), *(mean + std)]}


def test_rank_figure_is_the_table_and_ends_at_full_rank(drawn, runs):
    certified = runs[runs["method"].isin(["convex", "convex-truncated"])]
    table = selection.summarize(selection.select(certified, ["rank"]), ["rank"])
    for axes, measure in zip(drawn["rank"].axes, ("test", "train"), strict=True):
        (line,) = lines(axes, style_of("convex-truncated").color, "None")
        np.testing.assert_array_equal(line.get_xdata(), RANKS)
        np.testing.assert_allclose(line.get_ydata(), 100 * table[f"{measure}_accuracy_mean"])
        (full,) = lines(axes, style_of("convex").color, style_of("convex").marker)
        assert full.get_xdata() == [61]
        (trained,) = lines(axes, style_of("convex-truncated by SGD").color, "None")
        np.testing.assert_array_equal(trained.get_xdata(), [20, 61])


def test_rank_figure_names_numbers_of_gates_that_differ(drawn, runs):
    def labels(figure):
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert not [label for label in labels(drawn["rank"]) if "$P$" in label]
    for method, gates in (("convex", 8), ("convex-truncated", 16)):
        runs = runs.assign(gates=runs["gates"].mask(runs["method"] == method, gates))
    figure = rank.draw(rank.table(runs, digits_like.published(), "digits"), "title")
    assert figure.legends[0]._ncols == 2  # with three the default run's was cut off
    found = labels(figure)
    assert {"convex, full rank, $P$ = 8", "convex, truncated, $P$ = 16"} <= set(found)


def test_what_is_filtered_has_no_place_among_the_ranks(runs, shown):
    """It keeps every direction, and is not the program at full rank."""
    soft = runs[runs["run"] == "k20-sgd"]
    soft = soft.assign(
        run="soft-sgd", rank=61, filter_kind="ridge", filter_value=0.01, test_accuracy=0.1
    )
    table = rank.table(pd.concat([runs, soft]), digits_like.published(), "digits")
    pd.testing.assert_frame_equal(table, shown["rank"])


def test_networks_are_bands_of_the_rank_figure(drawn, runs):
    row = selection.methods(runs).set_index("method").loc["SGD"]
    axes = drawn["rank"].axes[0]
    color = style_of("SGD").color
    (line,) = lines(axes, color)
    assert line.get_ydata()[0] == pytest.approx(100 * row["test_accuracy_mean"])
    (span,) = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == color]
    assert span.get_height() == pytest.approx(200 * row["test_accuracy_std"])


@pytest.mark.parametrize("method", TABLED)
@pytest.mark.parametrize("measure", list(curves.MEASURES))
def test_curves_end_where_the_methods_table_is(drawn, runs, method, measure):
    setting = selection.methods(runs).set_index("method").loc[method]
    panels = np.array(drawn["curves"].axes).reshape(2, 4)
    epochs, seconds = panels[:, list(curves.MEASURES).index(measure)]
    scale = 100 if measure.endswith("accuracy") else 1
    (line,) = lines(seconds, style_of(method).color, "None")
    assert line.get_ydata()[-1] == pytest.approx(scale * setting[f"{measure}_mean"])
    assert len(line.get_xdata()) <= curves.EVALUATIONS
    against_epochs = lines(epochs, style_of(method).color, "None")
    if method in SOLVED:
        assert not against_epochs
    else:
        (line,) = against_epochs
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 31))
        assert line.get_ydata()[-1] == pytest.approx(scale * setting[f"{measure}_mean"])


def gap_panels(figure) -> dict:
    """The lower panels of the certificates by the run they are of."""
    count = len(figure.axes)
    columns = count // 4  # of two rows of pairs, for seven runs
    pairs = np.array(figure.axes).reshape(2, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    runs = {f"$k$ = {k}": run for run, k in digits_like.RANKS.items() if run[0] in "kf"}
    runs |= {f"{kind} {value}": kind for kind, value in digits_like.FILTERS.items()}
    titled = [(top.get_title().split("\n")[0], bottom) for top, bottom in pairs]
    return {runs[title]: bottom for title, bottom in titled if title}


def test_every_solve_has_its_gap_drawn(drawn, convex):
    panels = gap_panels(drawn["certificates"])
    assert set(panels) == set(digits_like.RANKS)
    for run, axes in panels.items():
        paths = [line for line in lines(axes, marker="None") if len(line.get_xdata()) > 2]
        assert len(paths) == 3 * 3  # seeds, betas
        history = convex[convex["run"] == run].set_index("seconds")["relative_gap"]
        for path in paths:
            assert len(path.get_xdata()) == certificates.SNAPSHOTS
            np.testing.assert_array_equal(path.get_ydata(), history.loc[path.get_xdata()])
        starts = history[history.index.isin([path.get_xdata()[0] for path in paths])]
        assert starts.nunique() == 3  # the first look of each beta
        (tolerance,) = [line for line in lines(axes, marker="None") if line not in paths]
        assert set(tolerance.get_ydata()) == {1e-4}


def test_solves_end_in_the_certificate_not_in_what_the_solver_saw(runs, convex):
    refereed = runs.assign(relative_gap=3e-5)
    figure = draw("certificates", certificates.table(refereed, convex, "digits", TOLERANCE))
    ends = [line.get_ydata()[0] for line in lines(gap_panels(figure)["k5"], marker="o")]
    assert ends == [3e-5] * 9


def test_the_dual_bound_is_the_best_so_far(runs, convex):
    worse = convex.copy()
    worse.loc[worse["iteration"] == 300, "dual_objective"] = -1.0
    table = certificates.table(runs, worse, "digits", TOLERANCE)
    bounds = [
        line for line in draw("certificates", table).axes[0].lines if line.get_linestyle() == ":"
    ]
    assert len(bounds) == 9
    assert all((np.diff(line.get_ydata()) >= 0).all() for line in bounds)


def test_gaps_of_zero_stay_on_the_axis(runs, convex):
    exact = convex.assign(relative_gap=0.0)
    figure = draw("certificates", certificates.table(runs, exact, "digits", TOLERANCE))
    assert set(gap_panels(figure)["k5"].lines[0].get_ydata()) == {certificates.LOWEST}


def test_runs_that_are_no_candidates_have_no_panel(runs, convex):
    fewer = runs.assign(candidate=runs["run"] != "k5")
    assert "k5" not in set(certificates.table(fewer, convex, "digits", TOLERANCE)["run"])


def test_uncertified_solves_are_marked_wherever_they_appear(drawn, drawn_doubtful):
    for name in set(ALL) - {"spectrum"}:
        assert not any(open_markers(axes) for axes in drawn[name].axes), name
        assert "not certified" not in legend_words(drawn[name])
        assert "not certified" in legend_words(drawn_doubtful[name]), name
        assert any(open_markers(axes) for axes in drawn_doubtful[name].axes), name
    for axes in drawn_doubtful["rank"].axes:
        assert [list(line.get_xdata()) for line in open_markers(axes)] == [[61], [20]]
    panels = gap_panels(drawn_doubtful["certificates"])
    missed = {run: len(open_markers(axes)) for run, axes in panels.items()}
    assert missed == dict.fromkeys(digits_like.RANKS, 0) | {"full": 1, "k20": 1}
    titles = {axes.get_title() for axes in drawn_doubtful["certificates"].axes}
    assert "$k$ = 61\n1 of 9 not certified" in titles
    assert "ridge 0.01\nall certified" in titles


def test_colours_belong_to_methods_in_every_figure(drawn):
    for name in ("accuracy", "rank", "curves", "sensitivity", "spectrum", "studies"):
        handles = drawn[name].legends[0].legend_handles
        for handle in [h for h in handles if h.get_label() != "chosen at the end of those tried"]:
            (style,) = [style for style in STYLES if style.label == handle.get_label()]
            assert handle.get_color() == style.color


def test_diverged_betas_are_crossed_not_dropped(runs, convex, sgd):
    lost = (runs["method"] == "SGD") & (runs["beta"] == 1)
    diverged = runs.assign(objective=runs["objective"].mask(lost))
    given = diverged, convex, sgd, digits_like.published(), "digits"
    figure = draw("accuracy", accuracy.table(*given))
    (cross,) = lines(figure.axes[1], marker="x")
    assert cross.get_xdata()[0] == 1
    assert cross.get_color() == style_of("SGD").color
    assert "diverged at every learning rate" in legend_words(figure)


def test_an_optimum_at_the_end_of_the_grid_is_ringed(drawn, runs, convex, sgd):
    """A beta that is the smallest or the largest of those tried: others might do better still."""
    settings = selection.methods(runs).set_index("method")
    right = drawn["accuracy"].axes[1]
    rings = {to_hex(line.get_color()): line for line in right.lines if line.get_markersize() == 9}
    found = {m for m in settings.index if style_of(m).color in rings}
    assert found == {m for m in settings.index if "beta" in settings["edges"][m]}
    inner = runs[runs["beta"] < 1]  # without the largest the others are at an end
    figure = draw("accuracy", accuracy.table(inner, convex, sgd, digits_like.published(), "digits"))
    assert "chosen at the end of those tried" in legend_words(figure)
    (ring,) = (
        line
        for line in figure.axes[1].lines
        if line.get_markersize() == 9 and line.get_color() == style_of("convex").color
    )
    assert ring.get_xdata()[0] == selection.methods(inner).set_index("method")["beta"]["convex"]
    # A run that is no candidate tried one beyond, as the table of methods counts, too.
    beyond = inner[inner["run"] == "full"].assign(run="beyond", beta=9.0, candidate=False)
    more = pd.concat([inner, beyond])
    figure = draw("accuracy", accuracy.table(more, convex, sgd, digits_like.published(), "digits"))
    rings = [line for line in figure.axes[1].lines if line.get_markersize() == 9]
    assert style_of("convex").color not in [line.get_color() for line in rings]


def test_published_values_are_drawn_only_where_there_are_any(drawn, runs, convex, sgd):
    row = {"dataset": "digits", "method": "SGD", "test_accuracy": 0.9, "source": "Some et al."}
    given = {"accuracy": (runs, convex, sgd), "rank": (runs,)}
    for name, big in given.items():
        entered, elsewhere = (
            draw(name, FIGURES[name].table(*big, digits_like.published(**values), "digits"))
            for values in (row, row | {"dataset": "other"})
        )
        dotted = [line for line in entered.axes[0].lines if line.get_linestyle() == ":"]
        assert [set(line.get_ydata()) for line in dotted] == [{90.0}]
        low, high = entered.axes[0].get_ylim()
        assert low < 90 < high
        assert "SGD with BN, published (Some et al.)" in legend_words(entered)
        assert legend_words(elsewhere) == legend_words(drawn[name])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.999])
def test_a_published_value_beyond_the_others_is_in_the_picture(runs, share):
    row = {"dataset": "digits", "method": "SGD", "test_accuracy": share, "source": "Some et al."}
    figure = draw("rank", rank.table(runs, digits_like.published(**row), "digits"))
    low, high = figure.axes[0].get_ylim()
    assert low < 100 * share < high


def test_spectrum_of_known_energies():
    table = spectrum.table(np.array([4.0, 3, 0]), {"k1": 1, "full": 3})
    left, right = draw("spectrum", table).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [4, 3, 0])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [64, 100, 100])
    ends = [(line.get_xdata()[0], line.get_color()) for line in right.lines[1:]]
    truncated, full = style_of("convex-truncated"), style_of("convex")
    assert ends == [(1, truncated.color), (3, full.color)]


@pytest.mark.parametrize(
    ("kind", "strength", "values", "expected"),
    [
        ("ridge", 0.25, [2.0, 2, 2, 2], 4 / 1.25),  # equal values: r / (1 + c)
        ("power", 3.0, [2.0, 2, 2, 2], 4),  # (s / s_1)^c = 1
        ("power", 2.0, [2.0, 1, 0.5], 1 + 1 / 4 + 1 / 16),
        ("ridge", 1.0, [1.0, 1e-9], 0.5),
    ],
)
def test_effective_ranks_of_known_filters(kind, strength, values, expected):
    table = spectrum.table(np.array(values), {})
    assert filters.effective_rank(kind, strength, table, len(table)) == pytest.approx(expected)
    leading = filters.effective_rank(kind, strength, table, 1)
    assert leading == pytest.approx(FILTERS[kind](np.ones(1), strength)[0])


def test_filters_are_set_against_truncations(drawn, shown, runs):
    table = shown["filters"]
    hard = table[table["filter_kind"] == filters.HARD]
    assert hard["effective_rank"].tolist() == RANKS
    soft = table[table["filter_kind"] != filters.HARD].set_index("filter_kind")
    values = digits_like.spectrum() / digits_like.spectrum()[0]
    assert soft.loc["power", "effective_rank"] == pytest.approx(np.sqrt(values).sum())
    chosen = selection.select(runs[runs["run"] == "ridge"], ["run"])["test_accuracy"]
    assert soft.loc["ridge", "test_accuracy_mean"] == pytest.approx(chosen.mean())
    (point,) = lines(drawn["filters"].axes[0], filters.STYLES["ridge"].color, "v")
    assert point.get_ydata()[0] == pytest.approx(100 * chosen.mean())


def test_filters_that_no_candidate_has_are_shown_too(runs):
    ridge = runs[runs["run"] == "ridge"].assign(candidate=False, test_accuracy=0.5)
    other = ridge.assign(run="ridge-other", filter_value=0.1)
    better = ridge.assign(run="ridge-again", validation_accuracy=1.0)  # of a filter that has one
    of_spectrum = spectrum.table(digits_like.spectrum(), {})
    alone = filters.table(runs, of_spectrum, "digits")
    table = filters.table(pd.concat([runs, other, better]), of_spectrum, "digits")
    new = table["filter_value"] == 0.1
    assert table.loc[new, "test_accuracy_mean"].tolist() == [0.5]
    pd.testing.assert_frame_equal(table[~new].reset_index(drop=True), alone)


def test_every_filter_has_a_style_of_its_own():
    assert list(filters.STYLES) == [filters.HARD, *FILTERS]
    assert len(set(filters.STYLES.values())) == len(filters.STYLES)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("accuracy", "panel"),
        ("accuracy", "method"),
        ("rank", "kind"),
        ("rank", "method"),
        ("curves", "against"),
        ("curves", "method"),
        ("filters", "filter_kind"),
        ("sensitivity", "quantity"),
        ("sensitivity", "method"),
        ("calibration", "method"),
        ("studies", "panel"),
        ("studies", "method"),
    ],
)
def test_rows_that_a_figure_cannot_draw_are_refused_by_name(shown, name, column):
    table = shown[name].copy()
    table.loc[table.index[0], column] = "brand-new"
    with pytest.raises(ValueError, match="'brand-new'"):
        draw(name, table)


def test_an_unknown_optimizer_is_refused_by_name(shown):
    table = shown["sensitivity"].replace("adam", "lion")
    with pytest.raises(ValueError, match=r"optimizer must be one of .*'lion'"):
        draw("sensitivity", table)


def test_a_filter_of_unknown_kind_has_no_effective_rank(runs):
    of_spectrum = spectrum.table(digits_like.spectrum(), {})
    with pytest.raises(ValueError, match=r"filter_kind must be one of .*'brickwall'"):
        filters.table(runs.replace("ridge", "brickwall"), of_spectrum, "digits")


def test_sensitivity_shows_what_is_varied_and_nothing_else(runs):
    table = sensitivity.table(with_variations(runs), "digits")
    varied = {name: set(rows["method"]) for name, rows in table.groupby("quantity")}
    trained = (set(NETWORKS) | set(TRAINED)) & set(TABLED)
    assert varied == {
        "learning_rate": trained,
        "batch_size": {"SGD"},
        "optimizer": {"SGD"},
        "gates": {"convex-truncated"},
    }
    means = table.set_index(["quantity", "value"])["test_accuracy_mean"]
    assert means.loc["batch_size", 20] == pytest.approx(0.902)
    assert means.loc["batch_size", 500] == pytest.approx(0.95)
    assert means.loc["optimizer", "adam"] == pytest.approx(0.94)
    assert means.loc["gates", 16] == pytest.approx(0.9316)
    chosen = selection.methods(runs).set_index("method")["test_accuracy_mean"]
    # At the chosen value is the chosen setting.
    assert means.loc["batch_size", 100] == pytest.approx(chosen["SGD"])
    assert means.loc["gates", 128] == pytest.approx(chosen["convex-truncated"])
    rates = table[(table["quantity"] == "learning_rate") & (table["method"] == "SGD")]
    assert rates["value"].tolist() == [0.001, 0.01, 0.1]
    assert rates["test_accuracy_mean"].max() == pytest.approx(chosen["SGD"], abs=0.01)


def test_sensitivity_holds_the_optimizer_while_others_vary(runs):
    """A better Adam run at another batch size is not SGD's."""
    more = with_variations(runs)
    adam = more[more["run"] == "bn-adam"]
    adam = adam.assign(batch_size=20, validation_accuracy=1.0, test_accuracy=1.0, run="both")
    table = sensitivity.table(pd.concat([more, adam]), "digits")
    pd.testing.assert_frame_equal(table, sensitivity.table(more, "digits"))


def test_sensitivity_holds_what_else_a_run_fixes(runs):
    """A network that is trained twice as long is none at another learning rate."""
    more = with_variations(runs)
    more = more.assign(recipe=more["recipe"].mask(more["method"] == "SGD", "epochs 30"))
    bn = more[(more["method"] == "SGD") & (more["learning_rate"] == 0.1) & more["candidate"]]
    longer = bn.assign(run="long", recipe="epochs 60", candidate=False)
    longer = longer.assign(validation_accuracy=1.0, test_accuracy=1.0)
    table = sensitivity.table(pd.concat([more, longer]), "digits")
    pd.testing.assert_frame_equal(table, sensitivity.table(more, "digits"))


def test_sensitivity_crosses_out_what_diverged(runs):
    lost = (runs["method"] == "SGD") & (runs["learning_rate"] == 0.1)
    table = sensitivity.table(runs.assign(objective=runs["objective"].mask(lost)), "digits")
    figure = draw("sensitivity", table)
    (cross,) = lines(figure.axes[0], marker="x")
    assert cross.get_xdata() == [0.1]
    assert "every network diverged" in legend_words(figure)


def test_where_nothing_is_varied_the_figure_says_so(runs):
    one = runs[(runs["learning_rate"] == 0.01) | runs["learning_rate"].isna()]
    table = sensitivity.table(one, "digits")
    assert table.empty
    assert list(table.columns) == sensitivity.COLUMNS
    (words,) = draw("sensitivity", table).axes[0].texts
    assert "varies" in words.get_text()


def test_calibration_shows_every_seed_and_their_mean(drawn, runs):
    chosen = selection.select(runs[runs["method"] == "SGD"])
    for axes, (measure, scale) in zip(
        drawn["calibration"].axes, {"test_ece": 100, "test_nll": 1}.items(), strict=True
    ):
        style = style_of("SGD")
        (seeds,) = lines(axes, style.color, "|")
        np.testing.assert_allclose(sorted(seeds.get_xdata()), sorted(scale * chosen[measure]))
        (mean,) = lines(axes, style.color, style.marker)
        assert mean.get_xdata()[0] == pytest.approx(scale * chosen[measure].mean())
    labels = [text.get_text() for text in drawn["calibration"].axes[0].get_yticklabels()]
    assert labels == [style.label for style in STYLES]


def test_a_study_shows_the_paired_difference_and_its_interval(runs):
    table = studies.table(of_study(runs), NOISE, "noise")
    chosen = {name: selection.select(runs[runs["method"] == name]) for name in studies.COMPARED}
    pairs = significance.differences(chosen["convex-truncated"], chosen["SGD"])
    expected = significance.interval(pairs)
    rows = table[table["panel"] == "difference"]
    assert rows["x"].tolist() == [0, 0.2, 0.4]
    np.testing.assert_allclose(rows["mean"], expected.mean + 0.01 * np.arange(3))
    np.testing.assert_allclose(rows["reach"], (expected.high - expected.low) / 2)
    best = table[table["panel"] == "rank"]
    assert set(best["mean"]) == {chosen["convex-truncated"]["rank"].iloc[0]}


def test_a_study_of_samples_has_no_calibration(runs):
    values = {"digits": 1000, "worse": 2000, "worst": 4000}
    table = studies.table(of_study(runs), values, "samples")
    assert set(table["panel"]) == {"rank", "accuracy", "difference"}
    figure = studies.draw(table, "digits", "samples")
    assert len(figure.axes) == 3
    assert [axes.get_xscale() for axes in figure.axes] == ["log"] * 3


def test_figures_of_one_seed_and_one_method_can_be_drawn(convex):
    one = convex[(convex["seed"] == 0) & (convex["method"] != "convex-filtered")]
    runs = selection.collect(digits_like.evaluations(one), pd.DataFrame())
    drawn = draw_all(all_tables(runs, one, pd.DataFrame()))
    words = [style_of(method).label for method in ("convex", "convex-truncated")]
    for name in ("accuracy", "rank", "curves", "studies"):
        assert legend_words(drawn[name])[-2:] == words, name
    assert len(drawn["curves"].axes) == 4  # nothing has epochs


def test_without_convex_runs_there_is_nothing_to_draw(runs):
    networks = runs[runs["rank"].isna()]
    with pytest.raises(ValueError, match="convex run"):
        rank.table(networks, digits_like.published(), "digits")


@pytest.mark.parametrize("name", ALL)
def test_logarithmic_axes_have_no_zero_and_no_powers_between_their_ticks(name, drawn_doubtful):
    figure = finished(drawn_doubtful[name])
    figure.canvas.draw()
    for axes in panels(figure):
        for axis, column in ((axes.xaxis, 0), (axes.yaxis, 1)):
            if axis.get_scale() != "log":
                continue
            assert min(axis.get_view_interval()) > 0
            bands = [path.vertices for band in axes.collections for path in band.get_paths()]
            assert all((vertices[:, column] > 0).all() for vertices in bands)
            labels = axis.get_ticklabels(which="both")
            assert not [text for text in labels if "times" in text.get_text()]


def test_certificates_are_headed_by_what_a_run_is_and_not_by_its_name(drawn):
    titles = [axes.get_title() for axes in drawn["certificates"].axes if axes.get_title()]
    assert titles[0] == "$k$ = 5\nall certified"
    assert not [title for title in titles if {"k5", "k10", "full"} & set(title.split())]


def test_a_single_point_has_no_line_in_the_legend(drawn):
    (legend,) = drawn["rank"].legends
    lines = {line.get_label(): line.get_linestyle() for line in legend.legend_handles}
    assert lines["convex, full rank"] == "None"
    assert lines["convex, truncated"] == "-"


def test_markers_at_a_hundred_percent_are_whole(runs):
    perfect = runs.assign(train_accuracy=1.0)
    figure = rank.draw(rank.table(perfect, digits_like.published(), "digits"), "digits")
    train = figure.axes[1]
    figure.canvas.draw()
    top = train.transAxes.transform((0, 1))[1]
    marker = train.transData.transform((1, 100))[1]
    half = plotting._STYLE["lines.markersize"] / 2 * figure.dpi / 72
    assert top - marker > half


@pytest.mark.parametrize("name", ALL)
def test_legends_cover_no_panel(name, drawn_doubtful):
    figure = drawn_doubtful[name]
    with plotting.style():
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_same_figure_same_bytes_with_provenance(runs, tmp_path):
    provenance = {"commit": "abc", "parameters": {"dataset": "digits"}}
    for name in ("first", "second"):
        figure = draw("rank", rank.table(runs, digits_like.published(), "digits"))
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
