"""Numbers out of whatever holds them: arrays, tensors, data frames, and sequences of these.

A container is taken if it holds real numbers plainly, and refused by the name of the argument if
the numbers could be read in two ways (masked, missing, complex, dates, strings) or would take other
memory than the caller thinks (sparse). Neither PyTorch nor pandas is imported here.
"""

import sys
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

_MISSING = ("NoneType", "NAType", "NaTType")  # of Python and pandas


def numbers(name: str, values: Any) -> Any:
    """Return values as an array of numbers or truth values, or a tensor as a plain tensor of them.

    It shares the caller's memory where it can.

    Raises
    ------
    ValueError
        See :func:`convexbn.inputs.as_array`.
    """
    if is_tensor(values):
        return _plain_tensor(name, values)
    if isinstance(values, np.ma.MaskedArray):
        raise refusal(name, "a masked array", "fill or drop what is masked, and give its .data")
    if hasattr(values, "singular_values"):
        raise refusal(name, f"a {type(values).__name__}", "give its design, .U")
    if hasattr(values, "nnz") or hasattr(values, "toarray"):
        raise refusal(name, "a sparse matrix", "give its .toarray()")
    if _is_frame(values):
        return _columns(name, values)
    array = _stacked(name, values) if isinstance(values, list | tuple) else _read(name, values)
    if array.dtype.kind == "O":
        return _from_objects(name, array, values)
    if array.dtype.kind not in "biuf":
        raise refusal(name, f"values of dtype {array.dtype}", _advice(array.dtype.kind))
    return array


def is_tensor(values: Any) -> bool:
    """Return whether values are a PyTorch tensor."""
    torch = sys.modules.get("torch")  # no tensor has been made where it was not imported
    return torch is not None and torch.is_tensor(values)


def on_the_host(tensor: Any) -> np.ndarray:
    """Return a plain tensor as an array; the dtypes that NumPy lacks are exact in float32."""
    try:
        return tensor.cpu().numpy()
    except TypeError:
        return tensor.float().cpu().numpy()


def precision(values: Any) -> float | np.ndarray:
    """Return the relative spacing of the stored values, one number, or one per column of a frame.

    It is 0 for whole numbers and for objects, which are taken as exact. The values are such as
    :func:`numbers` takes.
    """
    if _is_frame(values):
        return np.array([_epsilon(values.iloc[:, j]) for j in range(len(values.columns))])
    if isinstance(values, list | tuple):
        return max((float(np.max(precision(part), initial=0)) for part in values), default=0.0)
    return _epsilon(values)


def varies(values: Any, column: int) -> bool:
    """Return whether a column of a matrix varies in the numbers that are stored."""
    is_frame = _is_frame(values)
    found = numbers("X", values.iloc[:, column] if is_frame else values)
    stored = found if is_frame else found[:, column]
    return bool((stored != stored[0]).any())


def column_names(values: Any) -> tuple[str, ...] | None:
    """Return the names of the columns of a data frame; None if there are none, or not for all."""
    labels = getattr(values, "columns", None)
    names = [] if labels is None or callable(labels) else list(labels)
    return tuple(names) if names and all(isinstance(name, str) for name in names) else None


def check_columns(
    name: str, given: tuple[str, ...] | None, expected: tuple[str, ...] | None
) -> None:
    """Raise ValueError if both have named columns, and these are not the same in the same order."""
    if given is None or expected is None or given == expected:
        return
    if sorted(given) == sorted(expected):
        found = "the same in another order"
    else:
        missing, more = (
            [column for column in here if column not in there][:5]
            for here, there in ((expected, given), (given, expected))
        )
        found = f"without {missing} and with {more} besides"
    raise ValueError(
        f"{name} must have the columns of the training data, {', '.join(expected[:5])}"
        f"{', ...' if len(expected) > 5 else ''}, got {found}; select them in that order by name"
    )


def refusal(name: str, found: str, advice: str) -> ValueError:
    """Return the error for values that are no array of real numbers."""
    return ValueError(f"{name} must be an array of real numbers, got {found}; {advice}")


def _is_frame(values: Any) -> bool:
    return all(hasattr(values, part) for part in ("iloc", "dtypes", "columns"))


def _columns(name: str, frame: Any) -> np.ndarray:
    """Return a data frame as an array, read column by column."""
    columns = [
        numbers(f"column {label!r} of {name}", frame.iloc[:, j])
        for j, label in enumerate(frame.columns)
    ]
    return np.column_stack(columns) if columns else np.empty(frame.shape)


def _plain_tensor(name: str, tensor: Any) -> Any:
    """Return a dense tensor of real numbers, without gradient and lazy negation."""
    if tensor.is_nested:
        raise refusal(name, "a nested tensor", "pad its parts to one shape")
    if str(tensor.layout) != "torch.strided":
        raise refusal(name, f"a sparse tensor ({tensor.layout})", "give its .to_dense()")
    if hasattr(tensor, "get_mask"):
        raise refusal(name, "a masked tensor", "fill or drop what is masked, and give its data")
    if tensor.is_quantized:
        raise refusal(name, "a quantized tensor", "give its .dequantize()")
    if tensor.is_complex():
        raise refusal(name, f"values of dtype {tensor.dtype}", _advice("c"))
    if tensor.is_meta:
        raise refusal(name, "a tensor on the device 'meta'", "give one that holds values")
    return tensor.detach().resolve_neg()


def _read(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        found = f"{_kind(values)} that cannot be read as one ({error})"
        raise refusal(name, found, "give a NumPy array, a tensor or nested lists") from error


def _stacked(name: str, values: Sequence) -> np.ndarray:
    """Return a sequence of numbers, or of arrays of one shape, as one array."""
    parts = [_part(name, value) for value in values]
    shapes = sorted({getattr(part, "shape", ()) for part in parts})
    if len(shapes) > 1:
        raise ValueError(
            f"{name} must have parts of one shape, got parts of shapes {shapes[0]} and "
            f"{shapes[-1]}; cut or pad them"
        )
    return _read(name, parts)


def _part(name: str, value: Any) -> Any:
    if not (isinstance(value, list | tuple) or hasattr(value, "__array__")):
        return value
    part = numbers(name, value)
    return on_the_host(part) if is_tensor(part) else part


def _from_objects(name: str, array: np.ndarray, values: Any) -> np.ndarray:
    """Return an object array as truth values if all are, else as float64."""
    if array.ndim == 0 and not hasattr(values, "__array__"):
        raise refusal(name, _kind(values), "give a NumPy array, a tensor or nested lists")
    if array.size and all(isinstance(value, bool | np.bool_) for value in array.flat):
        return array.astype(bool)
    floats = [_as_float(name, value) for value in array.flat]
    return np.array(floats, dtype=np.float64).reshape(array.shape)


def _as_float(name: str, value: Any) -> float:
    if type(value).__name__ in _MISSING:
        raise ValueError(f"{name} must not have missing values, got {value}; drop or impute them")
    if not isinstance(value, Real | Decimal | np.bool_):
        raise refusal(name, f"{_kind(value)} in it", "convert all its entries to numbers")
    try:
        return float(value)
    except (OverflowError, ValueError) as error:
        raise ValueError(
            f"{name} must be finite and within the range of float64, got {_kind(value)} "
            f"that is not ({error}); rescale or drop it"
        ) from error


def _kind(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


def _advice(kind: str) -> str:
    """Return what to do with values of a dtype of this kind."""
    return {
        "c": "give real and imaginary parts as features of their own",
        "M": "give the time since some moment, as a number",
        "m": "divide by a unit of time",
    }.get(kind, "convert them to numbers")


def _epsilon(values: Any) -> float:
    dtype: Any = getattr(values, "dtype", None)
    if type(dtype).__module__ == "torch":
        return sys.modules["torch"].finfo(dtype).eps if dtype.is_floating_point else 0.0
    dtype = getattr(dtype, "numpy_dtype", dtype)  # of pandas' nullable numbers
    if not isinstance(dtype, np.dtype) and not isinstance(values, Real):
        dtype = np.asarray(values).dtype  # of categories, of a buffer: as they are read
    is_float = isinstance(dtype, np.dtype) and dtype.kind == "f"
    return float(np.finfo(dtype).eps) if is_float else 0.0
