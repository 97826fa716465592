"""Cross-validation: the weight decay that does best on what was held out."""

import pickle
import re
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, LeaveOneOut
from sklearn.utils.estimator_checks import parametrize_with_checks

from convexbn.estimators import (
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    network_path,
)
from convexbn.estimators.base import Report

rng = np.random.default_rng(0)
X = rng.standard_normal((40, 3))
y = np.abs(X[:, 0]) - 0.8 + 0.3 * rng.standard_normal(40)
FOLDS = KFold(2)


def test_scores_are_those_of_a_path_per_fold_and_the_best_is_taken():
    model = ConvexBNRegressorCV([0.01, 0.5, 5.0], n_gates=8, cv=FOLDS, random_state=0).fit(X, y)
    assert model.betas_.tolist() == [5.0, 0.5, 0.01]
    single = ConvexBNRegressor(n_gates=8, random_state=np.random.RandomState(0).randint(2**31))
    for fold, (train, held) in enumerate(FOLDS.split(X)):
        # Of half the samples, the weight decay is that over the square root of two.
        path = network_path(single, X[train], y[train], betas=model.betas_ / 2**0.5)
        assert model.scores_[:, fold].tolist() == [n.score(X[held], y[held]) for n in path]
    assert model.beta_ == model.betas_[model.scores_.mean(axis=1).argmax()]


def test_the_network_is_that_of_all_samples_at_the_chosen_beta():
    model = ConvexBNRegressorCV([0.01, 0.5, 5.0], n_gates=8, cv=2, tol=1e-8, random_state=0)
    model.fit(X, y)
    seed = np.random.RandomState(0).randint(2**31)
    alone = ConvexBNRegressor(model.beta_, n_gates=8, tol=1e-8, random_state=seed).fit(X, y)
    # Each is within its tolerance of the same optimum.
    assert model.certificate_.objective == pytest.approx(alone.certificate_.objective, rel=2e-8)
    assert model.score(X, y) == pytest.approx(alone.score(X, y), abs=1e-3)


def test_classes_are_chosen_by_accuracy():
    data = [part[::3] for part in load_iris(return_X_y=True)]
    model = ConvexBNClassifierCV(n_betas=3, eps=0.05, n_gates=8, cv=2, tol=1e-2, random_state=0)
    found = model.fit(*data).scores_
    assert found.shape == (3, 2)
    assert ((found >= 0) & (found <= 1)).all()
    assert model.score(*data) > 0.8
    assert model.beta_ < model.beta_max_


QUICK = {"n_betas": 2, "eps": 0.1, "n_gates": 16, "cv": 2, "tol": 1e-2}


@parametrize_with_checks([ConvexBNClassifierCV(**QUICK), ConvexBNRegressorCV(**QUICK)])
def test_it_is_an_estimator_as_scikit_learn_defines_them(estimator, check):
    check(estimator)


def test_missed_tolerances_of_all_folds_warn_once():
    model = ConvexBNRegressorCV([0.1, 0.01], n_gates=8, cv=2, tol=1e-9, max_iter=1, random_state=0)
    with pytest.warns(
        UserWarning, match="not certified.*and . others of 5 are not, either"
    ) as seen:
        model.fit(X, y)
    assert [(w.category, w.filename) for w in seen] == [(ConvergenceWarning, __file__)]


def interrupting(monkeypatch, rows):
    """Interrupt the solves of so many samples, after their first round."""

    def interrupt(self, snapshot):
        if len(snapshot.predictions) == rows and snapshot.iteration == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Report, "__call__", interrupt)
    return ConvexBNRegressorCV([0.5, 0.01], n_gates=8, cv=FOLDS, verbose=1, random_state=0)


def test_an_interrupt_ends_cross_validation(monkeypatch):
    """Half of the scores say nothing."""
    with pytest.raises(KeyboardInterrupt):
        interrupting(monkeypatch, len(X) // 2).fit(X, y)


def test_an_interrupt_of_the_last_path_leaves_the_best_network_so_far(monkeypatch):
    model = interrupting(monkeypatch, len(X))
    with pytest.warns(ConvergenceWarning, match="stopped by interrupt"):
        model.fit(X, y)
    assert model.certificate_.stopped == "interrupt"
    assert model.predict(X).shape == (40,)


def test_folds_speak_when_they_are_done_also_from_several_processes(capsys):
    model = ConvexBNRegressorCV(
        [5.0, 0.5], n_gates=8, cv=FOLDS, n_jobs=2, verbose=1, random_state=0
    )
    found = model.fit(X, y).scores_
    said = capsys.readouterr().err
    for fold in (1, 2):
        assert f"fold {fold}: 2 betas, best score {found[:, fold - 1].max():.3g} at beta" in said
    assert found == pytest.approx(model.set_params(n_jobs=None).fit(X, y).scores_)


def test_it_is_pickled_and_knows_the_columns_of_a_frame():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = ConvexBNRegressorCV([5.0, 0.5], n_gates=8, cv=FOLDS, random_state=0).fit(frame, y)
    assert model.whitening_.columns == ("a", "b", "c")
    found = pickle.loads(pickle.dumps(model))
    assert found.predict(frame).tolist() == model.predict(frame).tolist()
    with pytest.raises(ValueError, match="feature names"):
        found.predict(frame[["b", "a", "c"]])


def test_the_page_about_estimators_runs():
    page = (Path(__file__).parents[2] / "docs/estimators.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?:^    .*\n|^\n){6,}", page, re.MULTILINE)
    names: dict = {}
    exec(textwrap.dedent(block), names)
    assert names["accuracy"] > 0.9
    assert names["model"].certificate_.converged


def test_folds_whose_scores_mean_nothing_are_refused():
    few = slice(0, 6)
    model = ConvexBNRegressorCV([1.0, 0.1], n_gates=4, cv=LeaveOneOut(), tol=1e-2)
    with (
        pytest.raises(ValueError, match="fold 1 must be finite"),
        pytest.warns(UserWarning, match="R.2 score is not well-defined"),
    ):
        model.fit(X[few], y[few])


def test_folds_without_a_class_are_refused():
    labels = np.repeat([0, 1, 2], [20, 19, 1])
    model = ConvexBNClassifierCV([1.0], n_gates=4, cv=KFold(2), tol=1e-2)
    with pytest.raises(ValueError, match="must train on samples of all classes"):
        model.fit(X, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 100}, "eps must be between 0 and 1"),
        ({"eps": -0.01}, "eps must be between 0 and 1"),
        ({"n_betas": 0}, "n_betas must be from 1"),
        ({"betas": [0.5, -1]}, "beta must be > 0 and finite, got -1"),
    ],
)
def test_weight_decays_that_are_none_are_refused_by_both(options, message):
    with pytest.raises(ValueError, match=message):
        ConvexBNRegressorCV(n_gates=4, **options).fit(X, y)
    with pytest.raises(ValueError, match=message):
        network_path(ConvexBNRegressor(n_gates=4), X, y, **options)


def test_one_weight_decay_needs_no_list_and_zero_targets_have_none():
    assert ConvexBNRegressorCV(0.5, n_gates=4, cv=2, tol=1e-2).fit(X, y).beta_ == 0.5
    with pytest.raises(ValueError, match="y must not be zero for all samples"):
        ConvexBNRegressorCV(n_gates=4).fit(X, 0 * y)


def test_a_fold_that_is_too_small_says_how_small():
    wide = np.random.default_rng(0).standard_normal((24, 40))
    with pytest.raises(ValueError, match="in a fold of 16 training samples: rank must be from 1"):
        ConvexBNRegressorCV(rank=20, cv=3, random_state=0).fit(wide, wide[:, 0])
