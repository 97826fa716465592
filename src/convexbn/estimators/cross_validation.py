"""Estimators that choose their weight decay by cross-validation, with one path per fold.

Folds have fewer samples than all data. In coordinates of unit variance the program of n samples has
the weight decay `beta / sqrt(n)` beside the mean loss (:mod:`convexbn.networks.gated_program`), so
that a fold of m samples is solved for `beta sqrt(m / n)`.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from convexbn.calls import public
from convexbn.estimators.base import ConvexBN
from convexbn.estimators.networks import ConvexBNClassifier, ConvexBNRegressor
from convexbn.estimators.paths import grid, uncommented
from convexbn.inputs import ArrayLike
from convexbn.programs.certificates import Certificate


class _Chosen(ConvexBN):
    """What the two estimators share."""

    _single: type[ConvexBN]

    @public
    def __init__(
        self,
        betas: Iterable[float] | None = None,
        *,
        n_betas: int = 20,
        eps: float = 1e-2,
        cv: Any = None,
        n_jobs: int | None = None,
        rank: int | None = None,
        energy: float | None = None,
        filter: Mapping[str, Any] | None = None,
        n_gates: int = 256,
        gates: str = "sampled",
        loss: str = "auto",
        penalty: str = "group",
        tol: float = 1e-4,
        max_iter: int = 10_000,
        random_state: int | np.random.RandomState | None = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.betas = betas
        self.n_betas = n_betas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.rank = rank
        self.energy = energy
        self.filter = filter
        self.n_gates = n_gates
        self.gates = gates
        self.loss = loss
        self.penalty = penalty
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Choose the weight decay by cross-validation, and train the network on all samples.

        Parameters
        ----------
        X : array-like, shape (n, d)
        y : array-like, shape (n,), or (n, C) for a regressor

        Raises
        ------
        ValueError
            As :meth:`ConvexBNRegressor.fit`, and if a fold has fewer classes than the data.

        Warns
        -----
        ConvergenceWarning
            Once, if certificates miss `tol`.

        Notes
        -----
        An interrupt during cross-validation ends it as it ends any other program; one during the
        last path leaves the best network so far.
        """
        X, Y, loss = self._targets(X, y)
        y = self.classes_[_labels(Y)] if is_classifier(self) else Y
        seed = int(check_random_state(self.random_state).randint(2**31))
        path = {name: value for name, value in self.get_params().items() if name not in _OF_CV}
        single = self._single(**(path | {"random_state": seed}))
        probe = clone(single)
        D = probe._design(X, Y, loss)
        self.beta_max_ = probe._largest_beta(D, Y, loss)
        self.betas_ = grid(self.beta_max_, self.betas, self.n_betas, self.eps)
        folds = check_cv(self.cv, y, classifier=is_classifier(self)).split(X, y)
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(_path)(single, X, y, self.betas_, *fold) for fold in folds
        )
        columns: list[list[float]] = []
        tried: list[tuple[float, Certificate]] = []
        for k, (scores, found) in enumerate(results, 1):
            columns.append(scores)
            tried += found
            if self.verbose:
                best = f"{max(scores):.3g} at beta {self.betas_[np.argmax(scores)]:.3g}"
                print(f"fold {k}: {len(scores)} betas, best score {best}", file=sys.stderr)
        self.scores_ = np.transpose(columns)
        is_scored = np.isfinite(self.scores_).all(axis=0)
        if not is_scored.all():
            fold = int(is_scored.argmin()) + 1
            raise ValueError(
                f"the scores of fold {fold} must be finite, but R^2 is not for fewer than two "
                "samples; take folds of two samples or more (cv)"
            )
        self.beta_ = float(self.betas_[self.scores_.mean(axis=1).argmax()])
        self.whitening_ = replace(probe.whitening_, columns=self._columns())
        self.gates_, self._seed = probe.gates_, probe._seed
        # The path down to it: each solution is a good start for the next.
        *_, solution = self._solutions(D, Y, self.betas_[self.betas_ >= self.beta_], loss)
        self._warn_of([(solution.beta, solution.certificate), *tried])
        return self._take(solution)


_OF_CV = "betas", "n_betas", "eps", "cv", "n_jobs"


def _labels(Y: np.ndarray) -> np.ndarray:
    """Return the index of the class of each row of targets (n, 1) or (n, C)."""
    return (Y[:, 0] > 0).astype(int) if Y.shape[1] == 1 else Y.argmax(axis=1)


def _path(
    single: ConvexBN,
    X: np.ndarray,
    y: np.ndarray,
    betas: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
) -> tuple[list[float], list[tuple[float, Certificate]]]:
    """Return the scores on a fold's held out samples, by descending beta, with the certificates.

    Raises
    ------
    ValueError
        If the fold's training samples lack a class.
    KeyboardInterrupt
        If there is an interrupt: nothing can be chosen by half of the scores.
    """
    missing = np.setdiff1d(y, y[train]) if is_classifier(single) else y[:0]
    if len(missing):
        raise ValueError(
            f"each fold must train on samples of all classes, but one has none of {missing[0]}; "
            "take fewer folds, stratify them (cv), or leave out rare classes"
        )
    smaller = betas * np.sqrt(len(train) / len(X))
    try:
        networks = uncommented(single, X[train], y[train], betas=smaller)
    except ValueError as error:
        raise ValueError(f"in a fold of {len(train)} training samples: {error}") from error
    found = [network.solution_ for network in networks]
    if found[-1].certificate.stopped == "interrupt":
        raise KeyboardInterrupt
    certificates = [(solution.beta, solution.certificate) for solution in found]
    return [network.score(X[held], y[held]) for network in networks], certificates


class ConvexBNRegressorCV(_Chosen, ConvexBNRegressor):
    """:class:`ConvexBNRegressor` with the weight decay that does best in cross-validation.

    Its parameters are those of :class:`ConvexBNRegressor` but `beta`, and these.

    Parameters
    ----------
    betas : iterable of float, optional
        By default `n_betas` of them, from `beta_max_` to `eps` of it, evenly spaced in their
        logarithm.
    n_betas : int
    eps : float
    cv : int, splitter or iterable, optional
        Folds, as in :class:`sklearn.model_selection.GridSearchCV`; five by default.
    n_jobs : int, optional
        Folds that are solved at once.

    Attributes
    ----------
    beta_ : float
        The chosen weight decay.
    betas_ : ndarray, shape (B,)
        Those that were tried, in descending order.
    scores_ : ndarray, shape (B, F)
        R^2 on the held out samples of each fold.
    """

    _single = ConvexBNRegressor


class ConvexBNClassifierCV(_Chosen, ConvexBNClassifier):
    """:class:`ConvexBNClassifier` with the weight decay that does best in cross-validation.

    Parameters and attributes are those of :class:`ConvexBNRegressorCV`; scores are accuracies.
    """

    _single = ConvexBNClassifier
