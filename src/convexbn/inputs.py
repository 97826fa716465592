"""The one door for what callers hand in, and checks of it.

:func:`as_array` and :func:`as_tensor` take numbers in any container that holds them plainly, and
refuse what they do not take. Each error says what was expected, what was given, and what to do.
"""

import math
import sys
from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from convexbn.choices import check_between as check_between
from convexbn.choices import check_choice as check_choice
from convexbn.containers import is_tensor, numbers, on_the_host, refusal

if TYPE_CHECKING:
    import torch

# Numbers as callers hand them in; each public function says which shapes it takes.
ArrayLike = Union[np.ndarray, "torch.Tensor", Sequence]


def as_array(
    name: str,
    values: ArrayLike,
    dtype: type | None = np.float64,
    *,
    finite: bool = True,
    copy: bool = True,
) -> np.ndarray:
    """Return the numbers that a caller handed in as a plain array.

    Parameters
    ----------
    name : str
        What the caller calls them, for the errors.
    values : array, tensor, data frame, or nested sequence of numbers, arrays or tensors
        Real numbers of any strides, byte order, device and precision; object arrays of numbers; and
        whatever else `numpy.asarray` reads as real numbers.
    dtype : type or None
        `numpy.float64` for numbers and truth values alike; `bool` for truth values alone, where
        zeros and ones are refused; None for the dtype that they have, in native byte order.
    finite : bool
        Whether NaN and infinity are refused.
    copy : bool
        Whether the result has memory of its own. Without it the result may be the caller's memory:
        for functions that read it before they return, and neither write to it nor return it.

    Raises
    ------
    ValueError
        For a scalar, parts of different shapes, missing values, NaN or infinity, values beyond the
        range of the dtype, complex numbers, strings, dates and other objects, and for sparse,
        masked and quantized containers.
    """
    found = _checked(name, values)
    array = on_the_host(found) if is_tensor(found) else found
    target = array.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
    _check_truth(name, array.dtype, target)
    with np.errstate(over="ignore"):  # it is refused below
        cast = array.astype(target, order="C", copy=copy)
    if finite:
        check_cast(name, array, cast)
    return cast


def as_tensor(
    name: str,
    values: ArrayLike,
    dtype: type | None = np.float64,
    *,
    device: "str | torch.device | None" = None,
    finite: bool = True,
    copy: bool = True,
) -> "torch.Tensor":
    """Return the numbers that a caller handed in as a plain tensor, without gradient.

    Parameters and errors are those of :func:`as_array`, with NumPy's names of dtypes.

    Parameters
    ----------
    device : str or torch.device, optional
        By default that of a tensor, and the CPU for everything else.
    """
    import torch  # here, so that scripts that prepare and draw do not wait for it

    found = _checked(name, values)
    device = None if device is None else as_device(device)
    if not is_tensor(found):
        return _from_array(as_array(name, found, dtype, finite=finite, copy=copy), device)
    target = found.dtype if dtype is None else getattr(torch, np.dtype(dtype).name)
    _check_truth(name, found.dtype, target)
    cast = found.to(device=device or found.device, dtype=target, copy=copy).contiguous()
    if finite:
        check_cast(name, found, cast)
    return cast


def as_whole(name: str, values: ArrayLike) -> np.ndarray:
    """Return labels or counts, whole numbers >= 0 of any dtype, as int64.

    Raises
    ------
    ValueError
        As :func:`as_array`, and for a number that is negative or not whole.
    """
    found = as_array(name, values, None)
    with np.errstate(invalid="ignore"):  # a number beyond int64 differs from its cast
        whole = found.astype(np.int64)
    wrong = found[(whole < 0) | (whole != found)]
    if len(wrong):
        raise ValueError(
            f"{name} must be whole numbers >= 0, got {wrong[0]} among them; classes count from 0"
        )
    return whole


def as_betas(values: float | ArrayLike | Iterable[float], name: str = "betas") -> list[float]:
    """Return weight decays, one number or several in any sequence or iterator, as a list.

    Raises
    ------
    ValueError
        If there are none, or one is not a positive finite number.
    """
    given: Any = values
    if given is None:
        raise ValueError(f"{name} must be positive numbers, got None; give a weight decay > 0")
    if isinstance(given, Iterable) and not hasattr(given, "__array__"):
        given = list(given)
    elif getattr(given, "ndim", 0) == 0:
        given = [given]
    betas = as_array(name, given, None, finite=False).reshape(-1).tolist()
    if not betas:
        raise ValueError(f"{name} must hold at least one weight decay, got none")
    for beta in betas:
        check_positive("beta", beta)
    return betas


def as_beta(value: float | ArrayLike, several: str = "give them one by one") -> float:
    """Return one weight decay, in any container of one number.

    Parameters
    ----------
    value : number, or array or tensor of one
    several : str
        What to do with several of them.

    Raises
    ------
    ValueError
        If there are none or several, or it is not a positive finite number.
    """
    betas = as_betas(value, "beta")
    if len(betas) > 1:
        raise ValueError(f"beta must be one number > 0, got {len(betas)}; {several}")
    return betas[0]


def as_device(device: "str | torch.device") -> "torch.device":
    """Return a device of PyTorch that computes in float64 on this machine.

    Raises
    ------
    ValueError
        If it is none; the message says which there are.
    """
    import torch

    reason: Exception | None = None
    try:
        found = torch.device(device)
        torch.empty(0, dtype=torch.float64, device=found)
        if found.type != "meta":  # which holds no values
            return found
    except (RuntimeError, TypeError, AssertionError) as error:  # as PyTorch's builds have it
        reason = error
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    known = ", ".join(map(repr, ["cpu", *gpus]))
    known = f"one of {known}, all" if gpus else f"{known}, the only one"
    without = "" if gpus else "; a GPU would be 'cuda', and PyTorch finds none"
    raise ValueError(
        f"device must be {known} that PyTorch finds on this machine, got {str(device)!r}{without}"
    ) from reason


def check_finite(name: str, array: "np.ndarray | torch.Tensor") -> None:
    """Raise ValueError if a numpy array or torch tensor holds NaN or infinity."""
    finite = np.isfinite(array) if isinstance(array, np.ndarray) else array.isfinite()
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"{name} must be finite, but {bad} of its {math.prod(array.shape)} entries are NaN or "
            "infinite; clean or impute them first"
        )


def is_number(value: Any) -> bool:
    """Return whether `value` is one real number of Python or NumPy, and no truth value."""
    known = isinstance(value, int | float | np.integer | np.floating)
    return known and not isinstance(value, bool)


def check_positive(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a positive finite number."""
    if not is_number(value):
        raise ValueError(
            f"{name} must be a number > 0, got {value!r} of type {type(value).__name__}"
        )
    # An integer can be beyond the range of float.
    if not 0 < value < (sys.float_info.max if isinstance(value, int) else math.inf):
        raise ValueError(f"{name} must be > 0 and finite, got {value!r}; choose a positive number")


def check_momentum(value: float) -> None:
    """Raise ValueError unless a momentum lies in [0, 1)."""
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(
            f"momentum must be in [0, 1), got {value!r}; 0 is plain gradient descent, 0.9 is usual"
        )


def check_same_length(first: str, a: Sized, second: str, b: Sized) -> None:
    """Raise ValueError unless two arrays have the same number of rows."""
    if len(a) != len(b):
        raise ValueError(
            f"{first} and {second} must have one row per sample, got {len(a)} and {len(b)} rows"
        )


def check_tolerance(value: float) -> None:
    """Raise ValueError unless `value` can be a relative gap to reach: in (0, 1)."""
    check_positive("tol", value)
    if value >= 1:
        raise ValueError(
            f"tol must be below 1, got {value!r}: zero weights have a relative gap of at most 1; "
            "1e-6 is usual"
        )


def _checked(name: str, values: Any) -> Any:
    """Return the numbers of an array or tensor that is not a scalar."""
    found = numbers(name, values)
    if found.ndim == 0:
        raise refusal(name, f"the single number {found.item()}", "put it into a list")
    return found


def _from_array(array: np.ndarray, device: Any) -> "torch.Tensor":
    import torch

    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    # PyTorch neither reads backwards nor shares memory that is not to be written.
    shared = array if array.flags.writeable and min(array.strides) >= 0 else array.copy()
    return torch.from_numpy(shared).to("cpu" if device is None else device)


def _check_truth(name: str, found: Any, target: Any) -> None:
    """Raise ValueError for numbers where truth values are wanted."""
    if str(target).endswith("bool") and found != target:
        raise ValueError(
            f"{name} must be of bool, got {found}; make it with activation(U, G), or of zeros and "
            f"ones by {name} > 0"
        )


def check_cast(name: str, given: Any, cast: Any) -> None:
    """Raise ValueError unless a cast is finite; say so if it was not the caller's doing."""
    if "float" not in str(cast.dtype):
        return
    if (np.isfinite(cast) if isinstance(cast, np.ndarray) else cast.isfinite()).all():
        return
    check_finite(name, given)
    raise ValueError(
        f"{name} must be within the range of {cast.dtype}, but some of its {given.dtype} are not; "
        "rescale them"
    )
