"""Checks of inputs; each error says what was expected, what was given, and what to do."""

import math
from collections.abc import Collection, Sequence, Sized
from typing import TYPE_CHECKING, Union

import numpy as np

if TYPE_CHECKING:
    import torch

# Numbers as callers hand them in; each public function says which shapes it takes.
ArrayLike = Union[np.ndarray, "torch.Tensor", Sequence]


def check_finite(name: str, array: "np.ndarray | torch.Tensor") -> None:
    """Raise ValueError if a numpy array or torch tensor holds NaN or infinity."""
    finite = np.isfinite(array) if isinstance(array, np.ndarray) else array.isfinite()
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"{name} must be finite, but {bad} of its {math.prod(array.shape)} entries are NaN or "
            "infinite; clean or impute them first"
        )


def check_positive(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(
            f"{name} must be a number > 0, got {value!r} of type {type(value).__name__}"
        )
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be > 0 and finite, got {value!r}; choose a positive number")


def check_choice(name: str, value: object, choices: Collection) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {known}, got {value!r}")


def check_between(name: str, value: object, low: float, high: float) -> None:
    """Raise ValueError unless the whole number `value` lies in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(
            f"{name} must be from {low} to {high}, got {value}; choose one in this range"
        )


def check_momentum(value: float) -> None:
    """Raise ValueError unless a momentum lies in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(
            f"momentum must be in [0, 1), got {value!r}; 0 is plain gradient descent, 0.9 is usual"
        )


def check_same_length(first: str, a: Sized, second: str, b: Sized) -> None:
    """Raise ValueError unless two arrays have the same number of rows."""
    if len(a) != len(b):
        raise ValueError(
            f"{first} and {second} must have one row per sample, got {len(a)} and {len(b)} rows"
        )
