"""Quality of predictions: accuracy, loss, and the calibration of their probabilities.

Scores (n, C) become probabilities by one temperature T > 0, which is fitted to the validation
samples (Guo et al. 2017, On Calibration of Modern Neural Networks):

    softmax(scores / T),    T = argmin_T  nll(T) = mean_i -log softmax(scores_i / T)[label_i],

convex in 1/T. The test samples are put in bins B by the probability of their predicted class; their
expected calibration error is `sum_B |B| / n * |accuracy of B - mean probability of B|`.
"""

import math

import numpy as np
import torch

from convexbn.inputs import (
    ArrayLike,
    as_array,
    as_tensor,
    as_whole,
    check_choice,
    check_same_length,
)
from convexbn.programs.losses import LOSSES

BINS = 15  # of equal width (Guo et al. 2017, Section 2)
TEMPERATURES = 1e-3, 1e3  # perfect or worthless scores would take T to 0 or infinity
_HALVINGS = 50  # bisections of the range of log T: down to rounding


def accuracy(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of samples with the correct predicted class.

    Parameters
    ----------
    scores : array or tensor, shape (n, C)
        One score per class; for C = 1 a positive score means class 1, any other class 0.
    labels : array or tensor of int, shape (n,)

    Returns
    -------
    float
        Between 0 and 1; NaN if there are no samples or a score is NaN, because the largest of NaN
        scores would be an arbitrary class.

    Raises
    ------
    ValueError
        If scores and labels differ in length, or a label is not one of the classes.
    """
    scores, labels = _scored("scores", scores, "labels", labels)
    if len(labels) == 0 or np.isnan(scores).any():
        return float("nan")
    return float(_correct(scores, labels).mean())


def correct(scores: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return for each sample whether its predicted class is correct, shape (n,).

    Parameters
    ----------
    scores, labels : array or tensor
        As for :func:`accuracy`.

    Raises
    ------
    ValueError
        As :func:`accuracy` does, and if a score is NaN.
    """
    scores, labels = _scored("scores", scores, "labels", labels)
    if np.isnan(scores).any():
        raise ValueError(
            "scores must not be NaN, of which the largest would be an arbitrary class; leave out "
            "what diverged"
        )
    return _correct(scores, labels)


def _correct(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    predicted = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
    return np.asarray(predicted == labels)


def mean_loss(scores: ArrayLike, targets: ArrayLike, loss: str = "squared") -> float:
    """Return the loss per sample in float64; "squared" is half the sum of a sample's squares.

    Parameters
    ----------
    scores, targets : array or tensor, shape (n, C)
    loss : str
        A key of `convexbn.programs.losses.LOSSES`.

    Returns
    -------
    float
        NaN if there are no samples or a score is NaN.

    Raises
    ------
    ValueError
        If scores and targets differ in shape, the loss is unknown, or the targets do not suit it.
    """
    check_choice("loss", loss, LOSSES)
    F = as_tensor("scores", scores, device="cpu", finite=False, copy=False)
    Y = as_tensor("targets", targets, device="cpu", finite=False, copy=False)
    if F.ndim != 2 or F.shape != Y.shape:
        raise ValueError(
            "scores and targets must both have shape (n, C), got "
            f"{tuple(F.shape)} and {tuple(Y.shape)}; give one row per sample"
        )
    LOSSES[loss].check_targets(Y)
    return float(LOSSES[loss].value(F, Y)) / len(Y) if len(Y) else float("nan")


def calibration(
    scores: ArrayLike,
    labels: ArrayLike,
    validation_scores: ArrayLike,
    validation_labels: ArrayLike,
) -> dict[str, float]:
    """Judge the probabilities of test scores, at the temperature fitted to validation samples.

    Parameters
    ----------
    scores : array or tensor, shape (n, C)
        Scores of the test samples. For C = 1 the probabilities are `softmax([0, score] / T)`.
    labels : array or tensor of int, shape (n,)
    validation_scores, validation_labels : array or tensor, shapes (m, C) and (m,)

    Returns
    -------
    dict of float
        `test_nll`, the mean negative log-likelihood of the test labels; `test_ece`, the expected
        calibration error in `BINS` bins; `temperature`, within `TEMPERATURES`. All are NaN if there
        are no validation samples, no test samples, or a score is not finite.

    Raises
    ------
    ValueError
        If scores and labels differ in length, or a label is not one of the classes.
    """
    Z, classes = _logits("scores", scores, "labels", labels)
    fit, fit_labels = _logits(
        *("validation_scores", validation_scores), *("validation_labels", validation_labels)
    )
    if not (len(Z) and len(fit) and np.isfinite(Z).all() and np.isfinite(fit).all()):
        return dict.fromkeys(("test_nll", "test_ece", "temperature"), float("nan"))
    temperature = _temperature(fit, fit_labels)
    logs = _log_softmax(Z / temperature)
    return {
        "test_nll": float(-_of_labels(logs, classes).mean()),
        "test_ece": _calibration_error(np.exp(logs), classes),
        "temperature": temperature,
    }


def _scored(
    name: str, scores: ArrayLike, of: str, labels: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n, C) in float64, and the labels."""
    Z, labels = as_array(name, scores, finite=False, copy=False), as_whole(of, labels)
    if Z.ndim != 2 or labels.ndim != 1:
        raise ValueError(
            f"{name} and {of} must have shapes (n, C) and (n,), got {Z.shape} and {labels.shape}; "
            "give one row of scores and one label per sample"
        )
    check_same_length(name, Z, of, labels)
    classes = max(2, Z.shape[1])
    if labels.max(initial=0) >= classes:
        raise ValueError(
            f"{of} must be below the number of classes, {classes}, got {labels.max()}; give the "
            "position of each sample's class among the scores"
        )
    return Z, labels


def _logits(name: str, scores: ArrayLike, of: str, labels: ArrayLike) -> tuple:
    """Return scores (n, C >= 2) in float64, and the labels."""
    Z, labels = _scored(name, scores, of, labels)
    return (np.hstack([np.zeros_like(Z), Z]) if Z.shape[1] == 1 else Z), labels


def _log_softmax(Z: np.ndarray) -> np.ndarray:
    return torch.from_numpy(Z).log_softmax(dim=1).numpy()


def _of_labels(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the entry of each row (n, C) at its label, shape (n,)."""
    return values[np.arange(len(labels)), labels]


def _temperature(Z: np.ndarray, labels: np.ndarray) -> float:
    """Return the T that minimizes nll(T), by bisection for the zero of its slope in 1/T.

    SciPy, whose `brentq` would do, is none of the packages that this library needs.
    """
    right = _of_labels(Z, labels).mean()
    low, high = (math.log(1 / T) for T in reversed(TEMPERATURES))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (np.exp(_log_softmax(math.exp(middle) * Z)) * Z).sum(axis=1).mean()
        # The slope is `expected - right`, and rises with 1/T.
        low, high = (low, middle) if expected >= right else (middle, high)
    return math.exp(-(low + high) / 2)


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error; a bin includes its upper edge, as in Guo's code."""
    confidence = probabilities.max(axis=1)
    surplus = (probabilities.argmax(axis=1) == labels) - confidence
    bins = np.ceil(confidence * BINS).astype(int)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(labels))
