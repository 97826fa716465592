"""The figure of draws; that of trends is tested with the headline's, from whose tables it is."""

import numpy as np
import pandas as pd
import pytest
from claim_rows import rows_of, table_of
from matplotlib.colors import to_hex

from convexbn.experiments.studies.figures import draws
from convexbn.reporting import plotting
from convexbn.reporting.methods import style_of

VALUES = {"d": 0, "d1": 1, "d2": 2}
METHODS = {"SGD": 0.46, "convex": 0.40, "convex-truncated": 0.465, "convex-filtered": 0.48}
MARKERS = {style_of(method).marker for method in METHODS}
BETTER = "convex-truncated", "convex-filtered", "SGD"  # than SGD, SGD and the full rank
GAINS = {"d": 0.0, "d1": 0.004, "d2": -0.002}  # of the convex programs on each draw
LUCK = 0.003 * np.array([-1, 0, 1, 1, -1])


def runs_on_draws(methods=tuple(METHODS), **columns) -> pd.DataFrame:
    """Five seeds of each method on three draws."""
    parts = [
        rows_of(
            method,
            METHODS[method] + LUCK * (1 + i) + gain * (method != "SGD"),
            dataset=name,
            **columns if method != "SGD" else {},
        )
        for name, gain in GAINS.items()
        for i, method in enumerate(methods)
    ]
    return table_of(*parts)


@pytest.fixture(scope="module")
def table():
    return draws.table(runs_on_draws(), VALUES)


def drawn_at(axes, method) -> list:
    """The points of a method in a panel."""
    style = style_of(method)
    found = [
        line
        for line in axes.lines
        if line.get_marker() == style.marker and to_hex(line.get_color()) == style.color
    ]
    return sorted((x, y) for line in found for x, y in line.get_xydata())


def test_each_draw_has_its_means_and_the_mean_over_draws_its_interval(table):
    assert list(table.columns) == draws.COLUMNS
    accuracy = table[table["panel"] == "accuracy"]
    found = accuracy.groupby("method")["draw"].apply(list).to_dict()
    assert found == {method: [0, 1, 2] for method in METHODS}
    (row,) = accuracy[(accuracy["method"] == "SGD") & (accuracy["draw"] == 1)].itertuples()
    assert (row.mean, row.seeds) == (pytest.approx(0.46 + LUCK.mean()), 5)
    assert row.reach == pytest.approx(np.std(LUCK, ddof=1))
    above = table[(table["method"] == "convex-truncated") & (table["against"] == "SGD")]
    assert above["draw"].tolist()[:3] == [0, 1, 2]
    assert above["mean"].tolist() == pytest.approx(
        # On a draw 0.5 points and its gain; the mean of the gains is 2/3 of a tenth.
        [0.005 + gain + 2 * LUCK.mean() for gain in (0, 0.004, -0.002, 0.002 / 3)]
    )
    over = above.iloc[3]
    assert np.isnan(over["draw"])
    assert over["draws"] == 3
    # The t quantile (.975, 2 df) is 4.302653.
    assert over["reach"] == pytest.approx(
        4.302653 * np.std(list(GAINS.values()), ddof=1) / 3**0.5, rel=1e-6
    )


def test_the_figure_shows_every_draw_and_their_mean(table):
    figure = draws.draw(table, "cifar10")
    accuracies, *differences = figure.axes
    assert len(differences) == 3
    for method in METHODS:
        rows = table[(table["panel"] == "accuracy") & (table["method"] == method)]
        points = drawn_at(accuracies, method)
        assert [y for _, y in points] == pytest.approx((100 * rows["mean"]).tolist())
        assert np.round([x for x, _ in points]).tolist() == [0, 1, 2]
    for axes, method in zip(differences, BETTER, strict=True):
        rows = table[(table["panel"] == "difference") & (table["method"] == method)]
        points = drawn_at(axes, method)
        assert [x for x, _ in points] == [0, 1, 2, 3]
        assert [y for _, y in points] == pytest.approx((100 * rows["mean"]).tolist())
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["0", "1", "2", "mean"]
    with plotting.style():
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_a_method_that_a_draw_lacks_has_no_mean_over_draws():
    runs = runs_on_draws()
    runs = runs[(runs["method"] != "convex") | (runs["dataset"] == "d")]
    table = draws.table(runs, VALUES)
    rows = table[(table["panel"] == "difference") & (table["against"] == "convex")]
    assert rows["draw"].tolist() == [0]
    assert len(draws.draw(table, "cifar10").axes) == 4
    only = draws.table(runs_on_draws(["SGD", "convex-truncated"]), VALUES)
    assert len(draws.draw(only, "cifar10").axes) == 2
    alone = draws.draw(draws.table(runs_on_draws(["SGD"]), VALUES), "cifar10")
    assert len(alone.axes) == 1


def test_what_is_not_certified_is_open():
    table = draws.table(runs_on_draws(certified=False), VALUES)
    assert not table.loc[table["method"] != "SGD", "certified"].any()
    figure = draws.draw(table, "cifar10")
    assert figure.legends[0].get_texts()[-1].get_text() == "not certified"
    for axes in figure.axes[1:]:
        markers = [line for line in axes.lines if line.get_marker() in MARKERS]
        assert {line.get_markerfacecolor() for line in markers} == {"white"}


def test_what_the_figure_cannot_draw_is_refused_by_name(table):
    with pytest.raises(ValueError, match="'loss'"):
        draws.draw(table.assign(panel="loss"), "cifar10")
    with pytest.raises(ValueError, match="'SGD without BN'"):
        draws.draw(table.assign(method="SGD without BN"), "cifar10")
