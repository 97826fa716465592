"""The exact risk of SGD against moments by quadrature, and against simulation."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, ortho_group

from convexbn.experiments.ridge import problems, sgd
from convexbn.experiments.ridge.problems import Problem

# Sums of a few hundred positive terms in float64, in another order.
ROUNDING = {"rtol": 1e-10}


def samples_of(H):
    """Return nodes x (m, d) and weights of a quadrature for N(0, H), exact up to degree five."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = weights / weights.sum()
    d = len(H)
    grid = np.array(list(product(nodes, repeat=d)))
    weight = np.array([np.prod(some) for some in product(weights, repeat=d)])
    return grid @ np.linalg.cholesky(H).T, weight


def operator(H, step):
    """Return the matrix of M -> E[(I - step x x^T) M (I - step x x^T)] on all matrices M."""
    d = len(H)
    steps = [np.eye(d) - step * np.outer(x, x) for x in samples_of(H)[0]]
    return sum(p * np.kron(A, A) for p, A in zip(samples_of(H)[1], steps, strict=True))


def risk_by_full_moments(H, w, sigma2, step, N):
    """Return the risk of the average from E[e_s e_t^T] of all its pairs of iterates."""
    d, T = len(H), operator(H, step)
    M = [np.outer(w, w)]
    for _ in range(N):
        M.append((T @ M[-1].ravel()).reshape(d, d) + step**2 * sigma2 * H)
    mean = np.eye(d) - step * H
    total = np.zeros((d, d))
    for s in range(N // 2 + 1, N + 1):
        total += M[s]
        for t in range(s + 1, N + 1):
            later = np.linalg.matrix_power(mean, t - s) @ M[s]
            total += later + later.T
    return np.trace(H @ total) / (N // 2) ** 2


@pytest.mark.parametrize("share", [0.01, 0.4, 0.999])
@pytest.mark.parametrize("N", [2, 4, 10, 40])
def test_the_recursion_is_that_of_the_full_second_moment(share, N):
    """In a basis in which H is not diagonal, with the fourth moments by quadrature."""
    h, w = np.array([2.0, 0.7, 0.1]), np.array([1.0, -2.0, 3.0])
    case = Problem.of(h, w, [0.5])
    step = share * sgd.largest_step(h)
    Q = ortho_group.rvs(3, random_state=1)
    expected = risk_by_full_moments(Q @ np.diag(h) @ Q.T, Q @ w, 0.5, step, N)
    np.testing.assert_allclose(sgd.risks(case, [step], [N]).sum(), expected, **ROUNDING)


def test_outputs_add_up():
    rng = np.random.default_rng(0)
    h, w, noise = rng.random(4) + 0.1, rng.standard_normal((4, 3)), [0.1, 0.0, 2.0]
    steps = [0.1, 0.2]
    single = [Problem.of(h, w[:, c], [noise[c]]) for c in range(3)]
    total = sum(sgd.risks(case, steps, [6, 20]) for case in single)
    np.testing.assert_allclose(sgd.risks(Problem.of(h, w, noise), steps, [6, 20]), total)


def test_one_pass_gives_every_size_and_step():
    case = problems.power(7, 1, 1)
    steps, sizes = sgd.steps_for(case, 4), [10, 2, 16, 4, 10]
    together = sgd.risks(case, steps, sizes)
    alone = [[sgd.risks(case, [step], [N])[0, 0] for step in steps] for N in sizes]
    np.testing.assert_allclose(together, alone, **ROUNDING)


@pytest.mark.parametrize("decay", [1, 2])
def test_simulated_runs_have_the_exact_risk(decay):
    """One in 10^4 such tests would miss by so much by chance."""
    case = problems.power(6, decay, 1)
    step, N, runs = 0.5 * sgd.largest_step(case.h), 30, 4000
    found = sgd.simulate(case, step, N, runs, np.random.default_rng(0))
    error = found.std(ddof=1) / runs**0.5
    exact = sgd.risks(case, [step], [N]).sum()
    assert abs(found.mean() - exact) < norm.isf(1e-4 / 2) * error
    assert error < 0.03 * exact  # so that the test can fail


def test_units_do_not_matter():
    """Features times c, and the step by c^2, are the same descent."""
    case, c = problems.power(5, 1, 1), 3.0
    other = Problem.of(case.h * c**2, case.w / c, case.noise)
    np.testing.assert_allclose(sgd.largest_step(other.h) * c**2, sgd.largest_step(case.h))
    steps = sgd.steps_for(case, 5)
    np.testing.assert_allclose(sgd.steps_for(other, 5) * c**2, steps)
    first, second = sgd.risks(case, steps, [8]), sgd.risks(other, steps / c**2, [8])
    np.testing.assert_allclose(first, second, **ROUNDING)


@pytest.mark.parametrize("h", [[1.0], [1.0, 1.0], [5.0, 0.3], [1.0, 0.5, 0.25], [1e6, 1.0]])
def test_the_largest_step_is_where_the_second_moment_stops_contracting(h):
    """The operator on all matrices, not on their diagonals alone."""
    step = sgd.largest_step(np.array(h))
    assert step < 2 / sum(h)
    radii = [
        abs(np.linalg.eigvals(operator(np.diag(h), share * step))).max()
        for share in (0.99, 1.0, 1.01)
    ]
    assert radii[0] < 1 < radii[2]
    assert radii[1] == pytest.approx(1, abs=1e-9)


def test_the_largest_step_in_one_dimension_is_two_thirds():
    assert sgd.largest_step(np.array([4.0])) == pytest.approx(2 / (3 * 4))


def test_steps_within_two_over_the_trace_diverge_beyond_the_largest():
    """So 2 / tr H alone is not the condition."""
    case = problems.power(5, 1, 1)
    step, limit = 1.02 * sgd.largest_step(case.h), 2 / case.h.sum()
    assert step < limit
    with pytest.raises(ValueError, match="the largest that is stable in mean square"):
        sgd.risks(case, [step], [4])


@pytest.mark.parametrize(
    ("steps", "sizes", "words"),
    [
        ([0.1], [7], r"must be even and at least 2, got \[7\]"),
        ([0.1], [0], "must be even and at least 2"),
        ([0.1], [], "must be even and at least 2"),
        ([9.0], [4], r"steps must lie between 0 and .*2 / tr H = 0.8[0-9]* is beyond it"),
        ([0.1, 0.0], [4], "steps must lie between 0"),
        ([-0.1], [4], "steps must lie between 0"),
    ],
)
def test_wrong_steps_and_sizes_are_refused(steps, sizes, words):
    case = problems.power(5, 1, 1)
    with pytest.raises(ValueError, match=words):
        sgd.risks(case, steps, sizes)
    if len(sizes) and len(steps) == 1:
        with pytest.raises(ValueError, match=words):
            sgd.simulate(case, steps[0], sizes[0], 3, np.random.default_rng(0))
