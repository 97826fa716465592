"""Warnings of designs and targets: of those that are wrong, and of no others."""

import warnings

import numpy as np
import pytest
import torch

from convexbn import (
    activation,
    beta_max,
    patches,
    sample_gates,
    solve,
    solve_path,
    train_exact,
    whiten,
)
from convexbn.solvers.checks import counted_classes

rng = np.random.default_rng(0)
n = 40
X, y = rng.standard_normal((n, 4)) * [1, 10, 0.1, 3] + 5, rng.standard_normal(n)
W = whiten(X)
QUICK = {"tol": 1e-2}


def patterns(U, P=6):
    rows = U.reshape(-1, U.shape[-1])
    return activation(U, rng.standard_normal((rows.shape[1], P)))


IMAGES = patches(rng.standard_normal((n, 1, 4, 4)), 2, stride=2)  # (K, n, h)
OF_PATCHES = whiten(IMAGES.reshape(-1, IMAGES.shape[-1])).U.reshape(*IMAGES.shape[:2], -1)
LEGITIMATE = {
    "whitened": W.U,
    "truncated": W.truncate(2).U,
    "ridge": W.filtered("ridge", 1e-2).U,
    "power": W.filtered("power", 2.0).U,
    "gains of nearly zero": W.filtered("power", 60.0).U,
    "without the constant column": W.U[:, :-1],
    "rows in another order": W.U[::-1],
    "float32": W.U.astype(np.float32),
    "float16": W.U.astype(np.float16),
    "tensor": torch.from_numpy(W.U),
    "patches": OF_PATCHES,
    "average pooling": OF_PATCHES / len(OF_PATCHES),
    "a feature of nothing but zeros": np.column_stack([W.U[:, :2], np.zeros(n), W.U[:, -1]]),
    "more features than samples": whiten(rng.standard_normal((n, 60))).U,
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_a_design_that_is_whitened_is_solved_without_a_word(name):
    U = LEGITIMATE[name]
    D = patterns(U)
    with warnings.catch_warnings(action="error"):
        solve(U, D, y, beta_max(U, D, y) / 2, **QUICK)


NOT_WHITENED = {
    "the data": (X, "and are not orthogonal"),
    "standardized": ((X - X.mean(0)) / X.std(0) / n**0.5, "norms from 1 to 1 and are not"),
    "of unit variance": (n**0.5 * W.U, "norms from 6.32 to 6.32, above 1"),
    "half of the samples": (whiten(np.vstack([X, X + 1])).U[:n], "and are not orthogonal"),
    "patches of data": (IMAGES, "not orthogonal"),
}


@pytest.mark.parametrize("name", NOT_WHITENED)
@pytest.mark.parametrize("function", [solve, solve_path])
def test_a_design_that_is_not_warns_once_with_what_to_do(name, function):
    U, words = NOT_WHITENED[name]
    data = U, patterns(U), y
    ways = {
        solve: lambda: solve(*data, 0.2, tol=0.5),
        solve_path: lambda: list(solve_path(*data, [0.3, 0.2], tol=0.5)),
    }
    with pytest.warns(UserWarning, match=rf"not whitened.*{words}.*give whiten\(X\).U") as seen:
        ways[function]()
    assert [warning.filename for warning in seen] == [__file__]


def test_other_solvers_check_their_design_as_well():
    few = X[:6, :1]
    with pytest.warns(UserWarning, match="not whitened"):
        train_exact(few, y[:6], 20.0, starts=8, tol=0.5)
    with pytest.warns(UserWarning, match="not whitened"):
        solve(few, patterns(few), y[:6], 20.0, model="relu", tol=0.5)
    with warnings.catch_warnings(action="error"):
        solve(few, np.ones((6, 1), bool), y[:6], 20.0, model="relu_bn", tol=0.5)  # takes the data


def test_labels_as_targets_of_the_squared_loss_warn():
    labels = np.arange(n) % 10
    D = patterns(W.U)
    for targets in (labels, labels.astype("u1"), labels[:, None], torch.from_numpy(labels)):
        with pytest.warns(UserWarning, match=r"from 0 to 9, as labels of 10 .*np\.eye") as seen:
            solve(W.U, D, targets, 5.0, **QUICK)
        assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize(
    "targets",
    [
        np.arange(n) % 10.0,  # numbers, by the caller's word
        np.arange(n) % 2,  # two classes are on a line
        np.arange(n) % 5 + 1,  # ratings
        np.arange(n),  # too many for classes
        np.arange(n) % 4 * 3,
        np.arange(n) % 3 - 1,
        np.eye(3, dtype=int)[np.arange(n) % 3],
        np.arange(n) % 2 == 0,
    ],
    ids=str,
)
def test_numbers_as_targets_do_not(targets):
    assert counted_classes(targets) == 0
    D = patterns(W.U)
    with warnings.catch_warnings(action="error"):
        solve(W.U, D, targets, beta_max(W.U, D, targets) / 2, **QUICK)


def test_a_seed_changes_no_verdict_and_no_random_state():
    before = torch.random.get_rng_state()
    solve(W.U, activation(W.U, sample_gates(W.U, 5, 0)), y, 1.0, **QUICK)
    assert torch.equal(before, torch.random.get_rng_state())
