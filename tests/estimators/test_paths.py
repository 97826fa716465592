"""Paths of networks: each is the one that a fit of its own would give."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from convexbn.estimators import (
    ConvexBNClassifier,
    ConvexBNRegressor,
    ConvexBNRegressorCV,
    network_path,
)
from convexbn.estimators.base import Report

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 3))
y = np.abs(X[:, 0]) + X[:, 1] - 1


def test_each_network_of_a_path_is_that_of_its_beta():
    single = ConvexBNRegressor(n_gates=8, tol=1e-8, random_state=0)
    path = network_path(single, X, y, betas=[0.1, 1.0])
    assert [network.beta for network in path] == [1.0, 0.1]
    for network in path:
        alone = ConvexBNRegressor(network.beta, n_gates=8, tol=1e-8, random_state=0).fit(X, y)
        # Each is within its tolerance of the same optimum.
        assert network.certificate_.objective == pytest.approx(
            alone.certificate_.objective, rel=2e-8
        )
        assert network.predict(X) == pytest.approx(alone.predict(X), abs=1e-3)
    with pytest.raises(NotFittedError):
        single.predict(X)


def test_the_default_path_begins_at_the_zero_network():
    labels = load_iris().target
    path = network_path(
        ConvexBNClassifier(n_gates=4, random_state=0), load_iris().data, labels, n_betas=3, eps=0.1
    )
    top = path[0].beta_max_
    assert [network.beta / top for network in path] == pytest.approx([1, 0.1**0.5, 0.1])
    assert path[0].n_neurons_ == 0
    assert path[2].n_neurons_ > 0


@pytest.mark.parametrize("gates", ["all", "columns"])
def test_an_interrupt_ends_a_path_with_the_best_so_far(gates, monkeypatch):
    def interrupt(self, snapshot):
        if snapshot.beta == 0.5 and snapshot.iteration >= 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Report, "__call__", interrupt)
    single = ConvexBNRegressor(gates=gates, rank=1, tol=1e-9, verbose=1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="stopped by interrupt"):
        path = network_path(single, X[:12], y[:12], betas=[1.0, 0.5, 0.2, 0.1])
    stopped = [(network.beta, network.certificate_.stopped) for network in path]
    assert stopped == [(1.0, "tolerance"), (0.5, "interrupt")]


@pytest.mark.parametrize("gates", ["all", "columns"])
def test_networks_of_one_output_are_not_asked_for_several(gates):
    words = f"gates='{gates}' trains networks of one output, got 3 outputs"
    with pytest.raises(ValueError, match=words):
        ConvexBNClassifier(gates=gates).fit(*load_iris(return_X_y=True))
    with pytest.raises(ValueError, match=f"penalty of gates='{gates}' must be 'group'"):
        ConvexBNRegressor(gates=gates, penalty="nuclear").fit(X, y)


@pytest.mark.parametrize("eps", [0, 1, "a", None])
def test_the_end_of_a_path_is_a_share(eps):
    with pytest.raises(ValueError, match="eps must be between 0 and 1, got"):
        network_path(ConvexBNRegressor(n_gates=4), X, y, eps=eps)


def test_an_estimator_that_chooses_its_beta_has_no_path():
    with pytest.raises(ValueError, match=r"must have one beta, .* got a ConvexBNRegressorCV"):
        network_path(ConvexBNRegressorCV(), X, y)
