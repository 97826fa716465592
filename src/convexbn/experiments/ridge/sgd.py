"""The risk of averaged one-pass SGD on normal data: exactly, and by simulation.

A step on a fresh sample is `e' = (I - gamma x x^T) e + gamma eps x` for the error e = w - w*. For
x ~ N(0, H), `E[x x^T M x x^T] = 2 H M H + tr(H M) H`, so the second moment M = E[e e^T] becomes

    M' = M - gamma (H M + M H) + gamma^2 (2 H M H + tr(H M) H + sigma^2 H).

In H's eigenbasis its diagonal m depends on the diagonal alone: `tr(H M) = <h, m>`, and

    m' = ((1 - gamma h)^2 + gamma^2 h^2) m + gamma^2 h (<h, m> + sigma^2).

The risk `sum_i h_i E[avg_i^2]` of an average needs no more: given e_s, the mean of a later e_t is
`(I - gamma H)^(t - s) e_s`, so `E[e_s,i e_t,i] = (1 - gamma h_i)^(t - s) m_s,i`. With the sum
S_t of the iterates so far, c_t = E[e_t,i S_t,i] and v_t = E[S_t,i^2] follow

    c_t = (1 - gamma h_i) c_(t-1) + m_t,      v_t = v_(t-1) + 2 c_t - m_t.

These are sums of positive terms while gamma h < 1, in float64: there is nothing random in them.

**Stability.** The map of m is `diag(1 - 2 gamma h + 2 gamma^2 h^2) + gamma^2 h h^T`, symmetric with
positive entries. It contracts if and only if `2 diag(gamma h (1 - gamma h)) - gamma^2 h h^T` is
positive definite, that is, if gamma h_i < 1 for all i and `sum_i gamma h_i / (1 - gamma h_i) < 2`.
Off the diagonal, M_ij is multiplied by `1 - a - b + 2 a b` with a, b = gamma h_i, gamma h_j in
(0, 1), which is between 0 and 1. So the step at which this sum is 2, always below 2 / tr H, is the
largest that is stable in mean square.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from convexbn.experiments.ridge.problems import Problem
from convexbn.inputs import ArrayLike, as_array

LOWEST = 1e-4  # smallest step tried, as a share of the largest stable one


def largest_step(h: np.ndarray) -> float:
    """Return the step below which SGD on normal data is stable in mean square."""
    scaled = h / h[np.argmax(h)]  # steps between 0 and 1

    def excess(step: float) -> float:
        return float((step * scaled / (1 - step * scaled)).sum()) - 2

    return brentq(excess, 0.0, 1 - 1e-12, xtol=1e-15) / float(h.max())


def steps_for(problem: Problem, count: int) -> np.ndarray:
    """Return `count` log-spaced steps to try, the largest stable one among them."""
    return np.geomspace(LOWEST, 1, count) * largest_step(problem.h)


def risks(problem: Problem, steps: ArrayLike, sizes: Sequence[int]) -> np.ndarray:
    """Return the exact risk along each direction, for each number of samples and each step.

    One pass of the recursion serves all sizes and steps.

    Parameters
    ----------
    problem : Problem
    steps : array, shape (G,)
    sizes : sequence of int
        Numbers N of samples, even.

    Returns
    -------
    ndarray, shape (len(sizes), G, d)
        Its sum over the last axis is the risk.

    Raises
    ------
    ValueError
        If a size is odd or not positive, or a step is not positive or beyond the stable ones.
    """
    _check_sizes(sizes)
    gamma = _stable(problem, steps)[:, None]
    h, sigma2 = problem.h, problem.noise.sum()
    keep = 1 - gamma * h  # (G, d)
    own, shared = keep**2 + (gamma * h) ** 2, gamma**2 * h
    m = np.tile((problem.w**2).sum(axis=1), (len(gamma), 1))  # (G, d)
    result = np.empty((len(sizes), *m.shape))
    windows: dict[int, list[np.ndarray]] = {}  # size to c and v, while iterates are averaged
    for t in range(1, max(sizes) + 1):
        level = (m @ h + sigma2)[:, None]
        m *= own
        m += shared * level
        windows |= {N: [np.zeros_like(m), np.zeros_like(m)] for N in sizes if t == N // 2 + 1}
        for c, v in windows.values():
            c *= keep
            v += c
            c += m
            v += c  # v + 2 c - m
        if t in windows:
            _, v = windows.pop(t)
            result[[i for i, N in enumerate(sizes) if t == N]] = h * v / (t // 2) ** 2
    return result


def simulate(
    problem: Problem, step: float, size: int, runs: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the risks of independent runs, shape (runs,), with fresh normal samples.

    Raises
    ------
    ValueError
        As :func:`risks`.
    """
    _check_sizes([size])
    _stable(problem, [step])
    h, w = problem.h, problem.w
    error = np.tile(-w, (runs, 1, 1))  # (runs, d, C)
    total = np.zeros_like(error)
    for t in range(1, size + 1):
        x = rng.standard_normal((runs, len(h), 1)) * np.sqrt(h)[:, None]
        noise = rng.standard_normal((runs, 1, w.shape[1])) * np.sqrt(problem.noise)
        error -= step * x * (x.transpose(0, 2, 1) @ error - noise)
        if t > size // 2:
            total += error
    return np.einsum("rdc,d->r", (total / (size // 2)) ** 2, h)


def _check_sizes(sizes: Sequence[int]) -> None:
    wrong = [N for N in sizes if N < 2 or N % 2]
    if wrong or not len(sizes):
        raise ValueError(
            f"numbers of samples must be even and at least 2, got {wrong}: SGD averages the last "
            "half of its iterates; take the next even number"
        )


def _stable(problem: Problem, steps: ArrayLike) -> np.ndarray:
    gamma, limit = as_array("steps", steps), largest_step(problem.h)
    if gamma.ndim != 1 or not (gamma > 0).all() or not (gamma <= limit * (1 + 1e-9)).all():
        raise ValueError(
            f"steps must lie between 0 and {limit:.6g}, the largest that is stable in mean square "
            f"(2 / tr H = {2 / problem.h.sum():.6g} is beyond it), got {gamma.min():g} to "
            f"{gamma.max():g}; choose smaller steps"
        )
    return gamma
