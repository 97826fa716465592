"""Centring, SVD and truncation: the form of batch normalization in the convex program.

The compact SVD of the centred data, `X - 1 mean^T = U_r diag(sigma) V^T`, turns a BN neuron
`BN(X w)` with scale `gamma` and shift `alpha` into `U s`, with the whitened design

    U = [U_r, 1/sqrt(n)],   U^T U = I,   s = [gamma q/||q||; alpha],   q = diag(sigma) V^T w.

So a BN-ReLU network on X is a plain ReLU network with unit first-layer weights on U (Ergen et al.
2022, Section 2). Keeping only the k leading columns of U_r is the paper's explicit form of the
implicit regularization of gradient descent ("truncated"). A soft filter goes beyond the paper:
`U = [U_r diag(f), 1/sqrt(n)]` with gains 0 < f_i <= 1 that fall with sigma_i,

    ridge  f_i = sigma_i^2 / (sigma_i^2 + c sigma_1^2),      power  f_i = (sigma_i / sigma_1)^c.

The penalty of the program then weighs a neuron's component in direction i by `1 / f_i`, and the
program has no BN network.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convexbn.calls import public
from convexbn.containers import check_columns, column_names, precision, varies
from convexbn.inputs import (
    ArrayLike,
    as_array,
    check_between,
    check_choice,
    check_positive,
    is_number,
)
from convexbn.storage import load_fields, save_fields
from convexbn.svd import (
    ROUNDED,
    centre,
    centre_exactly,
    check_range,
    check_rank,
    largest_entries,
    lengths,
    power_of_two,
    squares,
    svd,
    total_energy,
    warn_of_lost,
)

_ARRAYS = ("U", "singular_values", "V", "mean", "total_energy", "gains")
_ROUNDINGS = 2  # in float64 of numbers that were computed
_WHOLE = 2.0**53  # from which float64 does not hold every whole number

# From the ratios sigma_i / sigma_1 and the filter's value c to the gains f, by name.
FILTERS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "ridge": lambda ratios, c: ratios**2 / (ratios**2 + c),
    "power": lambda ratios, c: ratios**c,
}


@dataclass(frozen=True, repr=False, eq=False)  # arrays have no == of their own
class Whitening:
    """The whitened design of a training set, and the map of new samples to its coordinates.

    Attributes
    ----------
    U : ndarray of float64, shape (n, r + 1)
        Left singular vectors of the centred data, times their gains, and the constant column
        `1/sqrt(n)`.
    singular_values : ndarray, shape (r,)
        In descending order.
    V : ndarray, shape (d, r)
    mean : ndarray, shape (d,)
        Mean of the training samples.
    total_energy : float
        Sum of all squared singular values, including those that a truncation dropped and those
        left out as rounding of the data; in units of the largest if float64 cannot hold squares.
    gains : ndarray, shape (r,)
        Gains f of the filter; all are 1 without a filter.
    columns : tuple of str, optional
        Names of the features, of a data frame whose columns have names.
    """

    U: np.ndarray
    singular_values: np.ndarray
    V: np.ndarray
    mean: np.ndarray
    total_energy: float
    gains: np.ndarray
    columns: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        shape = f"n={len(self.U)}, d={len(self.mean)}, rank={self.rank}"
        return f"Whitening({shape}, energy={self.energy:.4g})"

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> "Whitening":
        """Take the fields from a dictionary of arrays, as :meth:`tensors` returns it."""
        arrays: dict = {name: tensors[name] for name in _ARRAYS}
        total_energy = float(arrays.pop("total_energy"))
        return cls(**arrays, total_energy=total_energy)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the fields but the names of the columns as a dictionary of arrays."""
        return {name: np.asarray(getattr(self, name)) for name in _ARRAYS}

    def save(self, path: str | Path) -> None:
        """Write a .safetensors file, for :meth:`load`, and the folders that it lies in.

        Raises
        ------
        ModuleNotFoundError
            If safetensors is not installed.
        """
        save_fields(path, "Whitening", self.tensors(), columns=self.columns)

    @classmethod
    def load(cls, path: str | Path) -> "Whitening":
        """Read what :meth:`save` has written, to the last bit.

        Raises
        ------
        ModuleNotFoundError, FileNotFoundError, ValueError
            If safetensors or the file is missing; if that is truncated, or holds something else.
        """
        tensors, words = load_fields(path, "Whitening", (*_ARRAYS, "columns"))
        columns = words["columns"]
        return replace(cls.from_tensors(tensors), columns=columns and tuple(columns))

    @property
    def rank(self) -> int:
        """Number of singular directions kept, r; a filter keeps all."""
        return len(self.singular_values)

    @property
    def energy(self) -> float:
        """Share of the sum of squared singular values that is kept, each times its squared gain.

        It is below 1 where directions are left out as rounding of the data.
        """
        return float((self.gains**2 * squares(self.singular_values)).sum() / self.total_energy)

    @property
    def directions(self) -> np.ndarray:
        """Map of centred samples to their coordinates, `V diag(f / sigma)`, shape (d, r)."""
        return self.V * self.gains / self.singular_values

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Take new samples to the whitened coordinates.

        Parameters
        ----------
        X : array, tensor or data frame, shape (m, d), or (K, m, d) for the K patches of each sample

        Returns
        -------
        ndarray of float64, shape (m, r + 1) or (K, m, r + 1)
            The training data are taken to U, up to their rounding in units of each direction: a
            feature whose mean is 10^k times its spread costs k of float64's 16 digits.

        Raises
        ------
        ValueError
            If X has another number of features, or is a data frame whose columns are not those of
            the training data in their order.
        """
        check_columns("new samples", column_names(X), self.columns)
        X = as_array("new samples", X, copy=False)
        if X.ndim not in (2, 3) or X.shape[-1] != len(self.mean):
            raise ValueError(
                f"new samples must have shape (m, {len(self.mean)}) like the training data, or "
                f"(K, m, {len(self.mean)}) in patches, got {X.shape}"
            )
        return _with_constant((X - self.mean) @ self.directions, self.U[0, -1])

    def truncate(self, rank: int | None = None, energy: float | None = None) -> "Whitening":
        """Keep the leading singular directions: `rank` of them, or those that hold `energy`.

        Parameters
        ----------
        rank : int, optional
            From 1 to `self.rank`.
        energy : float, optional
            In (0, 1]: the smallest k with `sum_{i<=k} sigma_i^2 >= energy * sum_i sigma_i^2`.

        Raises
        ------
        ValueError
            If both are given, or one is out of range.
        """
        if rank is not None and energy is not None:
            raise ValueError(f"give rank or energy, not both; got rank={rank}, energy={energy}")
        if energy is not None:
            rank = self._rank_of(energy)
        if rank is None:
            return self
        check_between("rank", rank, 1, self.rank)
        return replace(
            self,
            U=_with_constant(self.U[:, :rank], self.U[0, -1]),
            singular_values=self.singular_values[:rank],
            V=self.V[:, :rank],
            gains=self.gains[:rank],
        )

    def filtered(self, kind: str, value: float) -> "Whitening":
        """Multiply each column but the constant one by a gain that falls with its singular value.

        Parameters
        ----------
        kind : {"ridge", "power"}
            See :mod:`convexbn.whitening`. Truncation is the filter whose gains are 1 and 0.
        value : float
            The c > 0 of the filter; a larger value leaves less of the small directions.

        Raises
        ------
        ValueError
            If the kind is unknown or the value is not positive.
        """
        check_choice("kind", kind, FILTERS)
        check_positive("value", value)
        gains = FILTERS[kind](self.singular_values / self.singular_values[0], value)
        U = np.hstack([self.U[:, :-1] * gains, self.U[:, -1:]])
        return replace(self, U=U, gains=self.gains * gains)

    def _rank_of(self, energy: float) -> int:
        if not (is_number(energy) and 0 < energy <= 1):
            raise ValueError(f"energy must be a share in (0, 1], got {energy!r}")
        kept = np.cumsum(squares(self.singular_values))
        wanted = energy * self.total_energy
        if wanted > kept[-1] * (1 + ROUNDED):
            raise ValueError(
                f"energy {energy} was asked of a design that holds "
                f"{kept[-1] / self.total_energy:.6f} of it, as the rest was truncated or is no "
                "more than the rounding of the data; truncate the full design instead, or ask for "
                "less"
            )
        return int(np.searchsorted(kept, min(wanted, kept[-1]) * (1 - ROUNDED))) + 1


@public
def whiten(X: ArrayLike, rank: int | None = None, energy: float | None = None) -> Whitening:
    """Centre and whiten a data matrix by an SVD in float64.

    Parameters
    ----------
    X : array, tensor or data frame, shape (n, d)
        The data; for a CNN the rows of all patches, `patches(...).reshape(K * n, h)`. Features may
        be in any units.
    rank, energy : optional
        Keep only the leading directions, see :meth:`Whitening.truncate`. By default all directions
        of the numerical rank r <= min(n - 1, d) are kept: those above rounding in the precision of
        X, which is that of each column in a data frame.

    Returns
    -------
    Whitening

    Raises
    ------
    ValueError
        If X is not a finite matrix of real numbers, all its rows are equal (rank 0), its features
        differ in size by more than float64 can hold, or `rank` or `energy` is out of range.

    Warns
    -----
    UserWarning
        For columns that vary by less than the rounding of their numbers and count as constant.
    """
    C = as_array("X", X)
    if C.ndim != 2 or 0 in C.shape:
        raise ValueError(f"X must be a non-empty matrix of shape (n, d), got shape {C.shape}")
    spacing = np.maximum(precision(X), _ROUNDINGS * np.finfo(np.float64).eps)
    is_constant = C.max(axis=0) == C.min(axis=0)
    large = np.flatnonzero(is_constant & (np.abs(C[0]) >= _WHOLE)).tolist()
    warn_of_lost([j for j in large if varies(X, j)])
    start = np.where(is_constant, C[0], 0)
    C -= start  # features that do not vary have no size
    sizes = largest_entries(C)
    unit = power_of_two(sizes.max())
    check_range(sizes)
    C /= unit
    rounding = spacing * lengths(C)
    mean = centre(C, rounding)
    U, sigma, V = svd(C, rounding)
    check_rank(sigma * unit)
    centre_exactly(U)
    full = Whitening(
        U=_with_constant(U, 1 / np.sqrt(len(C))),
        singular_values=sigma * unit,
        V=V,
        mean=start + mean * unit,
        total_energy=total_energy(sigma * unit, lengths(C) * unit),
        gains=np.ones(len(sigma)),
        columns=column_names(X),
    )
    # All of a design may hold less than was asked for, where the data are no better.
    is_all = rank is None and is_number(energy) and energy == 1
    return full if is_all else full.truncate(rank, energy)


def _with_constant(columns: np.ndarray, constant: float) -> np.ndarray:
    """Append the constant column; of n training samples the constant is 1/sqrt(n)."""
    column = np.full((*columns.shape[:-1], 1), constant)
    return np.concatenate([columns, column], axis=-1)
