"""Calls: the nearest keyword is named, and warnings point at the caller's line."""

import inspect
import re

import numpy as np
import pytest
import torch

import convexbn
from convexbn import ConvexLayer, whiten
from convexbn.calls import public
from convexbn.estimators import (
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    network_path,
)


@public
def solved(design, *, max_iterations=5, tol=1e-6):
    return design, max_iterations, tol


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("max_iter", "max_iterations"),
        ("maxiter", "max_iterations"),
        ("tolerance", "tol"),
        ("desing", "design"),
    ],
)
def test_the_nearest_keyword_is_named(given, nearest):
    words = rf"solved\(\) got an unexpected keyword argument '{given}'; did you mean '{nearest}'"
    with pytest.raises(TypeError, match=words):
        solved(0, **{given: 1})


def test_without_a_near_one_all_are_named_and_right_calls_are_as_before():
    with pytest.raises(TypeError, match=r"'weight_decay'; it takes design, max_iterations, tol$"):
        solved(0, weight_decay=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'design'"):
        solved()
    assert solved(3, tol=0.1) == (3, 5, 0.1)
    assert list(inspect.signature(solved).parameters) == ["design", "max_iterations", "tol"]


PUBLIC = [getattr(convexbn, name) for name in convexbn.__all__]
# activation has names of one letter, and network_blocks is chosen by its first argument.
LEFT = convexbn.activation, convexbn.network_blocks
OWN = [function for function in PUBLIC if inspect.isfunction(function) and function not in LEFT]


@pytest.mark.parametrize(
    "function",
    [*OWN, ConvexBNClassifier, ConvexBNRegressor, ConvexBNClassifierCV, network_path],
    ids=lambda f: f.__name__,
)
def test_every_public_function_names_the_nearest_keyword(function):
    name = max(inspect.signature(function).parameters, key=len)
    words = rf"{function.__name__}\(\) .* '{name}s'; did you mean '{name}'"
    with pytest.raises(TypeError, match=words):
        function(**{name + "s": 0})
    assert {f.__name__ for f in OWN} >= {"solve", "certify", "sample_gates", "recover_network"}


def test_warnings_point_at_the_callers_line():
    X = np.column_stack([np.arange(9.0), 1e9 + 1e-9 * np.arange(9)])
    X[0, 1] += 1e-7
    with pytest.warns(UserWarning, match="vary by less than the rounding") as seen:
        whiten(X)
    assert [warning.filename for warning in seen] == [__file__]


def test_a_layer_is_one_of_them():
    with pytest.raises(
        TypeError, match=r"ConvexLayer\(\) got .* 'penalti'; did you mean 'penalty'"
    ):
        ConvexLayer(np.ones((3, 1), bool), penalti="group")


X, y = np.random.default_rng(0).standard_normal((9, 3)), np.arange(9.0) - 4
W = whiten(X)
D = W.U @ np.ones((4, 2)) >= 0
MISTAKES = {
    "one sample more": lambda: convexbn.solve(W.U, D, np.zeros(10), 0.1),
    "no patterns": lambda: convexbn.solve(W.U, W.U, y, 0.1),
    "several betas": lambda: convexbn.solve(W.U, D, y, [0.1, 0.2]),
    "several betas of an exact training": lambda: convexbn.train_exact(W.U, y, [0.1, 0.2]),
    "several betas of a certificate": lambda: convexbn.certify(
        W.U, D, y, [1, 2], np.zeros((4, 2, 1))
    ),
    "no beta": lambda: list(convexbn.solve_path(W.U, D, y, [])),
    "an unknown loss": lambda: convexbn.solve(W.U, D, y, 0.1, loss="hinge"),
    "labels of another loss": lambda: convexbn.solve(W.U, D, y, 0.1, loss="logistic"),
    "classes of an exact training": lambda: convexbn.train_exact(W.U, y, 0.1, loss="cross_entropy"),
    "several outputs": lambda: convexbn.train_exact(W.U, np.zeros((9, 2)), 0.1),
    "outputs of the ReLU network": lambda: convexbn.solve(W.U, D, X, 0.1, model="relu"),
    "a start of another shape": lambda: convexbn.solve(W.U, D, y, 0.1, initial=np.zeros(3)),
    "a start inside": lambda: convexbn.solve(X, D, y, 0.1, model="relu_bn", initial=np.zeros(3)),
    "weights of another shape": lambda: convexbn.certify(W.U, D, y, 0.1, np.zeros(3)),
    "no processes": lambda: convexbn.solve(W.U, D, y, 0.1, distributed=True),
    "no such device": lambda: convexbn.beta_max(W.U, D, y, device="gpu"),
    "no data": lambda: convexbn.whiten(np.zeros((5, 2))),
    "other features": lambda: W.transform(np.zeros((2, 5))),
    "no gates": lambda: convexbn.solve(W.U, D, y, 50.0).predict(W.U),
    "no solution": lambda: convexbn.recover_network(convexbn.solve(W.U, D, y, 50.0), W),
    "the rank": lambda: convexbn.closed_form(X, y, 0.1),
    "a derivative": lambda: ConvexLayer(D, loss="squared_hinge"),
}


def _public_words():
    owners = [convexbn, convexbn.Whitening, convexbn.Solution, ConvexLayer, np, np.ndarray]
    tensors = [torch, torch.Tensor, torch.distributed, "U", "D"]
    return {name for owner in [*owners, *tensors] for name in dir(owner)}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_refusal_names_nothing_that_a_caller_cannot_call(mistake):
    with pytest.raises((ValueError, TypeError)) as refused:
        MISTAKES[mistake]()
    words = str(refused.value)
    called = set(re.findall(r"([A-Za-z_][\w.]*)\(", words)) - {"n", "m"}
    assert {name.split(".")[-1] for name in called} <= _public_words(), words
    assert not re.search(r"(?<![\w/])_[a-z]|convexbn\.(programs|solvers|networks)", words), words
