"""Estimators: scikit-learn's own checks, and the network that the certificate is of."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from convexbn import network_objective
from convexbn.estimators import ConvexBNClassifier, ConvexBNRegressor, base
from convexbn.estimators.base import Report

rng = np.random.default_rng(0)
X = rng.standard_normal((8, 2))
y = np.abs(X[:, 0]) - 1
IRIS = load_iris(return_X_y=True)


# A loose tolerance, as the checks are of the interface.
LOOSE = {"n_gates": 4, "tol": 1e-2}


@parametrize_with_checks([ConvexBNRegressor(**LOOSE), ConvexBNClassifier(**LOOSE)])
def test_it_is_an_estimator_as_scikit_learn_defines_them(estimator, check):
    check(estimator)


@pytest.mark.parametrize("gates", ["sampled", "all"])
def test_the_certificate_is_that_of_the_network(gates):
    model = ConvexBNRegressor(0.1, gates=gates, n_gates=8, tol=1e-7, random_state=0).fit(X, y)
    found = network_objective(model.network_, X, y, 0.1)
    # Both are sums in float64; the network is built from weights that may be of float32.
    assert found == pytest.approx(model.certificate_.objective, rel=1e-6)
    assert model.n_neurons_ == model.network_.gamma.numel()
    assert model.predict(X) == pytest.approx(model.network_.predict(X)[:, 0], abs=1e-6)


def test_all_patterns_and_columns_find_the_same_optimum():
    every, found = (
        ConvexBNRegressor(0.5, gates=gates, tol=1e-5).fit(X, y) for gates in ("all", "columns")
    )
    # Each is within its tolerance of the optimum.
    assert found.certificate_.objective == pytest.approx(every.certificate_.objective, rel=2e-5)
    assert network_objective(found.network_, X, y, 0.5) == pytest.approx(
        found.certificate_.objective, rel=1e-6
    )


def test_the_network_is_zero_from_beta_max_on_and_not_below():
    model = ConvexBNRegressor(n_gates=8, random_state=0)
    top = model.fit(X, y).beta_max_
    assert model.set_params(beta=1.001 * top).fit(X, y).n_neurons_ == 0
    assert model.set_params(beta=0.99 * top, tol=1e-8).fit(X, y).n_neurons_ > 0


def test_probabilities_are_those_of_the_scores():
    pair = IRIS[1] < 2
    binary = ConvexBNClassifier(n_gates=8, random_state=0).fit(IRIS[0][pair], IRIS[1][pair])
    assert binary.loss_ == "logistic"
    scores = binary.decision_function(IRIS[0])
    assert scores.shape == (150,)
    assert binary.predict_proba(IRIS[0])[:, 1] == pytest.approx(expit(scores))
    for loss in ("auto", "logistic"):
        several = ConvexBNClassifier(0.5, n_gates=8, loss=loss, random_state=0).fit(*IRIS)
        found = several.predict_proba(IRIS[0])
        assert found.sum(axis=1) == pytest.approx(1)
        assert (found.argmax(axis=1) == several.predict(IRIS[0])).all()
        assert several.score(*IRIS) > 0.9
    assert not hasattr(ConvexBNClassifier(loss="squared"), "predict_proba")


@pytest.mark.parametrize("loss", ["squared", "squared_hinge"])
def test_losses_without_probabilities_tell_classes_apart(loss):
    model = ConvexBNClassifier(0.5, n_gates=8, loss=loss, random_state=0).fit(*IRIS)
    assert model.score(*IRIS) > 0.8
    assert model.decision_function(IRIS[0]).shape == (150, 3)


def test_a_filter_acts_and_has_no_network():
    filtered = ConvexBNRegressor(
        0.1, n_gates=8, filter={"kind": "ridge", "value": 0.1}, random_state=0
    ).fit(X, y)
    assert (filtered.whitening_.gains < 1).all()
    assert filtered.certificate_.converged
    with pytest.raises(AttributeError, match="no BN network"):
        _ = filtered.network_


def test_rank_and_energy_truncate():
    assert ConvexBNRegressor(rank=1, n_gates=4).fit(X, y).whitening_.rank == 1
    assert ConvexBNRegressor(energy=0.5, n_gates=4).fit(X, y).whitening_.rank == 1


def test_several_targets_have_several_outputs():
    both = np.column_stack([y, -y])
    model = ConvexBNRegressor(0.1, n_gates=8, penalty="nuclear", random_state=0).fit(X, both)
    assert model.predict(X).shape == (8, 2)


def test_a_missed_tolerance_warns_once_and_says_what_to_do():
    words = r"beta 0.1 is not certified to tol=1e-09.*raise max_iter \(now 1\), tol or beta"
    with pytest.warns(UserWarning, match=words) as seen:
        ConvexBNRegressor(0.1, n_gates=8, tol=1e-9, max_iter=1).fit(X, y)
    assert [(w.category, w.filename) for w in seen] == [(ConvergenceWarning, __file__)]


@pytest.mark.parametrize("gates", ["sampled", "all", "columns"])
def test_an_interrupted_fit_is_the_best_network_so_far(gates, monkeypatch):
    def interrupt(self, snapshot):
        if snapshot.iteration >= 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Report, "__call__", interrupt)
    model = ConvexBNRegressor(0.1, n_gates=8, gates=gates, tol=1e-9, verbose=1, random_state=0)
    with pytest.warns(UserWarning, match="stopped by interrupt.*best weights so far") as seen:
        model.fit(X, y)
    assert [w.category for w in seen] == [ConvergenceWarning]
    assert model.certificate_.stopped == "interrupt"
    found = network_objective(model.network_, X, y, 0.1)
    # As for a solve that ends: the network is built from weights that may be of float32.
    assert found == pytest.approx(model.certificate_.objective, rel=1e-6)


def test_labels_for_a_regressor_warn():
    labels = IRIS[1]
    model = ConvexBNRegressor(50.0, n_gates=4, random_state=0)
    with pytest.warns(
        UserWarning, match="labels of 3 classes are: take ConvexBNClassifier"
    ) as seen:
        model.fit(IRIS[0], labels)
    assert [w.filename for w in seen] == [__file__]
    with warnings.catch_warnings(action="error"):
        model.fit(IRIS[0], labels.astype(float))
        ConvexBNClassifier(50.0, n_gates=4).fit(*IRIS)


def test_columns_of_a_frame_in_another_order_are_refused():
    frame = pd.DataFrame(X, columns=["one", "two"])
    model = ConvexBNRegressor(0.1, n_gates=4, random_state=0).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["one", "two"]
    assert model.predict(frame).tolist() == model.predict(frame.copy()).tolist()
    for other in (frame[["two", "one"]], frame.rename(columns={"one": "three"})):
        with pytest.raises(ValueError, match="feature names"):
            model.predict(other)
        with pytest.raises(ValueError, match="must have the columns of the training data"):
            model.network_.predict(other)


def test_frames_pass_through_a_pipeline():
    frame = pd.DataFrame(X, columns=["one", "two"])
    scaler = StandardScaler().set_output(transform="pandas")
    pipe = make_pipeline(scaler, ConvexBNRegressor(0.1, n_gates=4, random_state=0))
    assert pipe.fit(frame, y)[-1].feature_names_in_.tolist() == ["one", "two"]
    assert pipe.predict(frame) == pytest.approx(pipe.fit(X, y).predict(X))


@pytest.mark.parametrize("estimator", [ConvexBNRegressor, ConvexBNClassifier])
def test_it_is_pickled_with_all_it_has_found(estimator):
    model = estimator(0.5, n_gates=4, random_state=0).fit(X, np.sign(y))
    found = pickle.loads(pickle.dumps(model))
    assert found.predict(X).tolist() == model.predict(X).tolist()
    assert found.certificate_ == model.certificate_
    assert found.network_.predict(X).tolist() == model.network_.predict(X).tolist()


def test_the_nearest_parameter_is_named():
    with pytest.raises(TypeError, match=r"ConvexBNRegressor\(\) .* did you mean 'max_iter'"):
        ConvexBNRegressor(max_iterations=5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_gates": 0}, "n_gates must be at least 1, got 0"),
        ({"n_gates": 1e2}, "n_gates must be a whole number at least 1, got 100.0"),
        ({"max_iter": 0}, "max_iter must be from 1 to 1000000000, got 0"),
        ({"filter": "ridge"}, "filter must have a kind and a value, such as .* got 'ridge'"),
        ({"filter": {"kind": "ridge", "c": 0.1}}, "filter must have a kind and a value"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_given(settings, words):
    with pytest.raises(ValueError, match=words):
        ConvexBNRegressor(**settings).fit(X, y)


def test_unknown_gates_and_one_class_are_refused():
    with pytest.raises(ValueError, match="gates must be one of 'sampled'"):
        ConvexBNRegressor(gates="some").fit(X, y)
    with pytest.raises(ValueError, match="at least two classes, got one"):
        ConvexBNClassifier().fit(X, np.full(8, 3))


def test_it_speaks_while_it_solves(capsys):
    ConvexBNRegressor(0.1, n_gates=4, verbose=1).fit(X, y)
    assert "beta 0.1, round 0" in capsys.readouterr().err


def test_a_grid_over_a_pipeline_finds_a_setting():
    pipe = make_pipeline(StandardScaler(), ConvexBNClassifier(n_gates=8, random_state=0))
    grid = GridSearchCV(pipe, {"convexbnclassifier__beta": [50.0, 1.0]}, cv=2).fit(*IRIS)
    assert grid.best_params_ == {"convexbnclassifier__beta": 1.0}


def test_rounding_in_float32_is_no_feature_for_the_estimators_either():
    columns = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    mixed = columns.astype(np.float64)
    mixed = np.c_[mixed, mixed @ [1 / 3, 0.7], mixed @ [1.1, -0.3]].astype(np.float32)
    labels = (columns[:, 0] > 0).astype(int)
    for model in (ConvexBNRegressor(**LOOSE), ConvexBNClassifier(**LOOSE)):
        for data in (mixed, pd.DataFrame(mixed)):
            assert model.fit(data, labels.astype(float)).whitening_.rank == 2


def test_without_gates_the_network_is_zero_from_beta_max_on_too():
    """What a search finds is the same for every seed, where one gate's is not."""
    tops = [
        ConvexBNRegressor(1.0, gates="columns", random_state=seed).fit(X, y).beta_max_
        for seed in (0, 1)
    ]
    assert tops[0] == pytest.approx(tops[1], rel=1e-6)  # of Newton's method on the smoothed kink
    model = ConvexBNRegressor(1.001 * tops[0], gates="columns")
    assert model.fit(X, y).n_neurons_ == 0
    assert model.set_params(beta=0.99 * tops[0]).fit(X, y).n_neurons_ > 0


def test_without_gates_the_limit_counts_and_vector_outputs_are_refused():
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model = ConvexBNRegressor(1e-4, gates="columns", max_iter=1, tol=1e-9).fit(X, y)
    assert model.n_iter_ <= 2  # one, and one on the neurons' own cones
    with pytest.raises(ValueError, match="penalty of gates='columns' must be"):
        ConvexBNRegressor(gates="columns", penalty="nuclear").fit(X, y)


def test_the_limit_of_a_search_is_the_one_that_its_warning_names(monkeypatch):
    real, seen = base.columns.generated, []

    def generated(*terms, **settings):
        seen.append(settings["max_iterations"])
        return real(*terms, **settings)

    monkeypatch.setattr(base.columns, "generated", generated)
    model = ConvexBNRegressor(1.0, gates="columns").fit(X, y)
    assert seen == [model.max_iter]


def test_two_classes_may_have_the_loss_of_several():
    pair = IRIS[1] < 2
    data = IRIS[0][pair], np.array(["one", "two"])[IRIS[1][pair]]
    model = ConvexBNClassifier(n_gates=8, loss="cross_entropy", random_state=0).fit(*data)
    scores = model.decision_function(data[0])
    assert scores.shape == (100,)
    assert model.predict_proba(data[0])[:, 1] == pytest.approx(expit(scores))
    assert (model.predict(data[0]) == np.where(scores > 0, "two", "one")).all()
    assert model.score(*data) > 0.95


def test_probabilities_have_their_tails():
    """Far from the data all odds underflowed, their shares were NaN, and 1 - p was rounding."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    far = 1e6 * rng.standard_normal((200, 3))
    settings = {"beta": 1e-3, "n_gates": 16, "random_state": 0, "loss": "logistic"}
    several = ConvexBNClassifier(**settings).fit(X, labels)
    scores = several.decision_function(far)
    found = several.predict_proba(far)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    lost = scores.max(axis=1) < -1000  # there the logarithm of the odds is the score
    assert lost.any()
    np.testing.assert_allclose(found[lost], softmax(scores[lost], axis=1))
    binary = ConvexBNClassifier(**settings).fit(X, labels > 0)
    scores = binary.decision_function(30 * far / 1e6)
    assert (scores > 50).any()
    np.testing.assert_allclose(binary.predict_proba(30 * far / 1e6)[:, 0], expit(-scores))
