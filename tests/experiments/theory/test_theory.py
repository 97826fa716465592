"""Each experiment says what its theorem says, at sizes that take no time."""

from itertools import pairwise

import instances as gated_problems
import numpy as np
import pandas as pd
import pytest
import torch

from convexbn.experiments.theory import data
from convexbn.experiments.theory.counting import count, distinct
from convexbn.experiments.theory.depth import depths
from convexbn.experiments.theory.duality import different_neurons, duality
from convexbn.experiments.theory.interpolation import interpolate
from convexbn.experiments.theory.problems import OneVsAllGatedNetwork, make
from convexbn.experiments.theory.sampling import sample
from convexbn.experiments.theory.theorems import theorems
from convexbn.networks.architectures import GatedBNNetwork
from convexbn.networks.closed_form import closed_form
from convexbn.networks.objectives import network_objective
from convexbn.networks.two_layer import BNNetwork
from convexbn.programs.solutions import UncertifiedError
from convexbn.training.descent import OPTIMIZERS, Descent, descend

# What the solver is asked for, relative; and what is then the same, or not below.
TOLERANCE = 1e-7
SAME = 1e-6

TRAINED = {"trials": 3, "iterations": 400, "learning_rate": 0.1}
COMMON = {"tolerance": TOLERANCE, "descent": TRAINED}


def starts(count, n=8, d=2, m=3, C=1):
    return [BNNetwork(d, m, C, n, torch.Generator().manual_seed(i)) for i in range(count)]


def parameters(network) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in network.parameters()])


def formula(y, beta) -> float:
    """Return the optimum of high-dimensional data, from its two norms."""
    norms = (np.linalg.norm(z) for z in (np.maximum(y, 0), np.maximum(-y, 0)))
    return sum(beta * z - beta**2 / 2 if z > beta else z**2 / 2 for z in norms)


# Descent


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_step_of_gradient_descent_follows_the_objective(loss):
    """Against central differences of the objective that judges networks."""
    X, y = data.signs(8, 2, seed=0)
    (network,) = starts(1)
    network, rate, change = network.double(), 1e-3, 1e-6
    done = descend([network], X, y, 0.3, Descent(1, rate, "gd"), loss)
    step = (parameters(network) - parameters(done.networks[0])) / rate
    slopes = []
    for p in network.parameters():
        for entry in p.data.view(-1).split(1):
            sides = []
            for sign in (1, -1):
                entry += sign * change
                sides.append(network_objective(network, X, y, 0.3, loss))
                entry -= sign * change
            slopes.append((sides[0] - sides[1]) / (2 * change))
    # Differences are good to the square of the change, steps to rounding over the rate.
    np.testing.assert_allclose(step, slopes, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trials_do_not_touch_each_other(optimizer):
    X, y = data.regression(8, 2, seed=1)
    settings = Descent(50, 0.01, optimizer, trials=3)
    together = descend(starts(3), X, y, 0.1, settings).objectives
    alone = [descend([start], X, y, 0.1, settings).objectives[0] for start in starts(3)]
    # The same sums in another order: 50 steps do not make more of their rounding than this.
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    assert len(set(alone)) == 3


def test_the_history_runs_from_the_starts_to_the_networks():
    X, y = data.regression(8, 2, seed=2)
    networks = starts(2)
    before = [parameters(network) for network in networks]
    done = descend(networks, X, y, 0.1, Descent(20, 0.1, evaluations=4, trials=2))
    assert done.iterations.tolist() == sorted({0, 1, 3, 7, 20})
    ends = [
        [network_objective(net, X, y, 0.1) for net in nets] for nets in (networks, done.networks)
    ]
    np.testing.assert_allclose(done.history[[0, -1]], ends, rtol=1e-12)
    np.testing.assert_allclose(done.objectives, ends[1], rtol=1e-12)
    assert (done.objectives < done.history[0]).all()
    assert all(torch.equal(parameters(net), old) for net, old in zip(networks, before, strict=True))


def test_many_starts_reach_a_known_optimum():
    X, y = data.regression(6, 7, seed=3)
    done = descend(starts(4, 6, 7, 20), X, y, 0.2, Descent(1000, 0.1, trials=4))
    excess = done.objectives / formula(y, 0.2) - 1
    assert excess.min() >= -1e-12
    assert excess.max() <= 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trials": 0}, "trials must be from 1"),
        ({"iterations": 0.5}, "iterations must be a whole number"),
        ({"learning_rate": -1.0}, "learning_rate must be > 0"),
        ({"optimizer": "sgd"}, "optimizer must be one of 'adam', 'gd', 'momentum'"),
    ],
)
def test_wrong_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Descent(**TRAINED | change)


# Duality, for every architecture

PROBLEMS = {
    "relu": {"program": "relu", "n": 7, "d": 1, "beta": 0.1},
    "logistic": {"program": "relu", "n": 7, "d": 1, "beta": 0.1, "loss": "logistic"},
    "hinge": {"program": "relu", "n": 7, "d": 1, "beta": 0.1, "loss": "squared_hinge"},
    "group": {"program": "gated", "n": 12, "d": 2, "C": 2, "gates": 3, "beta": 0.5},
    "cnn": {"program": "cnn", "n": 4, "size": [1, 3], "kernel": [1, 1], "beta": 0.1},
    "bn_after_relu": {"program": "bn_after_relu", "n": 7, "d": 2, "beta": 0.1},
    "closed": {"program": "closed_form", "n": 5, "d": 6, "beta": 0.1},
}
PROBLEMS |= {
    "nuclear": PROBLEMS["group"] | {"penalty": "nuclear"},
    "group_entropy": PROBLEMS["group"] | {"loss": "cross_entropy"},
    "nuclear_entropy": PROBLEMS["group"] | {"penalty": "nuclear", "loss": "cross_entropy"},
    "cnn_average": PROBLEMS["cnn"] | {"pooling": "average"},
    "cnn_gated": PROBLEMS["cnn"] | {"n": 8, "size": [2, 2], "kernel": [1, 2], "gates": 4},
    "one_hot": PROBLEMS["closed"] | {"C": 2},
    "deep": PROBLEMS["closed"] | {"depth": 3},
}


@pytest.fixture(scope="module")
def table():
    """Every theorem at a small size."""
    width = {name: 3 if "gates" in entry else 20 for name, entry in PROBLEMS.items()}
    entries = {name: entry | {"width": width[name]} for name, entry in PROBLEMS.items()}
    return theorems(entries, COMMON, seed=5).set_index("id")


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_theorem_holds(table, name):
    row = table.loc[name]
    assert row["certified"]
    assert row["relative_gap"] <= TOLERANCE
    assert row["violation"] <= 1e-13  # blocks on the boundary of a cone, up to rounding
    # The network and the program are computed apart, from the same blocks.
    assert row["relative_difference"] <= 1e-8
    assert row["round_trip_difference"] <= 1e-8
    # Strong duality, up to the gap; and 400 steps of three starts come near.
    assert row["relative_excess"] >= -SAME
    assert row["relative_excess"] <= 0.02


def test_the_gated_optimum_is_that_of_another_solver(table):
    problem = make(PROBLEMS["group"], seed=5)
    optimum, _ = gated_problems.interior_point(problem.U, problem.D, problem.Y, problem.beta)
    assert table.loc["group", "convex_optimum"] == pytest.approx(optimum, rel=SAME)


def test_the_closed_forms_are_the_formula(table):
    y = data.regression(5, 6, seed=5)[1]
    for name in ("closed", "deep"):
        assert table.loc[name, "convex_optimum"] == pytest.approx(formula(y, 0.1), rel=1e-12)
        assert table.loc[name, "P"] == 2**5
    columns = data.one_hot(5, 6, 2, seed=5)[1].T
    total = sum(formula(column, 0.1) for column in columns)
    assert table.loc["one_hot", "convex_optimum"] == pytest.approx(total, rel=1e-12)


def test_a_wrong_formula_is_found_out(monkeypatch):
    def wrong(*arguments):
        closed = closed_form(*arguments)
        return closed._replace(objective=1.001 * closed.objective)

    monkeypatch.setattr("convexbn.experiments.theory.theorems.closed_form", wrong)
    quick = COMMON | {"descent": TRAINED | {"iterations": 1}}
    (row,) = theorems({"deep": PROBLEMS["deep"] | {"width": 20}}, quick, seed=5).itertuples()
    assert not row.certified
    assert row.relative_gap == pytest.approx(1e-3, rel=1e-2)


def test_sizes_in_the_table_are_those_of_the_problems(table):
    # 3 patches of 4 samples are 12 points in the plane.
    assert table.loc["cnn", ["n", "d", "K", "P"]].tolist() == [4, 1, 3, 24]
    assert table.loc["group", ["n", "d", "C", "P"]].tolist() == [12, 2, 2, 3]
    assert table.loc["deep", "depth"] == 3


def test_neurons_of_one_vs_all_serve_one_output():
    problem = make(PROBLEMS["group"], seed=0)
    network = problem.train(1, Descent(30, 0.1), seed=0).networks[0]
    assert isinstance(network, OneVsAllGatedNetwork)
    assert ((network.output != 0).sum(dim=1) == 1).all()
    assert (network.output != 0).sum(dim=0).tolist() == [3, 3]  # one per gate and output
    vector = make(PROBLEMS["nuclear"], seed=0).draw(1, torch.Generator())
    assert type(vector) is GatedBNNetwork


@pytest.mark.parametrize("name", ["relu", "cnn", "bn_after_relu", "nuclear"])
def test_trained_networks_stay_above_and_come_near(name):
    settings = COMMON | PROBLEMS[name] | {"widths": [1, 20]}
    found = duality(settings, seed=1, name="it")
    assert found["relative_excess"].min() >= -SAME
    best = found.groupby("width")["relative_excess"].min()
    assert best[20] <= 0.02
    assert best[20] <= best[1] + SAME
    excess = (found["objective"] - found["optimum"]) / found["optimum"]
    np.testing.assert_allclose(found["relative_excess"], excess, atol=1e-15)
    assert found["seed"].tolist() == [1, 2, 3] * 2


def test_different_neurons_are_counted_once():
    blocks = np.zeros((2, 2, 5))
    blocks[0, :, 0] = [3, 4]
    blocks[0, :, 1] = [0.6, 0.8]  # the same neuron, from the next cone
    blocks[0, :, 2] = [4, -3]
    blocks[1, :, 0] = [3, 4]  # with the other sign
    blocks[1, :, 3] = [1e-4, 0]  # what is left of zero
    assert different_neurons(blocks) == 3


# Depth, counting, sampling, interpolation

DEPTH = {"n": 5, "d": 6, "width": 20, "depths": [2, 4], "beta": 0.1, "evaluations": 5}


def test_every_depth_comes_down_to_the_closed_form():
    found = depths(DEPTH | {"descent": TRAINED}, seed=2)
    optimum = formula(data.regression(5, 6, seed=2)[1], 0.1)
    np.testing.assert_allclose(found["optimum"], optimum, rtol=1e-12)
    assert found["relative_excess"].min() >= -1e-12
    ends = found[found["iteration"] == 400]
    assert ends.groupby("depth")["relative_excess"].min().max() <= 0.02
    assert len(ends) == 2 * 3
    for _, trial in found.groupby(["depth", "trial"]):
        assert trial["iteration"].tolist() == [0, 1, 4, 20, 89, 400]  # five, log-spaced
    # The same seed draws other networks at another depth.
    shallow, deep = (found[found["depth"] == depth]["objective"] for depth in (2, 4))
    assert (shallow.to_numpy() != deep.to_numpy()).all()


def test_counts_are_the_formula_s():
    settings = {"ranks": [1, 2], "samples": [2, 3, 6, 12], "limit": 100, "draws": [5, 400]}
    found = count(settings, seed=0)
    counts = found.pivot_table(index=["rank", "n"], columns="kind", values="arrangements")
    # By hand: 2n on the line, n(n-1)+2 in the plane; 134 for n = 12 are over the limit, and two
    # samples do not have rank 2.
    by_hand = {(1, 2): 4, (1, 3): 6, (1, 6): 12, (1, 12): 24, (2, 3): 8, (2, 6): 32}
    assert counts["enumerated"].to_dict() == counts["formula"].to_dict() == by_hand


def test_sampled_patterns_are_counted_cumulatively():
    U = np.array([[1.0, 0], [0, 1], [1, 1]])  # six cells
    found = distinct(U, [1, 3, 2000, 2001], seed=0)
    assert found[1] == 1
    assert found[1] <= found[3] <= 3
    assert found[2000] == found[2001] == 6


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [
        (sample, {"n": 7, "d": 1, "beta": 0.1, "gates": [5], "draws": 1}),
        (duality, COMMON | PROBLEMS["relu"] | {"widths": [1]}),
        (
            interpolate,
            {"n": 6, "noise": 0.1, "beta": 0.01, "points": 3, "learning_rates": {}, **COMMON},
        ),
    ],
)
def test_nothing_is_drawn_from_an_uncertified_solve(experiment, settings):
    """No float64 gap is as small as this tolerance."""
    with pytest.raises(UncertifiedError, match="stopped by precision"):
        experiment(settings | {"tolerance": 1e-18}, seed=0)


def test_more_arrangements_never_hurt():
    settings = {"n": 7, "d": 1, "beta": 0.1, "gates": [2, 5, 9], "draws": 2, "tolerance": TOLERANCE}
    found = sample(settings, seed=0)
    assert (found["relative_excess"] >= -SAME).all()
    for _, draw in found[found["gates"] < 14].groupby(["model", "draw"]):
        values = draw.sort_values("gates")["objective"]
        assert all(more <= fewer * (1 + SAME) for fewer, more in pairwise(values))
    few = found[found["gates"] == 2]
    assert few["objective"].nunique() == len(few)  # each draw has its own gates
    whole = found[found["gates"] == 14].set_index("model")
    assert (whole["relative_excess"] == 0).all()
    # A block pair is a gated block of no larger norm, whose cone is no constraint.
    assert whole.loc["gated", "objective"] <= whole.loc["relu", "objective"]


INTERPOLATION = {"n": 6, "noise": 0.1, "beta": 0.05, "width": 10, "points": 2001}


def test_no_function_has_a_lower_objective_than_the_convex_one():
    rates = {"adam": 0.1, "momentum": 0.01}
    found = interpolate(COMMON | INTERPOLATION | {"learning_rates": rates}, seed=4)
    curves = dict(list(found.groupby("kind")))
    best = curves["convex"]["objective"].iloc[0]
    assert set(curves) == {"data", "convex", "adam", "momentum"}
    for optimizer in rates:
        assert curves[optimizer]["trial"].nunique() == 3
        assert curves[optimizer]["objective"].min() >= best * (1 - SAME)
    assert curves["adam"]["objective"].min() <= best * 1.02
    X, y = data.curve(6, 0.1, seed=4)
    assert curves["data"]["x"].tolist() == X.ravel().tolist()
    assert curves["data"]["y"].tolist() == y.tolist()


def test_functions_are_those_of_the_objective():
    """At a stationary point the sum of norms pulls as the misfit pushes along the scale of f.

    So `beta sum ||.|| = f^T (y - f)`, and the objective is `(||y||^2 - ||f||^2) / 2`.
    """
    found = interpolate(COMMON | INTERPOLATION | {"learning_rates": {"adam": 0.1}}, seed=4)
    X, y = data.curve(6, 0.1, seed=4)
    for (kind, _), curve in found[found["kind"] != "data"].groupby(["kind", "trial"], dropna=False):
        f = np.interp(X.ravel(), curve["x"], curve["y"])
        # The grid's steps are a thousandth of the range, and 400 steps of Adam not quite the end.
        close = {"convex": 1e-3, "adam": 5e-3}[kind]
        assert curve["objective"].iloc[0] == pytest.approx((y @ y - f @ f) / 2, rel=close)


EXPERIMENTS = {
    "duality": lambda seed: duality(COMMON | PROBLEMS["relu"] | {"widths": [2]}, seed),
    "depths": lambda seed: depths(DEPTH | {"descent": TRAINED | {"iterations": 3}}, seed),
    "sample": lambda seed: sample(
        {"n": 5, "d": 1, "beta": 0.1, "gates": [3], "draws": 1, "tolerance": 1e-3}, seed
    ),
    "count": lambda seed: count({"ranks": [2], "samples": [9], "limit": 99, "draws": [20]}, seed),
    "interpolate": lambda seed: interpolate(
        COMMON | INTERPOLATION | {"points": 5, "learning_rates": {"adam": 0.1}}, seed
    ),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_seed_fixes_the_numbers(name):
    first, again, other = (EXPERIMENTS[name](seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


def test_data_are_what_the_losses_ask_for():
    _, labels = data.signs(9, 2, seed=0)
    assert set(labels) == {-1, 1}
    _, Y = data.one_hot(9, 2, 4, seed=0)
    assert (Y.sum(axis=1) == 1).all()
    assert (Y.sum(axis=0) >= 2).all()
    X, y = data.curve(5, 0.0, seed=0)
    np.testing.assert_allclose(y, np.sin(np.pi * X.ravel()), atol=1e-15)
    assert data.images(3, [2, 4], seed=0)[0].shape == (3, 1, 2, 4)
