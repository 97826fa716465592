"""The figure of the bias of gradient descent shows its tables, on made-up rows."""

import numpy as np
import pandas as pd
import pytest
from layouts import TITLE, check_layout
from matplotlib.colors import to_hex

from convexbn.experiments.bias import figures as bias_figures
from convexbn.reporting import plotting

ITERATIONS = (1, 2, 4, 7, 12, 20, 40)
DIRECTIONS = (1, 2, 3, 5, 9, 17)
SIZES = (1, 1, 2, 4, 8, 16)


def tables(seeds=3):
    """Small singular values turn less with BN and more when whitened."""
    rng = np.random.default_rng(0)
    cosines, history = [], []
    for model, power in (("bn", 1.0), ("whitened", -0.5)):
        for seed in range(seeds):
            for iteration in range(41):
                order = -power if iteration in ITERATIONS else np.nan
                loss = 1 / (1 + iteration) + seed / 100
                history.append((model, seed, iteration, loss, 0.4, order))
            for iteration in ITERATIONS:
                for direction, size in zip(DIRECTIONS, SIZES, strict=True):
                    sigma = 100 / direction
                    turned = 1e-3 * iteration * direction**-power * (1 + 0.1 * rng.random())
                    row = (model, seed, iteration, direction, size, sigma, 1 - turned)
                    cosines.append(row)
    names = ["model", "seed", "iteration"]
    return (
        pd.DataFrame(
            cosines, columns=[*names, "direction", "directions", "singular_value", "cosine"]
        ),
        pd.DataFrame(history, columns=[*names, "loss", "constant_loss", "spearman"]),
    )


@pytest.fixture(scope="module")
def drawn():
    return bias_figures.bias(*tables(), TITLE)


def panels(figure):
    return np.array(figure.axes[:6]).reshape(3, 2)


def means(model, table=0):
    rows = tables()[table]
    return rows[rows["model"] == model]


MODELS = list(bias_figures.STYLES)


@pytest.mark.parametrize("column", [0, 1])
def test_maps_are_means_over_seeds_in_their_bins(drawn, column):
    (mesh,) = panels(drawn)[0, column].collections
    wide = means(MODELS[column]).groupby(["direction", "iteration"])["cosine"].mean().unstack()
    np.testing.assert_allclose(mesh.get_array(), 1 - wide)
    edges = mesh.get_coordinates()
    assert edges[:, 0, 1].tolist() == [0.5, 1.5, 2.5, 4.5, 8.5, 16.5, 32.5]
    for iteration, low, high in zip(ITERATIONS, edges[0, :-1, 0], edges[0, 1:, 0], strict=True):
        assert low < iteration < high


def test_both_maps_have_one_colour_scale(drawn):
    meshes = [axes.collections[0] for axes in panels(drawn)[0]]
    lowest = tables()[0].groupby(["model", "direction", "iteration"])["cosine"].mean().min()
    for mesh in meshes:
        assert mesh.get_clim() == (bias_figures.LOWEST, pytest.approx(1 - lowest))
    assert len(drawn.axes) == 7  # six panels, one colour bar


@pytest.mark.parametrize("column", [0, 1])
def test_curves_are_the_same_numbers_at_some_iterations(drawn, column):
    axes, rows = panels(drawn)[1, column], means(MODELS[column])
    colors = [to_hex(color) for color in plotting.gradient(bias_figures.CURVES)]
    chosen = (1, 4, 7, 12, 40)
    words = [text.get_text() for text in drawn.legends[0].get_texts()]
    for color, iteration in zip(colors, chosen, strict=True):
        assert f"iteration {iteration}" in words
        (line,) = [line for line in axes.lines if to_hex(line.get_color()) == color]
        expected = rows[rows["iteration"] == iteration].groupby("singular_value")["cosine"].mean()
        np.testing.assert_allclose(line.get_xdata(), expected.index)
        np.testing.assert_allclose(line.get_ydata(), 1 - expected)
    assert len(axes.lines) == len(chosen)


def test_all_curves_have_one_scale_and_are_inside(drawn):
    both = panels(drawn)[1]
    low, high = both[0].get_ylim()
    assert both[1].get_ylim() == (low, high)
    values = np.concatenate([line.get_ydata() for axes in both for line in axes.lines])
    assert low <= values.min() < values.max() <= high


@pytest.mark.parametrize("model", MODELS)
def test_history_is_the_mean_over_seeds(drawn, model):
    left, right = panels(drawn)[2]
    seeds = means(model, table=1).groupby("iteration")
    assert any(set(line.get_ydata()) == {0.4} for line in left.lines)
    for axes, measure in ((left, "loss"), (right, "spearman")):
        (line,) = [x for x in axes.lines if x.get_color() == bias_figures.STYLES[model][1]]
        expected = seeds[measure].mean().dropna()
        np.testing.assert_array_equal(line.get_xdata(), expected.index)
        np.testing.assert_allclose(line.get_ydata(), expected)


def test_the_limit_of_the_claim_is_drawn(drawn):
    right = panels(drawn)[2, 1]
    (limit,) = [line for line in right.lines if line.get_linestyle() == ":"]
    assert set(limit.get_ydata()) == {-0.9}


def test_one_seed_and_one_evaluation_can_be_drawn():
    cosines, history = tables(seeds=1)
    with plotting.style():
        bias_figures.bias(cosines, history, "one seed").draw_without_rendering()
        one = cosines[cosines["iteration"] == 40]
        bias_figures.bias(one, history, "one evaluation").draw_without_rendering()


@pytest.mark.parametrize("changed", [0, 1])
def test_a_model_that_cannot_be_drawn_is_refused_by_name(changed):
    given = list(tables())
    given[changed] = given[changed].replace({"model": {"whitened": "layer norm"}})
    with pytest.raises(ValueError, match="'layer norm'"):
        bias_figures.bias(*given, "digits")


def test_nothing_overlaps_and_nothing_is_cut(drawn):
    check_layout(drawn)
