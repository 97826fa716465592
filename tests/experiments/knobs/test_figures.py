"""The figure of the knobs shows every knob."""

import numpy as np
import pytest
from knob_rows import SETTINGS, networks, runs
from layouts import TITLE, check_layout

from convexbn.experiments.knobs import figures
from convexbn.experiments.knobs.figures import knobs as draw
from convexbn.experiments.knobs.settings import CROSS_ITERATION, RESCALED, knobs


def test_every_knob_is_drawn():
    figure = draw(networks(), runs(), "images", TITLE)
    batches, rates, differences = figure.axes
    names = [label.get_text() for label in differences.get_yticklabels()]
    assert sorted(names) == sorted(knob.words for knob in knobs(SETTINGS))
    assert len(batches.lines) == 3  # the program, and two normalizations
    assert len(rates.lines) == 5  # the program, and four decays
    check_layout(figure)


def test_figure_without_a_program_is_drawn():
    figure = draw(networks(), runs(method="convex"), "images", "title")
    assert len(figure.axes[0].lines) == 2


def test_a_program_that_is_not_certified_makes_open_marks():
    for certified in (True, False):
        figure = draw(networks(), runs(certified=certified), "images", TITLE)
        marks = [x for x in figure.axes[2].lines if x.get_marker() not in ("", "None")]
        assert {x.get_markerfacecolor() == "white" for x in marks} == {not certified}
        words = [text.get_text() for text in figure.legends[0].get_texts()]
        assert ("not certified" in words) != certified
        check_layout(figure)


def test_knob_whose_learning_rates_all_diverged_has_a_cross():
    table = networks()
    lost = (table["normalization"] == CROSS_ITERATION) & (table["batch_size"] == 8)
    table.loc[lost, ["validation_accuracy", "test_accuracy"]] = float("nan")
    batches, _, differences = draw(table.assign(diverged=lost), runs(), "images", "title").axes
    (cross,) = [line for line in batches.lines if line.get_marker() == "x"]
    assert cross.get_xdata().tolist() == [8]
    assert len(differences.get_yticklabels()) == len(knobs(SETTINGS)) - 1


def test_where_the_network_of_one_seed_diverged_there_is_a_cross_and_no_mean():
    table = networks()
    at = (table["decay"] == RESCALED) & (table["learning_rate"] == 0.04)
    rates = draw(table.assign(diverged=at & (table["seed"] == 1)), runs(), "images", "title").axes[
        1
    ]
    color = figures.DECAYS[RESCALED].color
    (cross,) = [line for line in rates.lines if line.get_marker() == "x"]
    assert (cross.get_color(), cross.get_xdata().tolist()) == (color, [0.04])
    (line,) = [x for x in rates.lines if (x.get_color(), x.get_linestyle()) == (color, "-")]
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True]


def test_unknown_decay_is_refused():
    with pytest.raises(ValueError, match="decay must be one of"):
        draw(networks().assign(decay="some"), runs(), "images", "title")
