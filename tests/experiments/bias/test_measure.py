"""Gradient descent on a BN network and on its whitened equivalent, against the formula."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from footprints import CIFAR, check
from footprints import measured as memory_of
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from workflow_runs import edited, refusal

from convexbn.experiments.bias import measure as measure_module
from convexbn.experiments.bias import statements as bias_claims
from convexbn.experiments.bias.coordinates import Coordinates, mean_loss
from convexbn.experiments.bias.measure import (
    BINS,
    COSINES,
    HISTORY,
    binned,
    descent_of,
    measure,
)
from convexbn.networks.objectives import batch_objective
from convexbn.networks.two_layer import BNNetwork
from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import size_of
from convexbn.reporting import claims
from convexbn.training.checkpoints import Parts
from convexbn.whitening import whiten

n, d, m, C = 60, 8, 6, 3

# Float64 sums in another order, over singular values a hundredfold apart; and a few steps.
ROUNDING = {"rtol": 1e-10, "atol": 1e-12}


def data(n=n, d=d, spread=2.0, dtype=np.float64):
    """Data off the origin, whose singular values fall over `spread` decades; one-hot classes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)) * np.logspace(0, -spread, d) + rng.standard_normal(d)
    labels = (X @ rng.standard_normal((d, C))).argmax(1)
    return {"X_train": X.astype(dtype), "Y_train": np.eye(C, dtype=dtype)[labels]}


def problem(scale=None, **options):
    """Coordinates of data, their targets, and a network away from its initial ones and zeros."""
    features = data(**options)
    X, Y = (torch.as_tensor(features[name]) for name in ("X_train", "Y_train"))
    network = BNNetwork(X.shape[1], m, C, len(X), torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
    return Coordinates.of(X, whiten(features["X_train"]), scale=scale), Y, network


def loss_on(X, Y):
    return partial(mean_loss, X=X, Y=Y)


def losses(descent, network, X, Y) -> list[float]:
    """Return the losses of a descent that trains the network in place."""
    return [value.item() for _, value in descent.run(network, loss_on(X, Y))]


@pytest.mark.parametrize("shape", [{}, {"n": 6, "d": 9}])
def test_both_networks_are_one_function(shape):
    coordinates, _, network = problem(**shape)
    twin = coordinates.whitened(network)
    torch.testing.assert_close(twin(coordinates.Z), network(coordinates.X), **ROUNDING)


def test_whitened_data_keep_the_energy_and_have_equal_singular_values():
    coordinates, _, _ = problem()
    centred = coordinates.X - coordinates.X.mean(0)
    sigma = torch.linalg.svdvals(coordinates.Z)
    assert sigma.square().sum().item() == pytest.approx(centred.square().sum().item(), rel=1e-12)
    torch.testing.assert_close(sigma, sigma.mean().expand_as(sigma), **ROUNDING)


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("shape", [{}, {"n": 6, "d": 9}])
def test_one_step_moves_q_by_the_squared_singular_values(scale, shape):
    """Real steps, each direction for itself; with c = 1 the paper's own statement."""
    coordinates, Y, network = problem(scale, **shape)
    twin, eta = coordinates.whitened(network), 0.1
    before = {"bn": coordinates.q(network.w), "whitened": twin.w.detach().clone()}
    for net, inputs in ((network, coordinates.X), (twin, coordinates.Z)):
        loss = 0.5 * (net(inputs) - Y).square().sum() / len(Y)
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        for p, gradient in zip(net.parameters(), gradients, strict=True):
            p.data -= eta * gradient
    moved, on_q = coordinates.q(network.w) - before["bn"], twin.w - before["whitened"]
    sigma = np.linalg.svd(coordinates.X - coordinates.X.mean(0), compute_uv=False)
    factor = torch.as_tensor(sigma[: len(on_q)] / coordinates.scale).square().unsqueeze(1)
    error = (moved - factor * on_q).norm(dim=1) / (factor * on_q).norm(dim=1)
    # Moves of small directions are differences of larger coordinates: up to 1e4 roundings.
    assert error.max() <= 1e-10
    for name in ("weight", "bias", "output"):
        torch.testing.assert_close(getattr(network, name), getattr(twin, name), **ROUNDING)


def test_the_identity_holds_for_the_papers_objective():
    """The objective is a sum over samples, with weight decay on gamma, alpha and v."""
    coordinates, Y, network = problem(scale=1.0)
    twin = coordinates.whitened(network)
    gradients = [
        torch.autograd.grad(batch_objective(net, inputs, Y, beta=0.7), list(net.parameters()))
        for net, inputs in ((network, coordinates.X), (twin, coordinates.Z))
    ]
    names = [name for name, _ in network.named_parameters()]
    on_w, on_q = (dict(zip(names, values, strict=True)) for values in gradients)
    expected = coordinates.singular_values.unsqueeze(1).square() * on_q.pop("w")
    torch.testing.assert_close(coordinates.q(on_w.pop("w")), expected, **ROUNDING)
    for name, gradient in on_w.items():
        torch.testing.assert_close(gradient, on_q[name], **ROUNDING)


def test_with_momentum_descent_on_w_is_preconditioned_descent_on_q():
    coordinates, Y, network = problem()
    twin = coordinates.whitened(network)
    twin.w.register_hook(lambda gradient: coordinates.stretch**2 * gradient)
    descent = descent_of({"iterations": 12, "learning_rate": 0.05, "momentum": 0.9})
    on_w = losses(descent, network, coordinates.X, Y)
    on_q = losses(descent, twin, coordinates.Z, Y)
    assert on_w == pytest.approx(on_q, rel=1e-10)
    assert on_w[-1] < 0.8 * on_w[0]
    torch.testing.assert_close(coordinates.q(network.w), twin.w.detach(), **ROUNDING)


def test_what_the_data_do_not_span_stays_where_it_was():
    coordinates, Y, network = problem(n=6, d=9)
    null = torch.eye(9, dtype=torch.float64) - coordinates.V @ coordinates.V.T
    before = null @ network.w.detach()
    losses(descent_of({"iterations": 5, "learning_rate": 0.1}), network, coordinates.X, Y)
    torch.testing.assert_close(null @ network.w.detach(), before, **ROUNDING)


def test_the_run_is_gradient_descent_on_the_mean_loss():
    coordinates, Y, network = problem()
    expected, seen = copy.deepcopy(network), []
    for _ in range(4):
        loss = 0.5 * (expected(coordinates.X) - Y).square().sum(1).mean()
        seen.append(loss.item())
        gradients = torch.autograd.grad(loss, list(expected.parameters()))
        for p, gradient in zip(expected.parameters(), gradients, strict=True):
            p.data -= 0.1 * gradient
    descent = descent_of({"iterations": 3, "learning_rate": 0.1})
    steps, values = zip(*descent.run(network, loss_on(coordinates.X, Y)), strict=True)
    assert steps == (0, 1, 2, 3)
    assert [value.item() for value in values] == pytest.approx(seen, rel=1e-12)


def test_the_one_step_error_is_rounding_and_sees_a_wrong_factor():
    coordinates, Y, network = problem()
    assert coordinates.one_step_error(network, Y) < 1e-10
    sigma = coordinates.singular_values.clone()
    sigma[-1] *= 1.01  # the smallest, which a norm over all directions would not see
    assert replace(coordinates, singular_values=sigma).one_step_error(network, Y) > 1e-3


def test_directions_of_rounding_alone_do_not_spoil_the_identity():
    """Images that were each normalized in float32 have one; whitening leaves it out."""
    X = data(dtype=np.float32)["X_train"]
    X -= X.mean(1, keepdims=True)
    coordinates = Coordinates.of(X, whiten(X))
    assert len(coordinates.singular_values) == d - 1
    _, Y, network = problem()
    assert coordinates.one_step_error(network, Y) < 1e-10


SETTINGS = descent_of({"iterations": 9, "learning_rate": 0.1, "momentum": 0.5, "evaluations": 4})


def measured(features, descent=SETTINGS, width=m, seeds=(0, 1)):
    return measure(features, whiten(features["X_train"]), descent, width, seeds)


def test_tables_say_how_far_each_direction_turned():
    """Against descent and cosines done again, without any of the module's functions."""
    features = data()
    cosines, history = measured(features)
    assert (list(cosines), list(history)) == (COSINES, HISTORY)
    X, Y = (torch.as_tensor(features[name]) for name in ("X_train", "Y_train"))
    _, sigma, Vt = np.linalg.svd((X - X.mean(0)).numpy(), full_matrices=False)
    network = BNNetwork(d, m, C, n, torch.Generator().manual_seed(1)).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.5)
    start = sigma[:, None] * Vt @ network.w.detach().numpy()
    for _ in range(9):
        optimizer.zero_grad()
        (0.5 * (network(X) - Y).square().sum() / n).backward()
        optimizer.step()
    end = sigma[:, None] * Vt @ network.w.detach().numpy()
    norms = np.linalg.norm(start, axis=1) * np.linalg.norm(end, axis=1)
    expected = (start * end).sum(1) / norms
    rows = cosines.query("model == 'bn' and seed == 1 and iteration == 9")
    # As many directions as bins, at most: each has its own.
    assert rows["direction"].tolist() == list(range(1, d + 1))
    np.testing.assert_allclose(rows["singular_value"], sigma, rtol=1e-10)
    np.testing.assert_allclose(rows["cosine"], expected, rtol=1e-9)
    last = history.query("model == 'bn' and seed == 1 and iteration == 9")
    loss = 0.5 * (network(X) - Y).square().sum().item() / n
    assert last["loss"].item() == pytest.approx(loss, rel=1e-9)
    assert last["constant_loss"].item() == pytest.approx(0.5 * Y.var(0, correction=0).sum().item())
    order = np.corrcoef(rankdata(sigma), rankdata(expected))[0, 1]
    assert last["spearman"].item() == pytest.approx(order, abs=1e-12)


def test_tables_are_complete():
    cosines, history = measured(data())
    both = [(model, seed) for model in ("bn", "whitened") for seed in (0, 1)]
    evaluated = sorted(SETTINGS.evaluated - {0})
    assert evaluated == [1, 2, 4, 9]
    keys = [(*run, iteration) for run in both for iteration in evaluated]
    assert sorted(cosines.groupby(["model", "seed", "iteration"]).groups) == keys
    assert sorted(history.groupby(["model", "seed"]).groups) == both
    assert len(history) == len(both) * 10
    seen = history["spearman"].notna()
    assert sorted(history.loc[seen, "iteration"].unique()) == evaluated
    judged = history[history["identity_error"].notna()]
    assert set(judged["model"]) == {"bn"}
    assert sorted(judged["iteration"]) == [0, 0, 9, 9]


def test_a_killed_job_trains_no_network_twice_and_gives_the_same(tmp_path, monkeypatch):
    features, parts, left = data(), Parts(tmp_path / "parts"), [3]
    expected, follow = measured(features), measure_module._follow

    def mortal(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return follow(*arguments)

    monkeypatch.setattr(measure_module, "_follow", mortal)
    arguments = features, whiten(features["X_train"]), SETTINGS, m, (0, 1), "cpu", parts
    with pytest.raises(KeyboardInterrupt):
        measure(*arguments)
    for found, table in zip(measure(*arguments), expected, strict=True):
        pd.testing.assert_frame_equal(found, table, check_exact=True)
    assert left[0] == -2  # two before, two after


def test_both_models_start_at_the_same_loss_and_a_seed_does_not_depend_on_others():
    features = data()
    _, history = measured(features)
    starts = history[history["iteration"] == 0].pivot(index="seed", columns="model", values="loss")
    assert starts["bn"].to_numpy() == pytest.approx(starts["whitened"].to_numpy(), rel=1e-12)
    _, alone = measured(features, seeds=(1,))
    both = history[history["seed"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, both, check_exact=True)


def test_on_data_that_are_white_already_there_is_no_difference():
    """With equal singular values, (sigma / c)^2 is 1: the two descents are one."""
    features = data()
    features["X_train"] = 3.0 * whiten(features["X_train"]).U[:, :-1] + 5.0
    cosines, history = measured(features)
    for table, value in ((cosines, "cosine"), (history, "loss")):
        bn, whitened = (table.loc[table["model"] == model, value] for model in ("bn", "whitened"))
        np.testing.assert_allclose(bn, whitened, rtol=1e-10)


def test_bins_are_means_of_all_directions():
    sigma, cosine = np.arange(1000.0, 0, -1), np.linspace(0.1, 1, 1000)
    table = binned(sigma, cosine)
    assert len(table) <= BINS
    assert table["directions"].sum() == 1000
    first = 0
    for row in table.itertuples():
        assert row.direction == first + 1
        ours = slice(first, first + row.directions)
        assert row.singular_value == pytest.approx(sigma[ours].mean(), rel=1e-12)
        assert row.cosine == pytest.approx(cosine[ours].mean(), rel=1e-12)
        first += row.directions
    # Log-spaced: the widest bin takes no more than a fixed share of the logarithmic axis.
    ends = np.log(table["direction"] + table["directions"])
    assert (ends - np.log(table["direction"])).iloc[8:].max() < 0.2


def test_digits_show_the_bias_and_lose_it_when_whitened():
    """Real images: large singular values turn most with BN, and not on whitened data."""
    images, labels = load_digits(return_X_y=True)
    features = {"X_train": images[:500].astype(np.float32), "Y_train": np.eye(10)[labels[:500]]}
    descent = descent_of({"iterations": 20, "learning_rate": 0.1, "evaluations": 2})
    _, history = measured(features, descent, width=64)
    ends = history[history["iteration"] == 20].groupby("model")["spearman"].mean()
    assert ends["bn"] < -0.7
    assert ends["whitened"] > 0
    assert history["identity_error"].max() < 1e-10


MEMORY = """
from convexbn.experiments.bias.measure import descent_of, measure
descent = descent_of({"iterations": 1, "learning_rate": 0.1})
features = {"X_train": rng.standard_normal((n, d), dtype=np.float32)}
features |= {"Y_train": np.eye(C, dtype=np.float32)[np.arange(n) % C]}
measure(features, whiten(features["X_train"]), descent, 400, [0])
"""


def test_estimate_of_memory_holds():
    entry = CIFAR | {"train": 2000, "validation": 0, "test": 1, "color": "gray", "pool": 2}
    base, peak = memory_of(size_of(entry), MEMORY)
    check(footprint.bias(entry, {"width": 400}), base, peak)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iterations": 0}, "iterations must be from 1"),
        ({"evaluations": 0}, "evaluations must be from 1"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f | {"X_train": f["X_train"][1:]}, r"of shape \(60, 8\)"),
        (lambda f: f | {"X_train": f["X_train"].reshape(4, 15, 8)}, "data sets of patches"),
        (lambda f: f | {"X_train": f["X_train"] * np.nan}, "X must be finite"),
        (lambda f: f | {"Y_train": f["Y_train"] + np.inf}, "Y_train must be finite"),
        (lambda f: f | {"Y_train": f["Y_train"][1:]}, "one row per sample"),
    ],
)
def test_data_that_do_not_fit_are_refused(change, words):
    features = data()
    with pytest.raises(ValueError, match=words):
        measure(change(features), whiten(features["X_train"]), SETTINGS, m, [0])


def test_a_diverged_descent_is_an_error():
    with pytest.raises(ValueError, match="learning_rate smaller than 1e"):
        measured(data(), replace(SETTINGS, iterations=200, learning_rate=1e6))


@pytest.mark.parametrize("width", [0, 2.5])
def test_a_wrong_width_is_refused(width):
    with pytest.raises(ValueError, match="width must be"):
        measured(data(), width=width)


def test_data_of_one_direction_are_refused():
    with pytest.raises(ValueError, match="at least two singular directions"):
        measured(data(d=1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["bias"]["digits"].update(dataset="mnist"), "names the dataset 'mnist'"),
        (lambda c: c["bias"]["digits"].update(dataset="patches"), "'patches' of patches"),
        (lambda c: c["bias"]["digits"].update(momentum=1), "1 is greater than or equal to"),
    ],
)
def test_a_wrong_config_is_refused_by_name(change, words, tmp_path):
    assert words in refusal(edited("test.yaml", change, tmp_path))


def history_of(bn=(-0.95,) * 3, whitened=(0.9,) * 3, losses=(0.3, 0.3), errors=(1e-12, 1e-10)):
    """A history of two iterations per seed, to `losses`; a constant's is 0.5."""
    rows = []
    for model, order, end in zip(("bn", "whitened"), (bn, whitened), losses, strict=True):
        for seed, value in enumerate(order):
            own = errors if model == "bn" else (np.nan, np.nan)
            rows.append((model, seed, 0, 2.0, 0.5, np.nan, own[0]))
            rows.append((model, seed, 1, 0.4, 0.5, 0.0, np.nan))
            rows.append((model, seed, 2, end, 0.5, value, own[1]))
    return pd.DataFrame(rows, columns=HISTORY).assign(dataset="cifar10", run="gd")


def verdicts(history) -> dict:
    return bias_claims.bias(history).set_index("id")["verdict"].to_dict()


HELD = {"E2a": "reproduced", "E2b": "reproduced", "E2c": "reproduced"}


def test_claims_hold_at_the_boundary():
    table = bias_claims.bias(history_of(bn=(-0.9,) * 3))
    assert list(table.columns) == claims.COLUMNS
    assert table.set_index("id")["verdict"].to_dict() == HELD


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"bn": (-0.89,) * 3}, {"E2a": "not reproduced"}),
        ({"bn": (-0.99, -0.85)}, {"E2a": "not resolved"}),  # mean -.92, deviation .1
        ({"bn": (-0.99, -0.75)}, {"E2a": "not resolved"}),  # mean -.87, deviation .17
        ({"bn": (-0.99,)}, {"E2a": "not resolved"}),  # no spread is known
        ({"whitened": (-0.9,) * 3}, {"E2b": "not reproduced"}),
        ({"whitened": (-0.99, -0.75)}, {"E2b": "not resolved"}),
        ({"losses": (0.3, 0.41)}, {"E2b": "not resolved"}),  # .09 below a constant against .2
        ({"losses": (0.6, 0.5)}, {"E2b": "not resolved"}),
        ({"errors": (1e-12, 1.1e-10)}, {"E2c": "not reproduced"}),
        ({"errors": (1.1e-10, 1e-12)}, {"E2c": "not reproduced"}),
        ({"errors": (np.nan, 1e-12)}, {"E2c": "not reproduced"}),
    ],
)
def test_each_claim_is_judged_by_its_own_numbers(change, verdict):
    assert verdicts(history_of(**change)) == HELD | verdict


def test_measured_says_what_was_reached():
    measured = bias_claims.bias(history_of(bn=(-0.98, -0.96))).set_index("id")["measured"]
    losses = "loss 0.300 (BN) and 0.300 (whitened) after 2 iterations, 0.500 if constant"
    assert measured["E2a"] == f"gd: -0.970 ± 0.014 (2 seeds); {losses}"
    assert measured["E2b"].startswith("gd: +0.900 ± 0.000 (3 seeds)")
    assert measured["E2c"] == "gd: largest relative error 1.0e-10, 4 steps in float64"


def test_every_run_is_judged_and_no_run_is_nothing():
    two = pd.concat([history_of(), history_of(bn=(0.5,) * 3).assign(run="momentum")])
    table = bias_claims.bias(two)
    assert table["id"].tolist() == ["E2a", "E2b", "E2c"] * 2
    assert table["verdict"].tolist() == ["reproduced"] * 3 + ["not reproduced"] + ["reproduced"] * 2
    assert bias_claims.bias(pd.DataFrame()).empty
