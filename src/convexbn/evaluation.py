"""How good a set of predictions is."""

import numpy as np


def accuracy(scores, labels) -> float:
    """Return the share of samples whose predicted class is the right one.

    Parameters
    ----------
    scores : array or tensor, shape (n, C)
        One score per class; for C = 1 a positive score means class 1, any other class 0.
    labels : array or tensor of int, shape (n,)

    Returns
    -------
    float
        Between 0 and 1; NaN where there are no samples or a score is NaN, because the largest of
        NaN scores would be an arbitrary class.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if len(labels) == 0 or np.isnan(scores).any():
        return float("nan")
    predicted = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
    return float((predicted == labels).mean())
