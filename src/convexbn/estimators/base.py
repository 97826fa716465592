"""What the estimators share: from samples to a certified solution, and to scores of new samples."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from convexbn.arrangements.enumeration import arrangement_gates
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.calls import public, warn
from convexbn.inputs import ArrayLike, as_beta, check_between, check_choice
from convexbn.networks.interface import Network
from convexbn.networks.recovery import recover_network
from convexbn.programs.certificates import Certificate
from convexbn.programs.instances import beta_max
from convexbn.programs.solutions import Solution
from convexbn.solvers.columns import column_generation as columns
from convexbn.solvers.path import solutions
from convexbn.solvers.snapshots import Snapshot
from convexbn.solvers.stopping import missed
from convexbn.whitening import Whitening, whiten

GATES = "sampled", "all", "columns"
_FILTER = {"kind", "value"}


class ConvexBN(BaseEstimator):
    """A two-layer BN-ReLU network; see :class:`convexbn.estimators.ConvexBNRegressor`."""

    whitening_: Whitening
    solution_: Solution

    @public
    def __init__(
        self,
        beta: float = 1.0,
        *,
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
        self.beta = beta
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

    def _targets(self, X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray, str]:
        """Check samples and targets; return X (n, d), Y (n,) or (n, C) and the loss."""
        raise NotImplementedError

    def _design(self, X: np.ndarray, Y: np.ndarray, loss: str) -> np.ndarray:
        """Whiten the samples and draw the gates; return their patterns (n, P)."""
        check_choice("gates", self.gates, GATES)
        check_between("n_gates", self.n_gates, 1, math.inf)
        check_between("max_iter", self.max_iter, 1, 10**9)
        given = self.filter
        if given is not None and not (isinstance(given, Mapping) and set(given) == _FILTER):
            raise ValueError(
                "filter must have a kind and a value, such as {'kind': 'ridge', 'value': 0.01}, "
                f"got {given!r}"
            )
        if self.gates != "sampled":
            check_choice(f"penalty of gates={self.gates!r}", self.penalty, ["group"])
            outputs = math.prod(Y.shape[1:])
            if outputs > 1 or loss == "cross_entropy":
                raise ValueError(
                    f"gates={self.gates!r} trains networks of one output, got {outputs} outputs "
                    f"with loss {loss!r}; take gates='sampled'"
                )
        seed = check_random_state(self.random_state).randint(2**31)
        whitening = replace(whiten(X), columns=self._columns()).truncate(self.rank, self.energy)
        self.whitening_ = whitening if self.filter is None else whitening.filtered(**self.filter)
        U, self._seed = self.whitening_.U, seed
        if self.gates == "all":
            self.gates_ = arrangement_gates(U)
        else:
            few = self.n_gates if self.gates == "sampled" else 1
            self.gates_ = sample_gates(U, few, seed, at_most=True)
        return activation(U, self.gates_)

    def _largest_beta(self, D: np.ndarray, Y: np.ndarray, loss: str) -> float:
        """Return the smallest beta at which the network is zero, as far as these gates tell.

        Without gates of its own ("columns") a search tells.
        """
        if self.gates == "columns":
            terms = {"loss": loss, "seed": self._seed, "device": self.device}
            return columns.largest_beta(self.whitening_.U, Y, **terms)
        terms = {"loss": loss, "penalty": self.penalty}
        return beta_max(self.whitening_.U, D, Y, device=self.device, **terms)

    def _solutions(
        self, D: np.ndarray, Y: np.ndarray, betas: Iterable[float], loss: str
    ) -> Iterator[Solution]:
        """Yield a solution for each beta, in descending order."""
        U, report = self.whitening_.U, Report(self.verbose) if self.verbose else None
        if self.gates == "columns":
            for beta in sorted(betas, reverse=True):
                solution = columns.generated(
                    *(U, Y, beta),
                    loss=loss,
                    tol=self.tol,
                    seed=self._seed,
                    max_iterations=self.max_iter,
                    device=self.device,
                    callback=report,
                )
                yield solution
                if solution.certificate.stopped == "interrupt":
                    return
            return
        yield from solutions(
            *(U, D, Y, betas),
            model="relu" if self.gates == "all" else "gated",
            loss=loss,
            penalty=self.penalty,
            tol=self.tol,
            max_iterations=self.max_iter,
            device=self.device,
            callback=report,
        )

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like, shape (n, d)
        y : array-like, shape (n,), or (n, C) for a regressor
            Targets, or labels of any kind.

        Raises
        ------
        ValueError
            If samples or targets are not finite, do not fit together, or do not suit the loss.

        Warns
        -----
        ConvergenceWarning
            If the certificate misses `tol`, as that of the best so far after an interrupt does.
        """
        X, Y, loss = self._targets(X, y)
        D = self._design(X, Y, loss)
        self.beta_max_ = self._largest_beta(D, Y, loss)
        (solution,) = self._solutions(D, Y, [as_beta(self.beta)], loss)
        self._warn_of([(solution.beta, solution.certificate)])
        return self._take(solution)

    def _take(self, solution: Solution) -> Self:
        """Take a solution as this network's."""
        self.solution_ = solution
        self.n_iter_ = max(1, solution.certificate.iterations)
        return self

    def _warn_of(self, certificates: Iterable[tuple[float, Certificate]]) -> None:
        """Warn once of those, each with its beta, that miss the tolerance."""
        every = list(certificates)
        missing = [pair for pair in every if not pair[1].converged]
        if not missing:
            return
        # An interrupt explains what else is missing.
        told = next((pair for pair in missing if pair[1].stopped == "interrupt"), missing[0])
        words = missed(*told, self.tol, f"max_iter (now {self.max_iter})")
        others = (
            f"; and {len(missing) - 1} others of {len(every)} are not, either"
            if missing[1:]
            else ""
        )
        warn(words + others, ConvergenceWarning)

    def _outputs(self, X: ArrayLike) -> np.ndarray:
        """Return the network's outputs (m, C) for samples (m, d)."""
        check_is_fitted(self)
        U = self.whitening_.transform(validate_data(self, X, reset=False, dtype=np.float64))
        return np.asarray(self.solution_.predict(U, self._gates(U)))

    def _columns(self) -> tuple[str, ...] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    def _gates(self, U: np.ndarray | None = None) -> np.ndarray | None:
        """Return the gates, or their patterns; None for a ReLU network, which needs none."""
        if self.solution_.model == "relu":
            return None
        return self.gates_ if U is None else activation(U, self.gates_)

    @property
    def certificate_(self) -> Certificate:
        """The referee's certificate of the optimum."""
        check_is_fitted(self)
        return self.solution_.certificate

    @property
    def n_neurons_(self) -> int:
        """Number of neurons of the network."""
        check_is_fitted(self)
        return self.solution_.neurons

    @property
    def network_(self) -> Network:
        """The BN network as a torch module, in float64 on the CPU.

        Raises
        ------
        AttributeError
            With a `filter`: that program has no BN network.
        """
        check_is_fitted(self)
        if self.filter is not None:
            raise AttributeError(
                "a filtered program has no BN network; fit without a filter, or use solution_"
            )
        return recover_network(self.solution_, self.whitening_, gates=self._gates())


class Report:
    """A callback that prints the gap: at first and then each second; each round if verbose > 1."""

    def __init__(self, verbose: int) -> None:
        self.every, self.spoke = 1.0 if verbose == 1 else 0.0, -math.inf

    def __call__(self, snapshot: Snapshot) -> None:
        """Print one line, if it is time for one."""
        if time.monotonic() - self.spoke < self.every:
            return
        self.spoke = time.monotonic()
        words = f"beta {snapshot.beta:.3g}, round {snapshot.iteration}, {snapshot.seconds:.1f} s"
        print(f"{words}: relative gap {snapshot.relative_gap:.1e}", file=sys.stderr)
