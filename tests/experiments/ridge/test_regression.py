"""The risk of ridge regression against NumPy's least squares, and against known expectations."""

import numpy as np
import pytest
from scipy.stats import norm

from convexbn.experiments.ridge import problems, regression
from convexbn.experiments.ridge.problems import Problem


def risk_by_lstsq(case, X, penalty):
    """Return the risk along each direction given X, from the estimator as a matrix on y."""
    n, d = X.shape
    A = np.vstack([X, np.sqrt(penalty) * np.eye(d)])
    onto, *_ = np.linalg.lstsq(A, np.eye(n + d)[:, :n], rcond=None)  # (d, n): w = onto y
    bias = onto @ X @ case.w - case.w
    variance = case.noise.sum() * (onto**2).sum(axis=1)
    return case.h * ((bias**2).sum(axis=1) + variance)


@pytest.mark.parametrize("n", [1, 4, 5, 6, 30])
def test_the_closed_form_is_that_of_least_squares(n):
    """With fewer samples than features, as many, and more; two outputs."""
    rng = np.random.default_rng(n)
    case = Problem.of(rng.random(5) + 0.1, rng.standard_normal((5, 2)), [0.3, 1.0])
    X = rng.standard_normal((n, 5)) * np.sqrt(case.h)
    penalties = [0.01, 1.0, 50.0] + ([0.0] if n > 5 else [])
    found = regression.risks(case, regression.factor(X), penalties)
    expected = [risk_by_lstsq(case, X, penalty) for penalty in penalties]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def mean_risks(case, n, penalties, draws):
    """Return the means over draws and their standard errors."""
    rng = np.random.default_rng(0)
    found = [
        regression.risks(case, regression.factor(regression.draw(case, n, rng)), penalties).sum(1)
        for _ in range(draws)
    ]
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / draws**0.5


def test_least_squares_has_its_known_risk():
    """Without penalty `sigma^2 d / (n - d - 1)`, whatever H and w: for Bartlett's factor."""
    mean, error = mean_risks(problems.power(6, 1, 0), 20, [0.0], 3000)
    assert abs(mean[0] - 6 / 13) < norm.isf(1e-4 / 2) * error[0]
    assert error[0] < 0.02


def test_drawn_factors_have_the_law_of_samples():
    """Bartlett's factor at n = d against d rows of samples."""
    case, penalties = problems.power(8, 1, 1), [0.3, 3.0]
    mean, error = mean_risks(case, 8, penalties, 2000)
    rng = np.random.default_rng(1)
    rows = [rng.standard_normal((8, 8)) * np.sqrt(case.h) for _ in range(2000)]
    plain = [regression.risks(case, regression.factor(X), penalties).sum(axis=1) for X in rows]
    errors = np.hypot(error, np.std(plain, axis=0, ddof=1) / 2000**0.5)
    assert (abs(mean - np.mean(plain, axis=0)) < norm.isf(1e-4 / 2) * errors).all()
    assert (errors < 0.05 * mean).all()


@pytest.mark.parametrize("n", [3, 8, 50])
def test_drawn_factors_have_the_covariance_of_samples(n):
    case = problems.power(8, 1, 1)
    rng = np.random.default_rng(0)
    grams = np.array([X.T @ X for X in (regression.draw(case, n, rng) for _ in range(4000))])
    # Var (X^T X)_ij = n h_i h_j (1 + [i = j]); five standard errors for 64 entries.
    scale = np.sqrt(n * np.outer(case.h, case.h) * (1 + np.eye(8)) / 4000)
    assert (abs(grams.mean(axis=0) - n * np.diag(case.h)) < 5 * scale).all()
    variance = grams.var(axis=0) / (n * np.outer(case.h, case.h) * (1 + np.eye(8)))
    np.testing.assert_allclose(variance, 1, atol=0.3)


def test_units_do_not_matter():
    case, c = problems.power(5, 1, 1), 3.0
    other = Problem.of(case.h * c**2, case.w / c, case.noise)
    values = [regression.penalties_for(some, 9, 4) for some in (case, other)]
    np.testing.assert_allclose(values[0] * c**2, values[1])
    draws = [regression.draw(some, 9, np.random.default_rng(0)) for some in (case, other)]
    risks = [
        regression.risks(*parts)
        for parts in zip((case, other), map(regression.factor, draws), values, strict=True)
    ]
    np.testing.assert_allclose(*risks, rtol=1e-9)


def test_no_penalty_is_tried_only_with_as_many_samples_as_features():
    case = problems.power(5, 1, 1)
    assert regression.penalties_for(case, 4, 3).min() > 0
    assert regression.penalties_for(case, 5, 3)[0] == 0


@pytest.mark.parametrize(
    ("n", "penalties", "words"),
    [
        (4, [1.0, 0.0], "lambda = 0 has no unique solution with 4 samples of 5 features"),
        (9, [-1.0], "lambda must be a list of numbers >= 0"),
        (9, [[1.0]], "lambda must be a list of numbers >= 0"),
    ],
)
def test_wrong_penalties_are_refused(n, penalties, words):
    case = problems.power(5, 1, 1)
    factors = regression.factor(regression.draw(case, n, np.random.default_rng(0)))
    with pytest.raises(ValueError, match=words):
        regression.risks(case, factors, penalties)
