"""Problems of least squares in the eigenbasis of H: its eigenvalues, w*, and the noise.

A rotation of the features changes neither estimator, so H is diagonal here. With C outputs the
risk is the sum of theirs.
"""

from dataclasses import dataclass

import numpy as np

from convexbn.inputs import ArrayLike, as_array, check_between, check_positive, check_same_length
from convexbn.whitening import Whitening


@dataclass(frozen=True)
class Problem:
    """Samples x ~ N(0, diag(h)) with targets `y = w*^T x + noise`.

    Attributes
    ----------
    h : ndarray, shape (d,)
        Eigenvalues, positive.
    w : ndarray, shape (d, C)
        The target w*.
    noise : ndarray, shape (C,)
        Variances.
    """

    h: np.ndarray
    w: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, h: ArrayLike, w: ArrayLike, noise: ArrayLike = (1.0,)) -> "Problem":
        """Check a spectrum (d,), a target (d,) or (d, C), and variances of noise (C,).

        Raises
        ------
        ValueError
            If an eigenvalue is not positive, a variance is negative, or the shapes do not fit.
        """
        h, w, noise = as_array("eigenvalues", h), as_array("w", w), as_array("noise", noise)
        if h.ndim != 1 or not len(h) or not (h > 0).all():
            raise ValueError(
                "the eigenvalues of H must be a list of positive numbers, got "
                f"{'shape ' + str(h.shape) if h.ndim != 1 or not len(h) else h.min()}; leave out "
                "directions in which the data do not vary"
            )
        w = w[:, None] if w.ndim == 1 else w
        check_same_length("eigenvalues", h, "w", w)
        if noise.shape != w.shape[1:] or not (noise >= 0).all():
            raise ValueError(
                f"noise must be a list of {w.shape[1]} variances >= 0, one per output of w, got "
                f"{noise.tolist()}"
            )
        return cls(h, w, noise)

    @property
    def start(self) -> float:
        """The risk of w = 0."""
        return float(self.h @ (self.w**2).sum(axis=1))


def power(d: int, decay: float, target: float) -> Problem:
    """Return the problem of the paper's simulations: H = diag(i^-decay), w*_i = i^-target."""
    check_between("d", d, 1, 10**6)
    i = np.arange(1.0, d + 1)
    return Problem.of(i**-decay, i**-target)


def head(tail: int, signal: float, energy: float) -> Problem:
    """Return a problem on which ridge regression needs on the order of N^2 samples for SGD's N.

    H has one eigenvalue 1, which w* = a e_1 lies along (a is `signal`), and a flat tail of `tail`
    eigenvalues h with `a^2 sum h^2 = energy`, E. The tail holds noise alone, which neither
    estimator may fit. Up to constants:

    - Ridge on n samples has the bias `a lambda / n` in the head and the variance
      `n h^2 / lambda^2` in each direction of the tail. The risk
      `(a lambda / n)^2 + n (E / a^2) / lambda^2 + 1 / n` is smallest at `a^4 lambda^4 = n^3 E`,
      where it is `2 sqrt(E / n) + 1 / n`: the same shrinkage has to spare the head and to silence
      the tail.
    - SGD with step gamma forgets its start in the head like `a^2 exp(-gamma N)`, and collects
      `gamma^2 N E / a^2` from the tail. With `gamma = log(a^2 N) / N` its risk is c / N, where
      `c = 2 + (E / a^2) log(a^2 N)^2` and the 2 is due to the average over N / 2 iterates.
    - At equal risk `n = 4 E (N / c)^2`, once n is far above `1 / (4 E)`.
    - This asks for `n h` far below lambda, which is `tail` far above `sqrt(E n)`: the number of
      features has to grow like N. A larger a makes the logarithm count less.

    Raises
    ------
    ValueError
        If a number is not positive, or the tail is not below the head.
    """
    check_between("tail", tail, 1, 10**6)
    check_positive("signal", signal)
    check_positive("energy", energy)
    small = np.sqrt(energy / tail) / signal
    if small >= 1:
        raise ValueError(
            f"the tail's eigenvalues must be below that of the head, 1, and are {small:.3g}; "
            "choose less energy, or a longer tail or signal"
        )
    h = np.full(1 + tail, small)
    h[0] = 1
    return Problem.of(h, signal * np.eye(1, 1 + tail)[0])


def of_images(whitening: Whitening, Y: ArrayLike) -> Problem:
    """Return normal data that have the covariance of images, and their labels' own regression.

    Along the i-th singular direction of the centred images `U_r diag(sigma) V^T`, H has the
    eigenvalue `sigma_i^2 / n`, and the regression of the centred labels Y has the coefficients
    `w*_i = u_i^T Y / sigma_i`. The noise is the variance of its residuals. The coefficients have
    noise in them too, see :func:`denoised`.

    Parameters
    ----------
    whitening : Whitening
        Of n training images, without truncation or filter.
    Y : array, shape (n, C) or (n,)

    Raises
    ------
    ValueError
        If the images are not more than their singular directions, so that the regression leaves
        nothing, or the labels do not belong to them.
    """
    U, sigma = whitening.U[:, :-1], whitening.singular_values
    Y = as_array("labels", Y)
    Y = Y[:, None] if Y.ndim == 1 else Y
    check_same_length("the whitened images", U, "labels", Y)
    n, r = U.shape
    if n <= r + 1:
        raise ValueError(
            f"expected more than {r + 1} images to regress labels on {r} singular directions, got "
            f"{n}; give more images, or fewer pixels"
        )
    Y = Y - Y.mean(axis=0)
    along = U.T @ Y  # (r, C)
    residual = (Y - U @ along) ** 2
    return Problem.of(sigma**2 / n, along / sigma[:, None], residual.sum(axis=0) / (n - 1 - r))


def denoised(problem: Problem, n: int) -> Problem:
    """Return a problem without the noise that a regression on n samples left in w*.

    Noise adds `sigma^2 / n` to the expected share `h_i |w*_i|^2` of each direction in the risk of
    w = 0. In the tail of a spectrum, where no signal is, that is all of it. This much is taken off,
    down to zero; the signs and the ratios of the outputs stay.
    """
    signal = problem.h * (problem.w**2).sum(axis=1)  # (d,)
    kept = 1 - problem.noise.sum() / n / np.where(signal > 0, signal, np.inf)
    return Problem.of(problem.h, problem.w * np.sqrt(kept.clip(min=0))[:, None], problem.noise)
