"""The figures of SGD against ridge regression show their tables, on made-up rows."""

import numpy as np
import pandas as pd
import pytest

from convexbn.experiments.ridge import figures
from convexbn.experiments.ridge.measure import TARGETS
from convexbn.reporting import plotting

N = np.array([16, 64, 256])
SIZES = np.array([4, 16, 64, 256, 1024])


def risks(ratio=2.0) -> pd.DataFrame:
    """Return risks 1 / N of SGD, and those of ridge on as many samples divided by a ratio."""
    rows = [("sgd", np.nan, size, 1 / size) for size in SIZES]
    for seed, scale in enumerate((0.8, 1.2)):
        rows += [("ridge", seed, n, scale / (ratio * n)) for n in N]
    table = pd.DataFrame(rows, columns=["method", "seed", "n", "risk"])
    return table.assign(value=1.0, at_edge=False)


def panels_table() -> pd.DataFrame:
    return pd.concat(
        [
            risks(1 + decay * (target + 1)).assign(decay=decay, target=target, d=200)
            for decay in (1, 2)
            for target in (0, 1, 10)
        ],
        ignore_index=True,
    )


def gap_table() -> pd.DataFrame:
    return pd.concat([risks(1 / (2 + s)).assign(signal=s) for s in (1, 10)], ignore_index=True)


def images_table() -> pd.DataFrame:
    shares = {"sgd": (0.7, 0.2, 0.1), "ridge": (0.2, 0.2, 0.6)}
    tables = []
    for target in TARGETS:
        for i, (direction, directions) in enumerate([(1, 1), (2, 3), (5, 8)]):
            table = risks()
            share = table["method"].map({method: values[i] for method, values in shares.items()})
            table = table.assign(risk=table["risk"] * share, target=target, direction=direction)
            tables.append(table.assign(directions=directions, eigenvalue=1.0, signal=2.0))
    return pd.concat(tables, ignore_index=True)


def points(line):
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def test_each_panel_shows_its_problem_with_the_diagonal_and_a_band():
    figure = figures.panels(panels_table())
    for axes, (decay, target) in zip(
        figure.axes, [(a, b) for a in (1, 2) for b in (0, 1, 10)], strict=True
    ):
        diagonal, line = axes.lines
        np.testing.assert_allclose(*points(diagonal))
        x, y = points(line)
        np.testing.assert_allclose(x, N)
        ratio = 1 + decay * (target + 1)
        expected = np.where(ratio * N <= SIZES[-1], ratio * N, np.nan)  # else not reached
        np.testing.assert_allclose(y, expected)
        assert axes.get_title().startswith(f"$h_i = i^{{-{decay}}}$")
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        # One standard deviation of the two seeds' risks, 0.8 and 1.2, to each side.
        band = axes.collections[0].get_paths()[0].vertices
        deviation = np.std([0.8, 1.2], ddof=1)
        ends = band[np.isclose(band[:, 0], 16), 1]
        assert ends.min() == pytest.approx(max(4, ratio * 16 / (1 + deviation)))


def test_a_lambda_at_the_end_of_its_grid_is_marked():
    table = panels_table()
    place = (table["method"] == "ridge") & (table["n"] == 64) & (table["decay"] == 2)
    table.loc[place & (table["target"] == 1), "at_edge"] = True
    figure = figures.panels(table)
    marked = [axes for axes in figure.axes if len(axes.lines) == 3]
    assert marked == [figure.axes[4]]
    np.testing.assert_allclose(points(marked[0].lines[2])[0], [64])
    (legend,) = figure.legends
    assert "grid" in legend.get_texts()[-1].get_text()


def test_the_gap_is_drawn_for_every_signal_with_its_guides():
    left, right = figures.gap(gap_table()).axes
    assert "10" in left.get_title()
    np.testing.assert_allclose(points(left.lines[0]), [N, 1 / N])
    np.testing.assert_allclose(points(left.lines[1]), [N, 12 / N])
    for line, signal in zip(right.lines[:2], (1, 10), strict=True):
        # Up to where the smallest number of samples of SGD suffices already.
        np.testing.assert_allclose(points(line), [np.maximum(4, N / (2 + signal)), N])
    for line, power in zip(right.lines[2:], (1, 2), strict=True):
        x, y = np.log(points(line))
        assert np.diff(y) / np.diff(x) == pytest.approx(power)


def test_a_gap_beyond_all_sizes_is_drawn_without_points():
    table = gap_table()
    table.loc[table["method"] == "sgd", "risk"] += 1
    _, right = figures.gap(table).axes
    assert all(np.isnan(points(line)[0]).all() for line in right.lines[:2])
    np.testing.assert_allclose(points(right.lines[2]), [N, N])


def test_the_spectrum_of_images_is_drawn():
    figure = figures.images(images_table(), "cifar10")
    left, middle, right = figure.axes[:3]
    np.testing.assert_allclose(points(left.lines[0]), [N, 1 / N])
    np.testing.assert_allclose(points(left.lines[1]), [N, 0.5 / N])
    at_zero, ridge, sgd = middle.lines
    # Bins of 1, 3 and 8 directions, drawn in their middle.
    for line, shares in (
        (at_zero, 2.0 * np.ones(3)),
        (ridge, 0.5 / 256 * np.array([0.2, 0.2, 0.6])),
        (sgd, 1 / 256 * np.array([0.7, 0.2, 0.1])),
    ):
        np.testing.assert_allclose(points(line), [[1, 3, 8.5], shares / [1, 3, 8]])
    assert middle.get_title() == "256 samples"
    # SGD has twice ridge's risk: 1.4 - 0.2, then 0.4 - 0.2, then 0.2 - 0.6.
    for line in right.lines[:3]:
        np.testing.assert_allclose(points(line), [[1, 4, 12], [120, 140, 100]])
    assert len(figure.axes) == 6


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (figures.panels, panels_table),
        (figures.gap, gap_table),
        (lambda table: figures.images(table, "x"), images_table),
    ],
)
def test_an_unknown_method_is_refused_and_a_figure_is_saved(draw, table, tmp_path):
    with pytest.raises(ValueError, match="method must be one of"):
        draw(table().assign(method="adam"))
    plotting.save(draw(table()), tmp_path / "f.pdf", tmp_path / "f.png", {})
    assert (tmp_path / "f.png").stat().st_size > 1000
