"""One network for one weight decay: a regressor and a classifier."""

from typing import Any

import numpy as np
from scipy.special import expit, log_expit, softmax
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from convexbn.calls import warn
from convexbn.estimators.base import ConvexBN
from convexbn.inputs import ArrayLike
from convexbn.solvers.checks import counted_classes

# As they are stored: rounding in their precision is no feature of the data.
FLOATS = [np.float64, np.float32, np.float16]


class ConvexBNRegressor(MultiOutputMixin, RegressorMixin, ConvexBN):
    """Regression by a two-layer BN-ReLU network at its certified global optimum.

    Parameters
    ----------
    beta : float
        Weight decay, in the paper's units: the loss is the sum over the samples. At `beta_max_` and
        above it the network is zero; a tenth to a hundredth of it is usual.
    rank, energy : optional
        Truncate the whitened data, see :func:`convexbn.whiten`.
    filter : dict, optional
        `kind` and `value` of :meth:`convexbn.Whitening.filtered`.
    n_gates : int
        Gates that are sampled, at most: small data have fewer different ones.
    gates : {"sampled", "all", "columns"}
        "sampled" trains the gated network, on data of any size. "all" trains the ReLU network by
        the program over all activation patterns, about n^r of them; "columns" trains it by
        :func:`convexbn.train_exact`. These two have one output.
    loss : {"auto", "squared", "logistic", "squared_hinge", "cross_entropy"}
        "auto" is the squared loss.
    penalty : {"group", "nuclear"}
        Neurons with one output each, or with vector outputs.
    tol : float
        Relative duality gap to reach.
    max_iter : int
        Limit of the solver's iterations.
    random_state : int, RandomState or None
        Of the gates.
    device : str, optional
        As "cuda"; the CPU by default.
    verbose : int
        Whether to print the gap, to stderr: each second, or 2 for each round of the solver.

    Attributes
    ----------
    solution_ : Solution
    certificate_ : Certificate
    whitening_ : Whitening
    gates_ : ndarray, shape (r + 1, P)
    network_ : torch module
    beta_max_ : float
        Where to begin with `beta`.
    n_neurons_, n_iter_, n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a data frame.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ConvexBNRegressor(beta=100.0, n_gates=32, random_state=0).fit(X, y - y.mean())
    >>> model.certificate_.converged
    True
    """

    def _targets(self, X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray, str]:
        """Check samples and targets; return X (n, d), Y (n,) or (n, C) and the loss."""
        checks: dict[str, Any] = {"dtype": FLOATS, "multi_output": True, "y_numeric": True}
        X, y = validate_data(self, X, y, ensure_min_samples=2, **checks)
        self._flat = np.ndim(y) == 1
        classes = counted_classes(y)
        if classes:
            warn(
                f"y are whole numbers from 0 to {classes - 1}, as labels of {classes} classes are: "
                "take ConvexBNClassifier for classes, or give y as floats if they are numbers"
            )
        return np.asarray(X), np.asarray(y, float), "squared" if self.loss == "auto" else self.loss

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predictions of samples (m, d), shape (m,) or (m, C) as y was."""
        scores = self._outputs(X)
        return scores[:, 0] if self._flat else scores


class ConvexBNClassifier(ClassifierMixin, ConvexBN):
    """Classification by a two-layer BN-ReLU network at its certified global optimum.

    Parameters and attributes are those of :class:`ConvexBNRegressor`, and these.

    Parameters
    ----------
    loss : {"auto", "squared", "logistic", "squared_hinge", "cross_entropy"}
        "auto" is the logistic loss for two classes, cross-entropy for more. The other losses take
        each of several classes against all others.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ConvexBNClassifier(beta=0.5, n_gates=32, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    def _targets(self, X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray, str]:
        """Check samples and labels; return X (n, d), Y (n, 1) or (n, C) and the loss.

        Raises
        ------
        ValueError
            If there are fewer than two classes.
        """
        X, y = validate_data(self, X, y, ensure_min_samples=2, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_ = np.unique(np.asarray(y))
        if len(self.classes_) < 2:
            raise ValueError(
                f"a classifier needs samples of at least two classes, got one: {self.classes_[0]}"
            )
        loss = self.loss_ = self._loss()
        if loss == "cross_entropy":
            Y = np.eye(len(self.classes_))[np.searchsorted(self.classes_, y)]
        else:
            low = 0 if loss == "squared" and len(self.classes_) > 2 else -1
            Y = LabelBinarizer(neg_label=low).fit(self.classes_).transform(y)
        return np.asarray(X), np.asarray(Y, float), loss

    def _loss(self) -> str:
        if self.loss != "auto":
            return self.loss
        return "logistic" if len(self.classes_) == 2 else "cross_entropy"

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the scores of samples (m, d): (m,) for two classes, (m, C) for more."""
        scores = self._outputs(X)
        if scores.shape[1] == 2:  # of cross-entropy
            return scores[:, 1] - scores[:, 0]
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the labels (m,) of samples (m, d)."""
        scores = self._outputs(X)
        chosen = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
        return self.classes_[chosen.astype(int)]

    @available_if(lambda self: self.loss in ("auto", "logistic", "cross_entropy"))
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities (m, C) of the classes, for losses whose scores are log-odds."""
        scores = self._outputs(X)
        if scores.shape[1] == 1:
            return np.hstack([expit(-scores), expit(scores)])
        if self.loss_ == "cross_entropy":
            return softmax(scores, axis=1)
        # Of each class against all others, expit(scores) over their sum, where all are near 0, too.
        return softmax(log_expit(scores), axis=1)
