"""The theory's synthetic data."""

import numpy as np

from convexbn.experiments.theory import data


def test_data_are_what_the_losses_ask_for():
    _, labels = data.signs(9, 2, seed=0)
    assert set(labels) == {-1, 1}
    _, Y = data.one_hot(9, 2, 4, seed=0)
    assert (Y.sum(axis=1) == 1).all()
    assert (Y.sum(axis=0) >= 2).all()
    X, y = data.curve(5, 0.0, seed=0)
    np.testing.assert_allclose(y, np.sin(np.pi * X.ravel()), atol=1e-15)
    assert data.images(3, [2, 4], seed=0)[0].shape == (3, 1, 2, 4)


def test_gates_do_not_repeat_the_numbers_of_the_data():
    X, y = data.regression(20, 3, 7)
    gates = np.random.default_rng(data.gates_of(7)).standard_normal(80)
    assert not np.isin(gates, np.r_[X.ravel(), y]).any()
