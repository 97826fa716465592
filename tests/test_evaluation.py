"""Accuracy, loss and calibration against scikit-learn, grids, and cases worked out by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torch.nn.functional import cross_entropy

from convexbn.evaluation import BINS, TEMPERATURES, accuracy, calibration, correct, mean_loss

KEYS = {"test_nll", "test_ece", "temperature"}


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([[1, 2], [3, 0], [0, 1]], [1, 0, 0], 2 / 3),
        ([[0.1], [-0.1], [0.0]], [1, 0, 0], 1.0),  # a single score: positive means class 1
        ([[0.1], [-0.1]], [0, 1], 0.0),
        (np.empty((0, 2)), [], np.nan),
        ([[np.nan, 1], [1, 0]], [1, 0], np.nan),
    ],
)
def test_accuracy(scores, labels, expected):
    assert accuracy(np.array(scores), np.array(labels)) == pytest.approx(expected, nan_ok=True)


def test_each_sample_is_correct_or_not():
    scores, labels = np.array([[1, 2], [3, 0], [0, 1]]), np.array([1, 0, 0])
    assert correct(scores, labels).tolist() == [True, True, False]
    assert correct(np.array([[0.1], [-0.1]]), np.array([0, 0])).tolist() == [False, True]
    assert correct(np.empty((0, 2)), np.array([], int)).shape == (0,)
    with pytest.raises(ValueError, match="scores must not be NaN"):
        correct(np.array([[np.nan, 1]]), np.array([1]))


# --- losses ---------------------------------------------------------------------------------------


def test_losses_per_sample():
    rng = np.random.default_rng(0)
    F, labels = rng.standard_normal((30, 4)), rng.integers(0, 4, 30)
    Y = np.eye(4)[labels]
    assert mean_loss(F, Y) == pytest.approx(((F - Y) ** 2).sum(axis=1).mean() / 2, rel=1e-12)
    expected = log_loss(labels, torch.as_tensor(F).softmax(dim=1).numpy())
    assert mean_loss(F, Y, "cross_entropy") == pytest.approx(expected, rel=1e-12)
    signs = 2 * (labels[:, None] > 1) - 1
    expected = log_loss(signs[:, 0], 1 / (1 + np.exp(-F[:, 0])))
    assert mean_loss(torch.as_tensor(F[:, :1]), signs, "logistic") == pytest.approx(expected)


def test_a_class_that_is_ruled_out_has_no_loss():
    assert mean_loss([[-np.inf, 0.0, 0.0]], [[0, 1, 0]], "cross_entropy") == pytest.approx(
        np.log(2)
    )
    assert mean_loss([[-np.inf, 0.0, 0.0]], [[1, 0, 0]], "cross_entropy") == np.inf


def test_no_samples_have_no_loss():
    assert np.isnan(mean_loss(np.empty((0, 3)), np.empty((0, 3))))
    assert np.isnan(mean_loss([[np.nan]], [[1.0]]))


# --- calibration ----------------------------------------------------------------------------------


def draw(n, C, seed, scale=1.0):
    """Labels that follow the softmax of scores, and these scores times `scale`."""
    rng = np.random.default_rng(seed)
    Z = 2 * rng.standard_normal((n, C))
    labels = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    return scale * Z, labels


def probabilities(scores, T):
    return torch.as_tensor(np.asarray(scores) / T).softmax(dim=1).numpy()


def nll(scores, labels, T):
    return float(cross_entropy(torch.as_tensor(scores / T), torch.as_tensor(labels)))


samples = st.tuples(st.integers(2, 60), st.integers(2, 5), st.integers(0, 2**32 - 1))


@given(samples, st.floats(0.02, 50))
def test_no_temperature_on_a_grid_fits_validation_better(shape, scale):
    scores, labels = draw(*shape, scale)
    T = calibration(scores, labels, scores, labels)["temperature"]
    assert np.log(T) == pytest.approx(0, abs=np.log(1e3) + 1e-9)
    grid = np.geomspace(*TEMPERATURES, 200)
    best = min(nll(scores, labels, other) for other in grid)
    assert nll(scores, labels, T) <= best + 1e-9


@given(samples)
def test_likelihood_and_error_are_those_of_the_test_samples(shape):
    validation, test = draw(*shape), draw(50, shape[1], seed=1)
    found = calibration(*test, *validation)
    assert found.keys() == KEYS
    T = found["temperature"]
    P = probabilities(test[0], T)
    assert found["test_nll"] == pytest.approx(nll(*test, T), rel=1e-12)
    assert found["test_ece"] == pytest.approx(error_by_bins(P, test[1]), abs=1e-12)


def error_by_bins(P, labels):
    """The expected calibration error bin by bin, edges and all as in Guo et al.'s code."""
    edges, confidence = np.linspace(0, 1, BINS + 1), P.max(axis=1)
    right, error = P.argmax(axis=1) == labels, 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


def test_the_temperature_of_the_truth_is_found():
    """Labels drawn from softmax(z), seen as 3 z: T is 3, to the error of 20,000 labels."""
    found = calibration(*draw(20_000, 4, 0, scale=3), *draw(20_000, 4, 1, scale=3))
    # The slope of the likelihood in 1/T has curvature of order 1: a standard error near 1 %.
    assert found["temperature"] == pytest.approx(3, rel=0.05)
    # The sum over 15 bins of errors of sqrt(p (1 - p) / 1,333) each, weighted.
    assert found["test_ece"] < 0.02


@given(samples, st.floats(0.1, 10))
def test_only_the_temperature_sees_the_scale_of_the_scores(shape, scale):
    (scores, labels), test = draw(*shape), draw(40, shape[1], seed=1)
    assume((scores.argmax(axis=1) != labels).any())  # else T is as small as rounding lets it be
    first = calibration(*test, scores, labels)
    second = calibration(scale * test[0], test[1], scale * scores, labels)
    assume(TEMPERATURES[0] * 10 < first["temperature"] < TEMPERATURES[1] / 10)  # inside
    # Bisection finds the zero of a slope that is a sum of rounded terms.
    assert second["temperature"] == pytest.approx(scale * first["temperature"], rel=1e-6)
    assert second["test_nll"] == pytest.approx(first["test_nll"], rel=1e-6)


def test_one_output_is_the_second_of_two():
    rng = np.random.default_rng(0)
    s, labels = rng.standard_normal((40, 1)), rng.integers(0, 2, 40)
    both = np.hstack([np.zeros_like(s), s])
    one = calibration(s[:20], labels[:20], s[20:], labels[20:])
    assert one == calibration(both[:20], labels[:20], both[20:], labels[20:])
    assert one == calibration(*map(torch.as_tensor, (s[:20], labels[:20], s[20:], labels[20:])))


# Three of four equal scores log 3 are right: the best probability is 3/4, at T = 1.
AT_ONE = np.full((4, 1), np.log(3)), np.array([1, 1, 0, 1])


def with_confidence(*groups):
    """Scores of one output, of (confidence, samples, how many of them are right)."""
    confidence = np.concatenate([np.full(size, p) for p, size, _ in groups])
    right = np.concatenate([np.arange(size) < count for _, size, count in groups])
    return np.log(confidence / (1 - confidence))[:, None], right.astype(int)


@pytest.mark.parametrize(
    ("groups", "error"),
    [
        ([(0.9, 10, 9)], 0.0),
        ([(0.9, 10, 6)], 0.3),
        ([(0.9, 10, 10)], 0.1),
        ([(0.9, 10, 8), (0.7, 5, 5)], (10 * 0.1 + 5 * 0.3) / 15),
        # Too sure and not sure enough in one bin, 9/15 to 10/15, cancel; in two they do not.
        ([(0.61, 100, 55), (0.65, 100, 71)], 0.0),
        ([(0.61, 100, 55), (0.69, 100, 75)], 0.06),
    ],
)
def test_calibration_errors_by_hand(groups, error):
    found = calibration(*with_confidence(*groups), *AT_ONE)
    assert found["temperature"] == pytest.approx(1, rel=1e-12)
    assert found["test_ece"] == pytest.approx(error, abs=1e-12)


def test_the_last_bin_holds_what_is_certain():
    """Certain and right nine times of ten, 0.95 and right 96 times of a hundred: they cancel."""
    nearly, right = with_confidence((0.95, 100, 96))
    scores, labels = np.vstack([nearly, np.full((10, 1), 800.0)]), np.append(right, [1] * 9 + [0])
    assert calibration(scores, labels, *AT_ONE)["test_ece"] == pytest.approx(0, abs=1e-12)


def test_perfect_and_worthless_scores():
    Z, labels = np.eye(4)[[0, 1, 2, 3, 3]], np.array([0, 1, 2, 3, 3])
    perfect = calibration(Z, labels, Z, labels)
    # Sharper than this, and the probabilities no longer change: exp(-37) is rounding beside 1.
    assert TEMPERATURES[0] <= perfect["temperature"] < 1 / 30
    assert perfect["test_nll"] < 1e-12
    for worthless in (-Z, 0 * Z):
        found = calibration(worthless, labels, worthless, labels)
        assert found["temperature"] == pytest.approx(TEMPERATURES[1])
        # Scores of size 1 at T = 1000 are within 1e-3 of equal chances.
        assert found["test_nll"] == pytest.approx(np.log(4), rel=1e-3)


def test_large_scores_do_not_overflow():
    scores, labels = draw(30, 3, 0, scale=1e250)
    found = calibration(scores, labels, scores, labels)
    assert np.isfinite(list(found.values())).all()


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, "none"])
def test_nothing_to_judge_by_gives_nothing(place, bad):
    arguments = [*draw(10, 3, 0), *draw(10, 3, 1)]
    if bad == "none":
        arguments[place : place + 2] = np.empty((0, 3)), np.empty(0, np.int64)
    else:
        arguments[place][4, 1] = bad
    found = calibration(*arguments)
    assert found.keys() == KEYS
    assert all(np.isnan(value) for value in found.values())


def test_scores_and_labels_must_have_the_same_length():
    scores, labels = draw(10, 3, 0)
    with pytest.raises(ValueError, match="validation_scores and validation_labels must have"):
        calibration(scores, labels, scores, labels[:-1])


# --- what callers hand in -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, -1], "labels must be whole numbers >= 0, got -1"),
        ([0, 1, 3], "labels must be below the number of classes, 3, got 3"),
        ([0, 1, 0.5], "labels must be whole numbers"),
        ([0, 1], "labels must have one row per sample, got 3 and 2"),
        ([[0], [1], [2]], r"must have shapes \(n, C\) and \(n,\), got \(3, 3\) and \(3, 1\)"),
        (["a", "b", "c"], "labels must be an array of real numbers"),
        ([0, 1, None], "labels must not have missing values"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
    scores = np.eye(3)
    with pytest.raises(ValueError, match=message):
        accuracy(scores, labels)
    with pytest.raises(ValueError, match=message):
        calibration(scores, labels, scores, [0, 1, 2])
    with pytest.raises(ValueError, match=message):
        calibration(scores, [0, 1, 2], scores, labels)


def test_a_loss_takes_scores_and_targets_of_one_shape():
    with pytest.raises(ValueError, match=r"shape \(n, C\), got \(3, 1\) and \(3,\)"):
        mean_loss(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match=r"loss must be one of .*, got 'hinge'"):
        mean_loss(np.ones((3, 1)), np.ones((3, 1)), "hinge")


def test_scores_of_any_kind_are_taken():
    scores, labels = draw(20, 3, 0)
    expected = accuracy(scores, labels), calibration(scores, labels, scores, labels)
    for values in (scores[::-1].copy()[::-1], scores.astype(">f8"), scores.astype(object)):
        for of in (labels, labels.astype(float), labels.tolist(), torch.tensor(labels)):
            found = accuracy(values, of), calibration(values, of, values, of)
            assert found == expected


@pytest.mark.parametrize(("loss", "Y"), [("logistic", 0.5), ("cross_entropy", 1.0)])
def test_targets_that_do_not_suit_the_loss_are_refused(loss, Y):
    with pytest.raises(ValueError, match="Y"):
        mean_loss(np.zeros((2, 1)), np.full((2, 1), Y), loss)
