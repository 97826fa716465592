"""The tables of SGD against ridge regression: tuned risks from the two estimators."""

import numpy as np
import pandas as pd
import pytest
from footprints import CIFAR, check
from footprints import measured as memory_of

from convexbn.experiments.ridge import measure, problems, regression, sgd
from convexbn.experiments.ridge.samples import compare
from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import size_of
from convexbn.whitening import whiten

TUNED = {"samples": [8, 32], "step_sizes": 9, "penalties": 91, "seeds": 3}
PANELS = TUNED | {"d": 12, "decays": [1, 2], "targets": [0, 10]}


@pytest.fixture(scope="module")
def panels():
    return measure.panels(PANELS, seed=4)


@pytest.mark.parametrize("target", [0, 10])
@pytest.mark.parametrize("n", [8, 12, 32])
def test_panels_hold_the_smallest_mean_risk_of_the_grid(panels, target, n):
    assert list(panels.columns) == measure.PANELS
    rows = panels.query("decay == 2 and target == @target and n == @n")
    case = problems.power(12, 2, target)
    exact = sgd.risks(case, sgd.steps_for(case, 9), [n]).sum(axis=2)
    (row,) = rows[rows["method"] == "sgd"].itertuples()
    assert row.risk == pytest.approx(exact.min())
    grid = regression.penalties_for(case, n, 91)
    draws = [regression.draw(case, n, np.random.default_rng([seed, n])) for seed in (4, 5, 6)]
    risks = np.array([regression.risks(case, regression.factor(X), grid).sum(1) for X in draws])
    ridge = rows[rows["method"] == "ridge"].sort_values("seed")
    best = risks.mean(axis=0).argmin()
    np.testing.assert_allclose(ridge["risk"], risks[:, best])
    assert set(ridge["value"]) == {grid[best]}


def test_sgd_is_tried_on_fewer_and_on_more_samples(panels):
    sizes = {method: set(rows["n"]) for method, rows in panels.groupby("method")}
    assert sizes["ridge"] == {8, 12, 16, 22, 32}
    assert sizes["sgd"] > sizes["ridge"]
    assert min(sizes["sgd"]) == 2
    assert max(sizes["sgd"]) == 128


def test_the_same_seed_gives_the_same_numbers_and_more_seeds_add_draws(panels):
    settings = PANELS | {"penalties": 2, "seeds": 2}  # the same lambda for any draws
    few, many = (measure.panels(settings | {"seeds": k}, seed=4) for k in (2, 4))
    kept = many[~many["seed"].isin([6, 7])].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, kept, check_exact=True)
    pd.testing.assert_frame_equal(measure.panels(PANELS, seed=4), panels, check_exact=True)
    assert not measure.panels(PANELS, seed=5).equals(panels)


def test_simulated_risks_are_near_the_exact_ones():
    settings = {"d": 12, "decays": [1], "targets": [0, 10], "step_sizes": 9, "sizes": [8, 30]}
    table = measure.agreement(settings | {"runs": 2000}, seed=0)
    assert list(table.columns) == measure.SIMULATED
    assert len(table) == 4
    distance = (table["simulated"] - table["exact"]) / table["standard_error"]
    assert (distance.abs() < 4.5).all()  # 1 in 10^5 by chance
    assert (table["standard_error"] < 0.1 * table["exact"]).all()


def test_the_gap_is_there():
    """On a small instance already: ridge needs several times the samples, and ever more."""
    settings = TUNED | {"tail": 100, "energy": 0.1, "signals": [100], "samples": [64, 4096]}
    table = measure.gap(settings | {"step_sizes": 30, "penalties": 60}, seed=0)
    assert list(table.columns) == measure.GAP
    case = compare(table)
    assert case.n[0] / case.needed[0, 0] > 1
    assert case.n[-1] / case.needed[0, -1] > 4
    assert case.exponent().mean > 1.4


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30)) * np.logspace(0, -1, 30)
    return {"X_train": X, "Y_train": np.eye(3)[(X @ rng.standard_normal((30, 3))).argmax(1)]}


@pytest.fixture(scope="module")
def images(labelled):
    whitening = whiten(labelled["X_train"]).tensors()
    return measure.images(labelled, whitening, "made-up", TUNED, seed=0)


def test_bins_of_directions_add_up_to_the_risk(images, labelled):
    assert list(images.columns) == measure.IMAGES
    case = problems.of_images(whiten(labelled["X_train"]), labelled["Y_train"])
    labels = images[images["target"] == "labels"]
    bins = labels.drop_duplicates("direction")
    assert bins["directions"].sum() == len(case.h) == 30
    assert bins["signal"].sum() == pytest.approx(case.start)
    total = (bins["eigenvalue"] * bins["directions"]).sum()
    assert total == pytest.approx(case.h.sum())
    exact = sgd.risks(case, sgd.steps_for(case, 9), [16]).sum(axis=2)
    rows = labels.query("method == 'sgd' and n == 16")
    assert rows["risk"].sum() == pytest.approx(exact.min())


def test_without_its_noise_w_has_less_to_learn(images):
    starts = {
        target: rows.drop_duplicates("direction")["signal"].sum()
        for target, rows in images.groupby("target")
    }
    assert 0 < starts["denoised"] < starts["labels"]


@pytest.mark.parametrize("d", [1, 2, 23, 24, 25, 767])
def test_bins_begin_at_the_first_direction_and_are_not_empty(d):
    starts = measure.bins(d)
    assert starts[0] == 0
    assert (np.diff([*starts, d]) > 0).all()
    assert len(starts) <= measure.BINS


def test_estimate_for_images_holds():
    entry = CIFAR | {"train": 3000, "validation": 0, "test": 500, "pool": 2}  # d = 768
    settings = {"samples": [512, 1024], "step_sizes": 49, "penalties": 109, "seeds": 2}
    work = f"""
from convexbn.experiments.ridge import measure
features = {{"X_train": rng.standard_normal((n, d), dtype=np.float32)}}
features["X_test"] = np.ones((m, d), dtype=np.float32)
features["Y_train"] = rng.standard_normal((n, C), dtype=np.float32)
whitening = whiten(features["X_train"]).tensors()
measure.images(features, whitening, "x", {settings}, 0)
"""
    base, peak = memory_of(size_of(entry), work)
    check(footprint.ridge(entry, settings), base, peak)
