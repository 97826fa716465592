"""Cross-validation: the weight decay that does best on what was held out."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import KFold

from convexbn.estimators import (
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    network_path,
)

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


def test_the_page_about_estimators_runs():
    page = (Path(__file__).parents[2] / "docs/estimators.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?:^    .*\n|^\n){6,}", page, re.MULTILINE)
    names: dict = {}
    exec(textwrap.dedent(block), names)
    assert names["accuracy"] > 0.9
    assert names["model"].certificate_.converged
