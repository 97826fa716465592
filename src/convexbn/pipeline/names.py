"""Functions by name: a rule hands one to a script that several experiments share."""

from collections.abc import Callable
from importlib import import_module


def named(name: str) -> Callable:
    """Return the function with a dotted name, as `convexbn.experiments.theory.depth.depths`."""
    module, function = name.rsplit(".", 1)
    return getattr(import_module(module), function)
