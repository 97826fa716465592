"""Checks of a value against a list or a range, without NumPy.

Every Snakemake process makes them. One that leaves the jobs to an environment of their own may lack
all packages but Snakemake's.
"""

import math
from collections.abc import Collection, Hashable
from numbers import Integral


def check_choice(name: str, value: object, choices: Collection) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not (isinstance(value, Hashable) and value in choices):
        known = ", ".join(repr(choice) for choice in choices)
        known = f"one of {known}" if len(choices) > 1 else known
        raise ValueError(f"{name} must be {known}, got {value!r}")


def check_between(name: str, value: object, low: float, high: float) -> None:
    """Raise ValueError unless the whole number `value` lies in [low, high]."""
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is not None and low <= number <= high:
        return
    ends = f"at least {low}" if high == math.inf else f"from {low} to {high}"
    if number is None:
        raise ValueError(f"{name} must be a whole number {ends}, got {value!r}")
    raise ValueError(f"{name} must be {ends}, got {value}; choose one in this range")
