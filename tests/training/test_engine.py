"""The training loop against torch.optim, against itself in other company, and on digits."""

import logging
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sweep_features import SWEEP, C, K, make_features, make_images, make_patches, n

from convexbn.evaluation import calibration
from convexbn.networks.architectures import ConvolutionalNetwork
from convexbn.networks.objectives import network_objective
from convexbn.networks.two_layer import BNNetwork, PlainNetwork
from convexbn.training import stacks
from convexbn.training.augmentation import Augmentation
from convexbn.training.data import TrainingData
from convexbn.training.engine import train
from convexbn.training.sweeps import Sweep

NETWORKS = {"bn": BNNetwork, "plain": PlainNetwork}


def parameters_of(parameters, index, names):
    return {name: parameters[name][index] for name in names}


def draw(features, sweep, generator):
    """Return the network that a member starts as, alone."""
    X = features["X_train"]
    h, outputs = X.shape[-1], features["Y_train"].shape[1]
    top = NETWORKS[sweep.network](h, sweep.width, outputs, X.size // h, generator)
    return top if X.ndim == 2 else ConvolutionalNetwork(top, K, "average")


def optimizer_of(features, sweep, member, network):
    """Return torch's own, with the weight decay that is beta in the paper's units."""
    rows = features["X_train"][..., 0].size
    top = getattr(network, "top", network)
    free = [top.w] if sweep.network == "bn" else []
    decayed = [p for p in network.parameters() if all(p is not q for q in free)]
    beta_p = member.beta / n * (math.sqrt(rows) if sweep.network == "bn" else 1)
    groups = [{"params": decayed, "weight_decay": beta_p}, {"params": free, "weight_decay": 0.0}]
    if sweep.optimizer == "adam":
        betas = (sweep.momentum, 0.999)
        return torch.optim.Adam(groups, lr=member.learning_rate, betas=betas)
    return torch.optim.SGD(groups, lr=member.learning_rate, momentum=sweep.momentum)


def torch_training(features, sweep, member):
    """Train one member by autograd with torch's own optimizer and scheduler."""
    X, Y = (torch.as_tensor(features[name]) for name in ("X_train", "Y_train"))
    generator = torch.Generator().manual_seed(member.seed)
    if sweep.is_augmented:
        augmentation = Augmentation(*features["image"], flip=sweep.flip, shift=sweep.shift)
    network = draw(features, sweep, generator).double()
    optimizer = optimizer_of(features, sweep, member, network)
    steps = n // sweep.batch_size
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sweep.epochs * steps)
    for _ in range(sweep.epochs):
        order = torch.randperm(n, generator=generator)
        ways = augmentation.draw(n, generator) if sweep.is_augmented else None
        for step in range(steps):
            places = slice(step * sweep.batch_size, (step + 1) * sweep.batch_size)
            index = order[places]
            batch = X.index_select(-2, index)
            if sweep.is_augmented:
                batch = augmentation(batch, ways[places])
            optimizer.zero_grad()
            scores = network(batch)
            (0.5 * (scores - Y[index]).square().sum(dim=1).mean()).backward()
            optimizer.step()
            if sweep.schedule == "cosine":
                scheduler.step()
    return dict(getattr(network, "top", network).named_parameters())


@pytest.mark.parametrize("make", [make_features, make_patches])
@pytest.mark.parametrize("network", ["bn", "plain"])
@pytest.mark.parametrize(("optimizer", "schedule"), [("sgd", "cosine"), ("adam", "constant")])
def test_every_member_is_trained_as_torch_trains_it(make, network, optimizer, schedule):
    features = make(np.float64)
    sweep = replace(SWEEP, network=network, optimizer=optimizer, schedule=schedule, epochs=25)
    _, parameters = train(features, sweep)
    for index, member in enumerate(sweep.members):
        for name, p in torch_training(features, sweep, member).items():
            # 100 steps that multiply rounding errors of 1e-16 by a modest factor each; Adam's
            # first steps divide gradients by their own size, however small.
            rounding = {"rtol": 1e-9, "atol": 1e-10 if optimizer == "sgd" else 1e-8}
            torch.testing.assert_close(parameters[name][index], p.data, **rounding)


@pytest.mark.parametrize("network", ["bn", "plain"])
def test_a_member_does_not_depend_on_its_company(network):
    features, sweep = make_features(), replace(SWEEP, network=network)
    history, together = train(features, sweep)
    for index in (0, 5):
        member = sweep.members[index]
        alone = replace(
            sweep,
            seeds=(member.seed,),
            learning_rates=(member.learning_rate,),
            betas=(member.beta,),
        )
        alone_history, parameters = train(features, alone)
        for name, values in parameters.items():
            # float32, 12 steps: rounding of 1e-7 grown by a modest factor.
            torch.testing.assert_close(values[0], together[name][index], rtol=1e-4, atol=1e-5)
        objectives = [r["objective"] for r in history if tuple(r.values())[:3] == member]
        assert [r["objective"] for r in alone_history] == pytest.approx(objectives, rel=1e-5)


def test_groups_give_what_one_group_gives():
    features = make_features()
    history, parameters = train(features, SWEEP)
    grouped_history, grouped = train(features, replace(SWEEP, max_members=3))
    for name, values in parameters.items():
        torch.testing.assert_close(grouped[name], values, rtol=1e-4, atol=1e-5)

    def final(rows):
        last = {tuple(row.values())[:3]: row["objective"] for row in rows if row["epoch"] == 3}
        return [last[member] for member in SWEEP.members]

    assert final(grouped_history) == pytest.approx(final(history), rel=1e-5)


def test_seeds_that_do_not_tune_take_the_best_setting_and_train_as_ever():
    features = make_features()
    history, parameters = train(features, replace(SWEEP, tuning_seeds=1, epochs=10))
    everything, expected = train(features, replace(SWEEP, epochs=10))

    def final(rows):
        return {tuple(row.values())[:3]: row for row in rows if row["epoch"] == 10}

    first = [row for row in final(everything).values() if row["seed"] == 0]
    best = max(first, key=lambda row: row["validation_accuracy"])
    assert len({row["validation_accuracy"] for row in first}) > 1  # or there would be no choice
    chosen = (1, best["learning_rate"], best["beta"])
    members = [member for member in SWEEP.members if member.seed == 0] + [chosen]
    assert list(final(history)) == members
    for index, member in enumerate(members):
        row, other = final(history)[member], final(everything)[member]
        assert row["objective"] == pytest.approx(other["objective"], rel=1e-5)
        values = parameters_of(parameters, index, parameters)
        others = parameters_of(expected, SWEEP.members.index(member), parameters)
        # Sums of stacks of other sizes are rounded otherwise, over 40 steps.
        torch.testing.assert_close(values, others, rtol=1e-4, atol=1e-5)


def test_where_every_setting_diverged_no_other_seed_is_tried(caplog):
    sweep = replace(SWEEP, network="plain", learning_rates=(1e6,), tuning_seeds=1)
    history, _ = train(make_features(), sweep)
    assert {row["seed"] for row in history} == {0}
    assert "every setting diverged" in caplog.text


def test_a_sweep_without_tuning_says_nothing_of_it(caplog):
    features = make_features()
    features |= {
        f"{name}_validation": features[f"{name}_validation"][:0] for name in ("X", "labels")
    }
    train(features, SWEEP)
    assert not caplog.text


def test_tuning_without_validation_samples_is_refused():
    features = make_features()
    features |= {
        f"{name}_validation": features[f"{name}_validation"][:0] for name in ("X", "labels")
    }
    with pytest.raises(ValueError, match="validation samples, got none"):
        train(features, replace(SWEEP, tuning_seeds=1))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("max_members", [None, 3, 1])
def test_threads_with_members_of_their_own_give_what_one_thread_gives(max_members):
    features = make_features()
    history, parameters = train(features, replace(SWEEP, max_members=max_members))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    expected_history, expected = train(features, SWEEP)
    for name, values in parameters.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-5)  # as above
    if max_members is None:
        order = [(row["epoch"], *tuple(row.values())[:3]) for row in history]
        assert order == [(row["epoch"], *tuple(row.values())[:3]) for row in expected_history]


def test_augmented_members_are_trained_as_torch_trains_them():
    features = make_images(np.float64)
    sweep = replace(SWEEP, flip=True, shift=1)
    _, parameters = train(features, sweep)
    for index, member in enumerate(sweep.members):
        for name, p in torch_training(features, sweep, member).items():
            torch.testing.assert_close(parameters[name][index], p.data, rtol=1e-9, atol=1e-10)


def test_augmentation_is_off_by_default_and_changes_training_alone():
    features = make_images()
    history, _ = train(features, SWEEP)
    augmented, _ = train(features, replace(SWEEP, flip=True))
    # Evaluated on the images as they are: nothing differs before the first step.
    assert augmented[0] == history[0]
    assert augmented[-1]["objective"] != history[-1]["objective"]


@pytest.mark.parametrize(
    ("features", "found"),
    [
        (make_features(), r"got none and \(70, 5\)"),
        (make_features() | {"image": np.array([2, 2, 1])}, r"got 2 x 2 x 1 and \(70, 5\)"),
        (make_patches() | {"image": np.array([1, 5, 1])}, r"got 1 x 5 x 1 and \(4, 70, 5\)"),
    ],
)
def test_only_whole_images_are_augmented(features, found):
    with pytest.raises(ValueError, match=found):
        train(features, replace(SWEEP, flip=True))


def test_the_same_seed_twice_is_identical():
    features = make_features()
    (first, a), (second, b) = train(features, SWEEP), train(features, SWEEP)
    assert all(torch.equal(a[name], b[name]) for name in a)
    without_clock = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
        for rows in (first, second)
    ]
    assert without_clock[0] == without_clock[1]


def test_members_of_a_seed_start_alike_and_seeds_differ():
    history, _ = train(make_features(), replace(SWEEP, betas=(0.5,)))
    start = [row["objective"] for row in history if row["epoch"] == 0]
    assert start[0] == start[1] != start[2] == start[3]


@pytest.mark.parametrize(("name", "kind"), [("bn", BNNetwork), ("plain", PlainNetwork)])
@pytest.mark.parametrize("make", [make_features, make_patches])
def test_the_history_ends_with_the_objective_of_the_returned_network(name, kind, make):
    features, sweep = make(), replace(SWEEP, network=name)
    history, parameters = train(features, sweep)
    for index, member in enumerate(sweep.members):
        network = draw(features, sweep, torch.Generator())
        top = getattr(network, "top", network)
        assert isinstance(top, kind)
        own = [name for name, _ in top.named_parameters()]
        top.load_state_dict(parameters_of(parameters, index, own))
        expected = network_objective(network, features["X_train"], features["Y_train"], member.beta)
        row = history[index - len(sweep.members)]
        assert row["objective"] == pytest.approx(expected, rel=1e-5)  # float32 scores
        assert tuple(row.values())[:3] == member


def test_losses_and_calibration_are_those_of_the_final_scores():
    features = make_patches()
    history, parameters = train(features, SWEEP)
    final, before = history[-len(SWEEP.members) :], history[: -len(SWEEP.members)]
    for index, row in enumerate(final):
        network = draw(features, SWEEP, torch.Generator())
        network.top.load_state_dict(parameters_of(parameters, index, parameters))
        scores, labels = {}, {}
        for split in ("train", "validation", "test"):
            X = torch.as_tensor(features[f"X_{split}"])
            scores[split] = network.predict(X).numpy()
            labels[split] = features[f"labels_{split}"]
        for split in ("train", "test"):
            residual = scores[split] - np.eye(C)[labels[split]]
            expected = 0.5 * (residual**2).sum(axis=1).mean()
            assert row[f"{split}_loss"] == pytest.approx(expected, rel=1e-5)  # float32 scores
        judged = (scores["test"], labels["test"], scores["validation"], labels["validation"])
        for name, expected in calibration(*judged).items():
            assert row[name] == pytest.approx(expected, rel=1e-4)
    assert all(math.isnan(row["test_nll"]) and row["train_loss"] > 0 for row in before)


def test_test_samples_are_normalized_with_the_training_sets_statistics():
    features = make_features()
    features["X_test"] += 1.0  # the test set's own statistics would undo the shift
    history, parameters = train(features, SWEEP)
    for index, row in enumerate(history[-len(SWEEP.members) :]):
        w, weight, bias, output, mean, variance = (
            parameters[name][index].numpy()
            for name in ("w", "weight", "bias", "output", "mean", "variance")
        )
        z = features["X_train"] @ w
        np.testing.assert_allclose(mean, z.mean(axis=0), rtol=1e-4, atol=1e-5)  # float32
        np.testing.assert_allclose(variance, z.var(axis=0), rtol=1e-4)
        normalized = (features["X_test"] @ w - mean) / np.sqrt(variance)
        scores = np.maximum(weight * normalized + bias, 0) @ output
        expected = (scores.argmax(axis=1) == features["labels_test"]).mean()
        assert row["test_accuracy"] == pytest.approx(expected)


def test_evaluations_are_log_spaced_from_the_start_to_the_last_epoch():
    assert sorted(replace(SWEEP, epochs=100, evaluations=5).evaluated) == [0, 1, 3, 10, 32, 100]
    assert sorted(replace(SWEEP, epochs=7, evaluations=1).evaluated) == [0, 1, 7]
    history, _ = train(make_features(), replace(SWEEP, epochs=3, evaluations=9))
    assert [row["epoch"] for row in history[:: len(SWEEP.members)]] == [0, 1, 2, 3]
    seconds = [row["seconds"] for row in history]
    assert seconds[0] == 0
    assert seconds == sorted(seconds)


def test_a_diverged_member_is_recorded_and_poisons_no_other(caplog):
    features = make_features()
    sweep = replace(SWEEP, learning_rates=(0.05, 1e6), betas=(0.1,), seeds=(0,))
    with caplog.at_level(logging.WARNING):
        history, parameters = train(features, sweep)
    sound, diverged = history[-2:]
    assert all(math.isnan(diverged[k]) for k in ("objective", "train_accuracy", "test_accuracy"))
    assert "diverged within 3 epochs" in caplog.text
    assert "learning_rate 1e+06" in caplog.text
    _, alone = train(features, replace(sweep, learning_rates=(0.05,)))
    torch.testing.assert_close(parameters["w"][0], alone["w"][0], rtol=1e-4, atol=1e-5)
    assert math.isfinite(sound["objective"])


@pytest.mark.parametrize(("rates", "epochs"), [((1e20,), 1), ((0.05, 1e20), 5)])
def test_networks_that_are_all_lost_take_no_more_steps(rates, epochs, monkeypatch):
    """One that is not lost goes on beside them."""
    sweep, steps = replace(SWEEP, network="plain", learning_rates=rates, epochs=5), []
    sweep = replace(sweep, betas=(0.1,), seeds=(0,), batch_size=n // 2)
    batch = TrainingData.batch
    monkeypatch.setattr(TrainingData, "batch", lambda *rows: steps.append(1) or batch(*rows))
    history, _ = train(make_features(), sweep)
    assert len(steps) == 1 + 2 * epochs  # one to warm up
    assert math.isnan(history[-1]["objective"])
    assert history[-1]["epoch"] == 5


def test_scores_that_overflow_are_a_divergence_too():
    # One step of one neuron: scores of 1e25 * 1e25 are infinite, but there is a largest one.
    sweep = Sweep("plain", 1, 1, n, (1e25,), (0.1,), (0,), momentum=0.0)
    history, parameters = train(make_features(), sweep)
    assert parameters["output"].isfinite().all()
    assert math.isnan(history[-1]["objective"])
    assert math.isnan(history[-1]["train_accuracy"])


@pytest.mark.parametrize(("rate", "is_diverged"), [(10.0, False), (30.0, True)])
def test_a_thousand_times_the_first_objective_is_a_divergence(rate, is_diverged, monkeypatch):
    sweep = Sweep("plain", 4, 1, n, (rate,), (0.1,), (0,), momentum=0.0)
    _, last = train(make_features(), sweep)[0]
    assert math.isnan(last["objective"]) == math.isnan(last["test_accuracy"]) == is_diverged
    monkeypatch.setattr(stacks, "DIVERGED", math.inf)
    first, last = train(make_features(), sweep)[0]
    assert math.isfinite(last["objective"])
    assert (last["objective"] > 1e3 * first["objective"]) == is_diverged


def test_no_validation_samples_mean_no_validation_accuracy():
    features = make_features()
    features["X_validation"] = features["X_validation"][:0]
    features["labels_validation"] = features["labels_validation"][:0]
    history, _ = train(features, SWEEP)
    assert all(math.isnan(row["validation_accuracy"]) for row in history)
    assert all(0 <= row["test_accuracy"] <= 1 for row in history)


def test_a_single_output_learns_two_classes():
    features = make_features(classes=2)
    features["Y_train"] = (2.0 * features["labels_train"] - 1).astype(np.float32)[:, None]
    history, parameters = train(features, replace(SWEEP, epochs=30))
    assert parameters["output"].shape == (len(SWEEP.members), SWEEP.width, 1)
    assert max(row["train_accuracy"] for row in history) > 0.9


@pytest.mark.parametrize("network", ["bn", "plain"])
def test_digits_are_learned(network):
    X, labels = load_digits(return_X_y=True)
    X = ((X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    parts = dict(zip(("train", "validation", "test"), np.split(order, [1200, 1400]), strict=True))
    features = {f"X_{split}": X[rows] for split, rows in parts.items()}
    features |= {f"labels_{split}": labels[rows] for split, rows in parts.items()}
    features["Y_train"] = np.eye(10, dtype=np.float32)[features["labels_train"]]
    sweep = Sweep(network, 64, 20, 100, (0.02,), (0.5,), (0,))
    history, _ = train(features, sweep)
    assert history[-1]["objective"] < 0.5 * history[0]["objective"]
    # Chance is 10 %, a linear classifier about 93 %.
    assert history[0]["test_accuracy"] < 0.4
    assert history[-1]["test_accuracy"] > 0.9
    assert history[-1]["validation_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "resnet"}, r"network must be one of 'bn', 'plain'.*, 'convex'"),
        ({"schedule": "step"}, "schedule must be one of 'constant', 'cosine'"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of 'sgd', 'adam'"),
        ({"width": None}, "width must be a whole number"),
        ({"network": "convex"}, "the convex program has no width, got 16"),
        ({"betas": (0.1, 0.0)}, "each learning rate and beta must be > 0"),
        ({"learning_rates": (-0.1,)}, "each learning rate and beta must be > 0"),
        ({"learning_rates": ("1e-3",)}, "each learning rate and beta must be a number"),
        ({"seeds": ()}, "seeds must name at least one value"),
        ({"betas": 0.1}, "betas must name at least one value, in a tuple, got 0.1"),
        ({"betas": iter([0.1])}, "betas must name at least one value, in a tuple, got <"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"epochs": 0}, "epochs must be from 1"),
        ({"max_members": 0}, "max_members must be from 1"),
        ({"shift": -1}, "shift must be from 0"),
        (
            {"network": "convex", "width": None, "flip": True},
            "whitened data, which cannot be flipped",
        ),
    ],
)
def test_a_sweep_refuses_settings_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SWEEP, **change)


@pytest.mark.parametrize("batch_size", [1, n + 1])
def test_a_batch_must_fit_the_data(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be from 2 to {n}"):
        train(make_features(), replace(SWEEP, batch_size=batch_size))


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("X_train", lambda X: np.where(X > 1, np.nan, X), "X_train must be finite"),
        ("X_test", lambda X: X * np.inf, "X_test must be finite"),
        ("Y_train", lambda Y: Y[1:], "X_train and Y_train must have one row per sample"),
        ("labels_test", lambda y: y[1:], "X_test and labels_test must have one row per sample"),
        ("X_test", lambda X: X[:, 1:], "X_test must have samples of the shape"),
        ("X_train", lambda X: X[None, None], "X_train must have shape"),
        ("labels_train", lambda y: y.astype(float), "labels_train must be integers"),
        ("labels_test", lambda y: y[:, None], r"labels_test must be integers of shape \(n,\)"),
        ("labels_test", lambda y: y - 1, "labels_test must be whole numbers >= 0, got -1"),
        ("labels_validation", lambda y: y + 1, "labels_validation must be below 3, .* got 3"),
        ("Y_train", lambda Y: Y.astype(int), "Y_train must have the dtype of X_train, .*int64"),
        ("Y_train", lambda Y: Y.astype(float), "Y_train must have the dtype of X_train, .*float64"),
        ("X_test", lambda X: X.astype(float), "X_test must have the dtype of X_train, .*float64"),
        ("Y_train", lambda Y: Y[:, 0], r"Y_train must have shape \(n, C\), got \(70,\)"),
        ("Y_train", lambda Y: Y + 0j, "Y_train must be an array of real numbers, got .*complex"),
        ("X_train", lambda X: X.astype("f2"), "X_train must be of float32 or float64"),
        ("X_train", lambda X: X[:1], "X_train must have at least two samples"),
        ("X_train", lambda X: X[:0], "X_train must have at least two samples"),
        ("X_train", lambda X: np.ones_like(X), "X_train must vary by .* standardize it"),
        ("X_train", lambda X: np.float32(1e-30) * X, "X_train must vary by .* standardize it"),
        ("X_train", lambda X: np.float32(1e-22) * X, "X_train must vary by .* standardize it"),
        ("X_train", lambda X: np.float32(1e19) * X, "X_train must vary by .* standardize it"),
        ("X_train", lambda X: np.float32(1e9) + 64 * X, "X_train must vary by .* standardize it"),
    ],
)
def test_bad_features_are_refused(name, spoil, message):
    features = make_features()
    features[name] = spoil(features[name])
    with pytest.raises(ValueError, match=message):
        train(features, SWEEP)


def numbers_of(history):
    """A history without the clock."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@pytest.mark.parametrize("make", [make_features, make_patches])
def test_containers_of_any_kind_are_trained_on_alike(make):
    features = make()
    expected, parameters = train(features, SWEEP)
    backwards = {name: np.flip(np.flip(A).copy()) for name, A in features.items()}
    swapped = {
        name: values.astype(values.dtype.newbyteorder()) for name, values in features.items()
    }
    tensors = {name: torch.tensor(values) for name, values in features.items()}
    for given in (
        backwards,
        swapped,
        tensors,
        tensors | {"labels_test": [*features["labels_test"]]},
    ):
        history, found = train(given, SWEEP)
        np.testing.assert_equal(numbers_of(history), numbers_of(expected))
        assert all(torch.equal(found[name], parameters[name]) for name in parameters)


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
def test_training_with_batch_normalization_sees_no_units(unit):
    features = make_features()
    expected, _ = train(features, SWEEP)
    X = {name: np.float32(unit) * values for name, values in features.items() if name[0] == "X"}
    history, _ = train(features | X, SWEEP)
    np.testing.assert_equal(numbers_of(history), numbers_of(expected))


def test_a_constant_feature_is_no_obstacle():
    features = make_features()
    for name in ("X_train", "X_validation", "X_test"):
        features[name] = np.hstack([features[name], np.ones_like(features[name][:, :1])])
    history, _ = train(features, SWEEP)
    assert history[-1]["objective"] < history[0]["objective"]
    assert history[-1]["train_accuracy"] > 0.6


def test_a_class_without_a_training_sample_is_trained_on():
    features = make_features()
    features["Y_train"] = np.insert(features["Y_train"], 3, 0, axis=1)
    features["labels_test"][0] = 3
    history, _ = train(features, SWEEP)
    last = history[-1]
    assert math.isnan(last["test_loss"])  # its targets are not known
    assert 0 < last["test_accuracy"] < 1
    assert math.isfinite(last["objective"])


def test_training_needs_numpy_and_torch_alone():
    absent = ("pandas", "safetensors", "scipy", "sklearn", "torchvision", "tqdm")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"  # None: an ImportError
        "import convexbn.training.engine"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
