"""Calls of the public functions: keywords that they do not have, and warnings where they are made.

Both speak of the function that the caller named and of the caller's own line.
"""

import inspect
import os
import sys
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

_HERE = str(Path(__file__).parent) + os.sep
_ALIKE = 0.5  # as `tol` and `tolerance` are

_Taken = ParamSpec("_Taken")
_Made = TypeVar("_Made")


def public(function: Callable[_Taken, _Made]) -> Callable[_Taken, _Made]:
    """Let a function, or an `__init__`, name its nearest keyword for one that it does not have.

    Raises
    ------
    TypeError
        When it is called with such a keyword.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.name != "self"]

    @wraps(function)
    def called(*args: _Taken.args, **kwargs: _Taken.kwargs) -> _Made:
        for name in kwargs:
            if name not in known:
                is_method = function.__name__ == "__init__"
                called_as = type(args[0]).__name__ if is_method else function.__name__
                raise TypeError(
                    f"{called_as}() got an unexpected keyword argument {name!r}; "
                    f"{_nearest(name, known)}"
                )
        return function(*args, **kwargs)

    return called


def _nearest(name: str, known: list[str]) -> str:
    found = get_close_matches(name, known, n=1, cutoff=_ALIKE)
    return f"did you mean {found[0]!r}?" if found else f"it takes {', '.join(known)}"


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of this package that called into it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
