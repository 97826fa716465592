"""What every figure gets before it is saved."""

import re

import pytest

from convexbn.reporting import plotting
from convexbn.reporting.finishing import LETTER, finished, panels


def letters(figure) -> list[str]:
    return [t.get_text() for a in figure.axes for t in a.texts if t.get_gid() == LETTER]


@plotting.style()
def figure_of(columns=1, rows=1, y=(1, 2)):
    figure, axes = plotting.panels(columns, rows=rows)
    for panel in axes.flat:
        panel.plot([1, 2], y)
    return figure


def test_each_of_several_panels_has_a_letter_and_one_alone_has_none():
    assert letters(finished(figure_of())) == []
    figure = figure_of(2, 2)
    image = figure.axes[0].imshow([[0, 1]])
    figure.colorbar(image, ax=figure.axes[0])
    figure.axes[3].set_axis_off()  # a place that is left empty
    assert len(panels(figure)) == 3
    assert letters(finished(figure)) == ["a", "b", "c"]
    assert letters(finished(figure)) == ["a", "b", "c"]  # not twice


def test_more_panels_than_letters_have_none():
    assert letters(finished(figure_of(9, 3))) == []


@pytest.mark.parametrize("ends", [(210, 480), (1.3, 20), (1e-3, 900), (0.02, 0.09)])
def test_numbers_of_a_logarithmic_axis_are_written_out(ends):
    figure = figure_of(y=ends)
    (axes,) = figure.axes
    axes.set(yscale="log", ylim=ends)
    finished(figure)
    figure.canvas.draw()
    labels = [text.get_text() for text in axes.get_yticklabels(which="both")]
    inside = [text for text in labels if text and ends[0] <= float(text) <= ends[1]]
    assert len(inside) >= 3
    assert all(re.fullmatch(r"[0-9.]+", text) for text in inside)


def test_powers_of_ten_are_left_where_numbers_would_be_long_and_nothing_is_between_them():
    figure = figure_of(y=(1e-9, 1))
    (axes,) = figure.axes
    axes.set_yscale("log")
    finished(figure)
    figure.canvas.draw()
    labels = [text.get_text() for text in axes.get_yticklabels(which="both")]
    assert any("10^{-" in text for text in labels)
    assert not any("times" in text for text in labels)
