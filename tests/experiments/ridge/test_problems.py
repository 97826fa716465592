"""Problems of least squares: what they hold, and what they refuse."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convexbn.experiments.ridge import problems
from convexbn.whitening import whiten


@pytest.fixture(scope="module")
def digits():
    """Images, one-hot labels, and the whitening of the images."""
    X, labels = load_digits(return_X_y=True)
    X, Y = X[:300], np.eye(10)[labels[:300]]
    return X, Y, whiten(X)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0, 0.0], [1, 1]), "must be a list of positive numbers, got 0.0"),
        (([1.0, -2.0], [1, 1]), "must be a list of positive numbers, got -2.0"),
        (([], []), r"positive numbers, got shape \(0,\)"),
        (([1.0, np.nan], [1, 1]), "NaN"),
        (([1.0, 2.0], [1, 1, 1]), "eigenvalues"),
        (([1.0], [1], [1.0, 1.0]), "noise must be a list of 1 variances"),
        (([1.0], [1], [-1.0]), "variances >= 0"),
    ],
)
def test_a_wrong_problem_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        problems.Problem.of(*arguments)


def test_the_regression_of_the_labels_is_that_of_numpy(digits):
    """In the coordinates of the singular directions; and its noise is of the residuals."""
    X, Y, whitening = digits
    case = problems.of_images(whitening, Y)
    A = np.column_stack([X, np.ones(len(X))])
    coefficients, *_ = np.linalg.lstsq(A, Y, rcond=None)
    # Scores of samples, as pixels that never vary leave coefficients open.
    scores = (X - whitening.mean) @ whitening.V @ case.w
    np.testing.assert_allclose(scores + Y.mean(axis=0), A @ coefficients, atol=1e-9)
    residuals = ((Y - A @ coefficients) ** 2).sum(axis=0)
    np.testing.assert_allclose(case.noise, residuals / (300 - 1 - whitening.rank), rtol=1e-9)
    covariance = np.cov(X.T, bias=True)
    np.testing.assert_allclose(case.h.sum(), np.trace(covariance), rtol=1e-9)
    np.testing.assert_allclose(case.start, ((A @ coefficients - Y.mean(axis=0)) ** 2).sum() / 300)


def test_noise_is_taken_out_of_a_regression_of_noise_alone():
    """Labels without signal: what is left is a small part of what regression put there."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((400, 100)), rng.standard_normal((400, 10))
    case = problems.of_images(whiten(X), Y)
    left = problems.denoised(case, 400)
    assert case.start == pytest.approx(10 * 100 / 400, rel=0.1)  # sigma^2 r / n
    assert left.start < 0.25 * case.start
    # With signal in one direction, that one stays.
    strong = problems.denoised(problems.of_images(whiten(X), Y + 9 * X[:, :1]), 400)
    assert strong.start == pytest.approx(10 * 81, rel=0.1)


def test_images_that_regression_would_fit_exactly_are_refused():
    X = np.random.default_rng(0).standard_normal((9, 20))
    with pytest.raises(ValueError, match="expected more than 9 images to regress"):
        problems.of_images(whiten(X), np.eye(9))
    with pytest.raises(ValueError, match="the whitened images"):
        problems.of_images(whiten(X.T), np.eye(9))


def test_one_output_may_be_a_vector(digits):
    _, Y, whitening = digits
    first, second = problems.of_images(whitening, Y[:, 3]), problems.of_images(whitening, Y[:, 3:4])
    np.testing.assert_array_equal(first.w, second.w)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((10, 1, 40.0), "the tail's eigenvalues must be below that of the head, 1, and are 2"),
        ((10, 0, 0.1), "signal must be > 0"),
        ((10, 1, -0.1), "energy must be > 0"),
        ((0, 1, 0.1), "tail"),
    ],
)
def test_a_wrong_gap_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        problems.head(*arguments)


def test_the_tail_of_the_gap_has_the_energy_that_was_asked_for():
    case = problems.head(tail=50, signal=10, energy=0.2)
    assert case.start == pytest.approx(100)
    assert 100 * (case.h[1:] ** 2).sum() == pytest.approx(0.2)
