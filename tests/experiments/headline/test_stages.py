"""Runs: solve, certify and evaluate agree with each other and with the definitions."""

import logging
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch
from headline_runs import SEEDS, SETUP, C, P, d, make_features, make_run, n
from sklearn.metrics import log_loss

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.data.patches import patches
from convexbn.evaluation import calibration
from convexbn.experiments.headline.run import Run, Settings
from convexbn.experiments.headline.stages import certify_run, evaluate_run, solve_run
from convexbn.networks.objectives import network_objective
from convexbn.networks.recovery import recover_network
from convexbn.pipeline.artifacts import load_tensors, save_tensors
from convexbn.programs.certificates import certify
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.solutions import Solution, UncertifiedError
from convexbn.whitening import whiten

JUDGED = "test", "validation"


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run()


@pytest.fixture(scope="module")
def solved(run):
    return solve_run(run)


@pytest.fixture
def solutions(solved):
    return dict(solved[0])


def test_samples_of_a_split_are_made_once_per_seed(monkeypatch):
    """By the warm-up, the path and the tuning together; and one seed's are held at a time."""
    made, make = [], Run._sampled

    def counted(run, split, s):
        made.append((split, s))
        return make(run, split, s)

    monkeypatch.setattr(Run, "_sampled", counted)
    run = make_run(betas=(2.0, 1.0), tuning_seeds=1)
    solve_run(run)
    of_paths = [(split, s) for split in ("train", "test") for s in range(len(SEEDS))]
    assert sorted(made) == sorted([*of_paths, ("validation", 0)])
    assert {split: s for split, (s, _) in run._held.items()} == {
        "train": 1,
        "test": 1,
        "validation": 0,
    }


def test_solutions_are_complete(solutions):
    names = {f"weights.{s}.{b}" for s in range(2) for b in range(3)}
    duals = {name.replace("weights", "dual") for name in names}
    assert solutions.keys() == names | duals | {"seconds", "iterations"}
    assert all(solutions[name].shape == (d + 1, P, C) for name in names)
    assert all(solutions[name].shape == (n, C) for name in duals)
    assert solutions["seconds"].shape == solutions["iterations"].shape == (2, 3)


def test_referee_certifies_what_was_solved(run, solutions):
    certificates = certify_run(run, solutions)
    keys = [(c["seed"], c["beta"]) for c in certificates]
    assert keys == [(seed, beta) for seed in SEEDS for beta in (2.0, 1.0, 0.5)]
    for place, c in enumerate(certificates):
        s, b = divmod(place, 3)
        assert c["converged"]
        assert c["relative_gap"] <= 1e-6
        assert c["seconds"] == solutions["seconds"][s, b]
        assert c["iterations"] == solutions["iterations"][s, b]
        D = run.whitening.U @ run.gates[s] >= 0
        W, dual = (solutions[f"{name}.{s}.{b}"] for name in ("weights", "dual"))
        direct = certify(run.whitening.U, D, run.features["Y_train"], c["beta"], W, dual=dual)
        assert c["objective"] == pytest.approx(direct.objective, rel=1e-14)
        assert c["dual_objective"] == pytest.approx(direct.dual_objective, rel=1e-14)


def test_history_ends_where_the_certificate_begins(run, solved):
    solutions, history = solved
    for certificate in certify_run(run, solutions):
        key = (certificate["seed"], certificate["beta"])
        snapshots = [row for row in history if (row["seed"], row["beta"]) == key]
        # The weights are handed out in float32: within 1e-6 of the optimum, where the slope is of
        # the order of 1e-3, their rounding of 6e-8 does not cost more.
        assert snapshots[-1]["objective"] == pytest.approx(certificate["objective"], rel=1e-10)
        assert snapshots[-1]["iteration"] == certificate["iterations"]
        assert snapshots[-1]["relative_gap"] <= 1e-6
        for row in snapshots:
            assert row["gap"] == row["objective"] - row["dual_objective"]
            assert row["rank"] == d


def test_clock_runs_from_the_setup_through_the_whole_path(solved):
    solutions, history = solved
    for s, seed in enumerate(SEEDS):
        clock = [row["seconds"] for row in history if row["seed"] == seed]
        betas = [row["beta"] for row in history if row["seed"] == seed]
        assert clock == sorted(clock)
        assert betas == sorted(betas, reverse=True)
        assert SETUP[s] <= clock[0]
        ends = solutions["seconds"][s]
        assert (np.diff(ends) > 0).all()
        for b, beta in enumerate((2.0, 1.0, 0.5)):
            at = [row["seconds"] for row in history if (row["seed"], row["beta"]) == (seed, beta)]
            begin = ends[b - 1] if b else SETUP[s]
            assert begin <= at[0] <= at[-1] <= ends[b]


def test_seeds_that_do_not_tune_are_solved_for_the_best_beta_alone(run, solutions):
    tuned = make_run(tuning_seeds=1)
    found, history = solve_run(tuned)
    rows = [row for row in evaluate_run(run, solutions) if row["seed"] == SEEDS[0]]
    best = max(rows, key=lambda row: (row["validation_accuracy"], row["beta"]))["beta"]
    b = tuned.settings.descending.index(best)
    assert {name for name in found if "weights" in name} == {
        *(f"weights.0.{b}" for b in range(3)),
        f"weights.1.{b}",
    }
    for name in ("weights.0.0", "weights.0.1", "weights.0.2"):
        np.testing.assert_array_equal(found[name], solutions[name])
    keys = [(SEEDS[0], 2.0), (SEEDS[0], 1.0), (SEEDS[0], 0.5), (SEEDS[1], best)]
    for rows in (certify_run(tuned, found), evaluate_run(tuned, found)):
        assert [(row["seed"], row["beta"]) for row in rows] == keys
    objectives = [c["objective"] for c in certify_run(tuned, found)]
    expected = {(c["seed"], c["beta"]): c["objective"] for c in certify_run(run, solutions)}
    assert objectives[-1] == pytest.approx(expected[keys[-1]], rel=1e-6)  # the tolerance
    # Every solve has its own clock, from the setup on.
    for seed, beta in keys:
        s, b = SEEDS.index(seed), tuned.settings.descending.index(beta)
        at = [row["seconds"] for row in history if (row["seed"], row["beta"]) == (seed, beta)]
        assert SETUP[s] <= at[0] <= at[-1] <= found["seconds"][s, b] < SETUP[s] + 5
    assert np.isnan(found["seconds"]).sum() == 2


def test_a_run_without_validation_samples_cannot_be_tuned():
    with pytest.raises(ValueError, match="validation samples, got none"):
        solve_run(make_run(make_features(validation=0), tuning_seeds=1))


def by_hand(run, X, s, W):
    """Return the predictions of a gated network, sample by sample."""
    U = run.whitening.transform(X)
    D = U @ run.gates[s] >= 0
    return np.einsum("np,npc->nc", D, np.einsum("na,apc->npc", U, np.float64(W)))


def test_evaluation_is_that_of_the_network(run, solutions):
    rows = evaluate_run(run, solutions)
    assert [(row["seed"], row["beta"]) for row in rows] == [
        (seed, beta) for seed in SEEDS for beta in (2.0, 1.0, 0.5)
    ]
    for place, row in enumerate(rows):
        s, b = divmod(place, 3)
        W, part = solutions[f"weights.{s}.{b}"], {}
        for split in ("train", "validation", "test"):
            part[split] = scores = by_hand(run, run.features[f"X_{split}"], s, W)
            labels = run.features[f"labels_{split}"]
            assert row[f"{split}_accuracy"] == (scores.argmax(axis=1) == labels).mean()
        assert row["neurons"] == (np.linalg.norm(W, axis=0) > 0).sum()
        assert [row[key] for key in ("rank", "energy", "filter_kind", "gates")] == [d, 1.0, "", P]
        test, validation = ((part[key], run.features[f"labels_{key}"]) for key in JUDGED)
        expected = calibration(*test, *validation)
        # The weights are kept, and the scores made, in float32.
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-5)
    assert rows[-1]["train_accuracy"] > 0.8  # it learns


def test_curves_end_at_the_evaluated_measures(run, solved):
    solutions, history = solved
    for row in evaluate_run(run, solutions):
        last = [h for h in history if (h["seed"], h["beta"]) == (row["seed"], row["beta"])][-1]
        assert last["train_accuracy"] == row["train_accuracy"]
        assert last["test_accuracy"] == row["test_accuracy"]
        # The weights are handed out in float32, after the last snapshot.
        assert last["train_loss"] == pytest.approx(row["train_loss"], rel=1e-5)
        assert last["test_loss"] == pytest.approx(row["test_loss"], rel=1e-5)


def test_seeds_do_not_touch_each_other(run, solutions):
    """Each seed starts cold: alone it gives the same weights to the last bit."""
    alone = replace(run, seeds=SEEDS[1:], gates=run.gates[1:], setup_seconds=SETUP[1:])
    again, _ = solve_run(alone)
    for b in range(3):
        np.testing.assert_array_equal(again[f"weights.0.{b}"], solutions[f"weights.1.{b}"])


def test_truncated_run():
    run = make_run(rank=2)
    solutions, history = solve_run(run)
    assert solutions["weights.0.0"].shape == (3, P, C)
    assert {row["rank"] for row in history} == {2}
    (row, *_) = evaluate_run(run, solutions)
    assert row["rank"] == 2
    assert row["energy"] == run.whitening.energy < 1
    assert all(c["converged"] for c in certify_run(run, solutions))


def test_no_validation_samples_give_no_accuracy():
    run = make_run(make_features(validation=0), betas=(1.0,))
    solutions, _ = solve_run(run)
    rows = evaluate_run(run, solutions)
    missing = ("validation_accuracy", "test_nll", "test_ece", "temperature")
    assert all(np.isnan(row[key]) for row in rows for key in missing)
    assert all(row["test_accuracy"] > 0 for row in rows)


def test_no_test_samples_give_no_accuracy():
    features = make_features()
    features |= {"X_test": np.empty((0, d), np.float32), "labels_test": np.empty(0, np.int64)}
    solutions, history = solve_run(make_run(features, betas=(1.0,)))
    assert solutions["iterations"].any()
    assert all(np.isnan(row["test_accuracy"]) for row in history)


def test_missed_tolerance_may_be_allowed(caplog):
    hasty = make_run(tolerance=1e-9, max_iterations=2, allow_uncertified=True)
    with caplog.at_level(logging.WARNING, logger="convexbn.experiments.headline.run"):
        solutions, _ = solve_run(hasty)
    assert len(caplog.records) == 6
    assert "seed 3, beta 0.5" in caplog.records[-1].message
    certificates = certify_run(hasty, solutions)
    assert not any(c["converged"] for c in certificates)
    # Nothing is certified on the solver's word.
    with pytest.raises(UncertifiedError, match="seed 7, beta 2, judged by the referee"):
        certify_run(make_run(tolerance=1e-9), solutions)


def test_tampered_weights_lose_their_certificate(run, solutions):
    solutions["weights.1.2"] = solutions["weights.1.2"] * 1.01
    with pytest.raises(UncertifiedError, match=r"seed 3, beta 0\.5, judged by the referee"):
        certify_run(run, solutions)


@pytest.mark.parametrize("name", ["weights", "dual"])
def test_solutions_of_another_seed_are_not_certified(run, solutions, name):
    solutions[f"{name}.0.0"] = solutions[f"{name}.1.0"]
    with pytest.raises(UncertifiedError, match="seed 7, beta 2"):
        certify_run(run, solutions)


@pytest.mark.parametrize(
    "entry", [{}, {"rank": 3}, {"energy": 0.5}, {"filter": {"kind": "ridge", "value": 0.1}}]
)
def test_run_is_read_from_its_artifacts(tmp_path, run, entry):
    full = whiten(run.features["X_train"])
    cut = full.filtered(**entry["filter"]) if "filter" in entry else full.truncate(**entry)
    gates = np.stack([sample_gates(cut.U, P, seed) for seed in SEEDS])
    sampled = {"seeds": np.array(SEEDS), "gates": gates, "seconds": np.array([1.0, 2.0])}
    files = [tmp_path / f"{name}.safetensors" for name in ("features", "whitening", "gates")]
    artifacts = (run.features, full.tensors() | {"seconds": np.array(0.5)}, sampled)
    for file, tensors in zip(files, artifacts, strict=True):
        save_tensors(file, tensors, {})
    read = Run.read(*files, {"gates": P, "betas": [1.0], "tolerance": 1e-5, "seeds": 2} | entry)
    assert read.settings == Settings(betas=[1.0], tolerance=1e-5)
    assert read.seeds == SEEDS
    np.testing.assert_array_equal(read.setup_seconds, [1.5, 2.5])
    np.testing.assert_array_equal(read.whitening.U, cut.U)
    expected = ("ridge", 0.1) if "filter" in entry else ("", np.nan)
    np.testing.assert_equal((read.filter_kind, read.filter_value), expected)
    solutions, _ = solve_run(read)
    save_tensors(tmp_path / "solutions.safetensors", solutions, {})
    stored = load_tensors(tmp_path / "solutions.safetensors")
    assert certify_run(read, stored) == certify_run(read, solutions)
    assert evaluate_run(read, stored) == evaluate_run(read, solutions)


def test_losses_are_the_fit_in_the_objective(run, solved):
    """The objective is n times the training loss, plus beta times the penalty."""
    solutions, history = solved
    certificates = certify_run(run, solutions)
    for place, row in enumerate(evaluate_run(run, solutions)):
        s, b = divmod(place, 3)
        W = solutions[f"weights.{s}.{b}"].double()
        objective = n * row["train_loss"] + row["beta"] * float(PENALTIES["group"].value(W))
        # Scores in float32.
        assert objective == pytest.approx(certificates[place]["objective"], rel=1e-5)
        scores = by_hand(run, run.features["X_test"], s, W.numpy())
        targets = np.eye(C)[run.features["labels_test"]]
        expected = 0.5 * ((scores - targets) ** 2).sum(axis=1).mean()
        assert row["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert all(row["train_loss"] <= history[0]["train_loss"] for row in history[-3:])


def test_losses_of_another_loss_are_its_own():
    """For signs: log_loss of the probabilities of the logistic loss, and of a single output."""
    features = make_features()
    for split in ("train", "validation", "test"):
        features[f"labels_{split}"] = (features[f"labels_{split}"] == 0).astype(np.int64)
    features["Y_train"] = 2 * features["labels_train"][:, None].astype(np.float32) - 1
    run = make_run(features, betas=(1.0,), loss="logistic")
    solutions, history = solve_run(run)
    for s, row in enumerate(evaluate_run(run, solutions)):
        last = [seen for seen in history if seen["seed"] == row["seed"]][-1]
        for split in ("train", "test"):
            scores = by_hand(run, features[f"X_{split}"], s, solutions[f"weights.{s}.0"])[:, 0]
            expected = log_loss(features[f"labels_{split}"], 1 / (1 + np.exp(-scores)))
            assert row[f"{split}_loss"] == pytest.approx(expected, rel=1e-5)  # float32
            assert last[f"{split}_loss"] == pytest.approx(expected, rel=1e-5)
        assert row["temperature"] > 0


# --- patches --------------------------------------------------------------------------------------


def patch_features(test=25):
    """The label is the brightest third of an image, cut into overlapping patches of 2 x 3."""
    rng, features = np.random.default_rng(1), {}
    for split, rows in (("train", n), ("validation", 15), ("test", test)):
        images = rng.standard_normal((rows, 1, 4, 6)).astype(np.float32)
        features[f"X_{split}"] = patches(images, (2, 3), stride=(1, 3))  # (K, rows, h)
        features[f"labels_{split}"] = images.reshape(rows, 4, C, 2).mean((1, 3)).argmax(axis=1)
    features["Y_train"] = np.eye(C, dtype=np.float32)[features["labels_train"]]
    return features


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_a_run_on_patches_trains_the_convolutional_network(penalty):
    """Pooled by the average: the recovered network has its objective, and its scores."""
    features = patch_features()
    K = len(features["X_train"])
    run = make_run(features, betas=(0.3,), penalty=penalty)
    assert run.patches == K == 6
    solutions, history = solve_run(run)
    certificates, rows = certify_run(run, solutions), evaluate_run(run, solutions)
    for s in range(2):
        W = solutions[f"weights.{s}.0"]
        solution = Solution(W, None, 0.3, penalty=penalty)
        pooled = {"patches": K, "pooling": "average"}
        network = recover_network(solution, run.whitening, gates=run.gates[s], **pooled)
        X = features["X_train"]
        objective = network_objective(network, X, features["Y_train"], 0.3)
        assert certificates[s]["converged"]
        # The network's sums run in another order, over a design with a condition number near 10.
        assert objective == pytest.approx(certificates[s]["objective"], rel=1e-9)
        for split in ("train", "validation", "test"):
            new = torch.as_tensor(features[f"X_{split}"], dtype=torch.float64)
            scores = network.predict(new)
            own = run.samples(split, s).scores(W.double())
            torch.testing.assert_close(own, scores, rtol=1e-8, atol=1e-10)
            share = (scores.argmax(dim=1).numpy() == features[f"labels_{split}"]).mean()
            assert rows[s][f"{split}_accuracy"] == share
    assert {row["rank"] for row in history} == {6}
    assert rows[0]["train_accuracy"] > 0.5  # of three classes


def test_no_test_patches_give_no_accuracy():
    run = make_run(patch_features(test=0), betas=(0.3,))
    solutions, history = solve_run(run)
    rows = evaluate_run(run, solutions)
    missing = ("test_accuracy", "test_loss")
    assert all(np.isnan(row[key]) for row in (*history, *rows) for key in missing)
    assert all(row["validation_accuracy"] > 0 for row in rows)


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "gain"), [("ridge", lambda s: s**2 / (s**2 + 0.3)), ("power", lambda s: s**0.3)]
)
def test_a_filter_is_a_price_on_small_directions(kind, gain):
    """The same program on the whitened design, with `||diag(1/f) s||` for the norm of a block."""
    run = make_run(betas=(0.5,), filtered={"kind": kind, "value": 0.3}, tolerance=1e-8)
    solutions, _ = solve_run(run)
    (certificate, _), (row, _) = certify_run(run, solutions), evaluate_run(run, solutions)
    full = whiten(run.features["X_train"])
    gains = np.append(gain(full.singular_values / full.singular_values[0]), 1)  # and the constant
    # Gates are drawn in the filtered space: a gate g there is the gate f g here.
    D = activation(full.U, gains[:, None] * run.gates[0])
    S = [cp.Variable((d + 1, C)) for _ in range(P)]
    fit = sum(D[:, [i]] * full.U @ S[i] for i in range(P)) - run.features["Y_train"]
    price = sum(cp.sum(cp.norm(cp.multiply(1 / gains[:, None], s), axis=0)) for s in S)
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(fit) + 0.5 * price))
    problem.solve(solver=cp.CLARABEL)
    assert certificate["objective"] == pytest.approx(problem.value, rel=1e-6)
    assert (row["filter_kind"], row["filter_value"], row["rank"]) == (kind, 0.3, d)
    assert 0 < row["energy"] < 1
