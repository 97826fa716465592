"""The figure of likeness shows its table."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from convexbn.experiments.headline.likeness.comparisons import EDGES, interval, part, table
from convexbn.experiments.headline.likeness.figures import likeness
from convexbn.reporting.methods import COMPARISONS, style_of

SEEDS = {"SGD": 3, "convex": 1, "convex-truncated": 2, "convex-filtered": 3}
METHODS = "SGD", "convex", "convex-truncated", "convex-filtered"


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    found = {
        method: {seed: rng.random(600) < 0.4 + 0.1 * place for seed in range(SEEDS[method])}
        for place, method in enumerate(METHODS)
    }
    certified = {"convex": True, "convex-truncated": True, "convex-filtered": False}
    return table("d", rng.uniform(0.55, 1, 600), found, certified)


@pytest.fixture(scope="module")
def figure(rows):
    return likeness(rows, "a title")


def lines_of(axes, method) -> list:
    style = style_of(method)
    return [line for line in axes.lines if line.get_marker() == style.marker]


def test_accuracies_are_those_of_each_bin(rows, figure):
    left = figure.axes[0]
    for method, side in (("SGD", "worse"), ("convex-filtered", "better")):
        (line,) = lines_of(left, method)
        # The pair of the filter and SGD has all seeds of both. Nothing is below .5.
        each = [part(rows, COMPARISONS[1], bounds) for bounds in pairwise(EDGES[1:])]
        assert {len(some) for some in each} == {3}
        expected = [100 * some[f"{side}_accuracy"].mean() for some in each]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)


def test_differences_have_their_intervals_over_images(rows, figure):
    right = figure.axes[1]
    spans = [span for found in right.collections for span in found.get_segments()]
    for place, pair in enumerate(COMPARISONS[:2]):
        for bounds in pairwise(EDGES[1:]):
            found = interval([part(rows, pair, bounds)])
            ends = [100 * found.low, 100 * found.high]
            assert np.isfinite(ends).all()
            assert any(np.allclose(span[:, 1], ends) for span in spans), (place, bounds)
    assert len(spans) == 2 * 5


def test_what_is_not_certified_is_open_and_said(figure):
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "not certified" in legend
    for axes in figure.axes[:2]:
        faces = {line.get_markerfacecolor() for line in lines_of(axes, "convex-filtered")}
        assert faces == {"white"}
    sure = {to_hex(line.get_markerfacecolor()) for line in lines_of(figure.axes[0], "SGD")}
    assert sure == {style_of("SGD").color}


def test_bounds_and_images_are_labelled(rows, figure):
    left = figure.axes[0]
    assert [tick.get_text() for tick in left.get_xticklabels()] == [
        f"{edge:g}" for edge in EDGES[1:]
    ]
    (top,) = left.child_axes
    counts = [int(tick.get_text()) for tick in top.get_xticklabels()]
    assert sum(counts) == 600
