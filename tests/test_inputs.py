"""Checks of what callers hand in: what is refused, and in which words."""

import datetime
import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexbn import inputs, sample_gates, whiten
from convexbn.containers import precision


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_finite(kind):
    inputs.check_finite("X", kind(np.ones((2, 3))))
    inputs.check_finite("X", kind(np.empty((0, 3))))
    inputs.check_finite("X", kind(np.arange(3)))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="X must be finite, but 1 of its 6 entries"):
            inputs.check_finite("X", kind(np.array([[1, 2, 3], [4, bad, 6.0]])))


@pytest.mark.parametrize("value", [1, 0.5, 1e-300, np.float32(2), np.int64(3)])
def test_positive(value):
    inputs.check_positive("beta", value)


@pytest.mark.parametrize(
    "value",
    [0, -1, 0.0, math.nan, math.inf, True, "1e-3", None, [1.0], 1j, np.complex128(1), 10**400],
)
def test_not_positive(value):
    with pytest.raises(ValueError, match=r"beta must be (a number )?> 0.*got"):
        inputs.check_positive("beta", value)


def test_length():
    inputs.check_same_length("U", [1], "Y", np.ones((1, 3)))
    with pytest.raises(ValueError, match="U and Y must have one row per sample, got 1 and 2 rows"):
        inputs.check_same_length("U", [1], "Y", [1, 2])


@pytest.mark.parametrize("value", [1e-6, 0.5, np.float32(0.1)])
def test_tolerance(value):
    inputs.check_tolerance(value)


@pytest.mark.parametrize("value", [1, 1.0, 2, 0, -1e-6, math.nan, math.inf, "1e-3", None])
def test_no_tolerance(value):
    with pytest.raises(ValueError, match="tol must be"):
        inputs.check_tolerance(value)


@pytest.mark.parametrize("value", [1, -0.1, math.nan, "0.9", None, True])
def test_no_momentum(value):
    with pytest.raises(ValueError, match="momentum must be in"):
        inputs.check_momentum(value)


# --- the door -------------------------------------------------------------------------------------

X = np.random.default_rng(0).integers(-5, 6, (4, 3)).astype(float)  # exact in every dtype
DOORS = pytest.mark.parametrize("door", [inputs.as_array, inputs.as_tensor])


class Wrapped:
    """Anything with the array protocol."""

    def __array__(self, dtype=None, copy=None):
        return X


def read_only():
    array = X.copy()
    array.flags.writeable = False
    return array


def negated():
    """A tensor that keeps its negation as a bit."""
    return torch.complex(torch.zeros(4, 3, dtype=torch.float64), -torch.tensor(X)).conj().imag


TAKEN = {
    "backwards": lambda: X[::-1].copy()[::-1],
    "backwards in columns": lambda: X[:, ::-1].copy()[:, ::-1],
    "every other": lambda: np.repeat(X, 2, axis=0)[::2],
    "Fortran": lambda: np.asfortranarray(X),
    "read-only": read_only,
    "big-endian": lambda: X.astype(">f8"),
    "big-endian integers": lambda: X.astype(">i4"),
    "bytes": lambda: X.astype("i1"),
    "half": lambda: X.astype("f2"),
    "long double": lambda: X.astype(np.longdouble),
    "objects": lambda: X.astype(object),
    "fractions": lambda: [[Fraction(int(x)) for x in row] for row in X],
    "decimals": lambda: np.array([[Decimal(int(x)) for x in row] for row in X]),
    "scalars": lambda: [[np.float32(x) for x in row] for row in X],
    "lists": lambda: X.tolist(),
    "tuples": lambda: tuple(map(tuple, X)),
    "rows": lambda: list(X),
    "rows of tensors": lambda: list(torch.tensor(X, requires_grad=True)),
    "tensors of one number": lambda: [[torch.tensor(x) for x in row] for row in X],
    "frame": lambda: pd.DataFrame(X),
    "frame of nullable integers": lambda: pd.DataFrame(X).astype("Int64"),
    "frame of nullable floats": lambda: pd.DataFrame(X).astype("Float32"),
    "mixed frame": lambda: pd.DataFrame(
        {0: X[:, 0].astype("i4"), 1: X[:, 1].astype("f4"), 2: pd.Categorical(X[:, 2])}
    ),
    "frame with equal names": lambda: pd.DataFrame(X, columns=["a", "a", "b"]),
    "array protocol": Wrapped,
    "tensor": lambda: torch.tensor(X),
    "parameter": lambda: torch.nn.Parameter(torch.tensor(X)),
    "transposed tensor": lambda: torch.tensor(X.T.copy()).T,
    "negated tensor": negated,
    "bfloat16": lambda: torch.tensor(X, dtype=torch.bfloat16),
    "float16": lambda: torch.tensor(X, dtype=torch.float16),
    "int8": lambda: torch.tensor(X, dtype=torch.int8),
}


@DOORS
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, None])
@pytest.mark.parametrize("kind", TAKEN)
def test_numbers_come_through(door, kind, dtype, copy):
    values = TAKEN[kind]()
    with warnings.catch_warnings(action="error"):  # such as PyTorch's for read-only memory
        found = door("X", values, dtype, copy=copy)
    assert type(found) in (np.ndarray, torch.Tensor)
    assert not isinstance(found, torch.Tensor) or not found.requires_grad
    np.testing.assert_array_equal(inputs.as_array("X", found), X)


@DOORS
def test_the_door_has_memory_of_its_own(door):
    for values in (X.copy(), torch.tensor(X), np.broadcast_to(X[:1], (4, 3))):
        before = np.asarray(values).copy()
        found = door("X", values)
        found[0, 0] = 7  # neither the caller's memory nor shared between the rows
        np.testing.assert_array_equal(np.asarray(values), before)
        assert found[1, 0] == before[1, 0]


def test_a_tensor_stays_where_it_is_and_everything_else_is_on_the_cpu():
    with torch.device("meta"):
        assert inputs.as_tensor("X", X).device.type == "cpu"
        assert inputs.as_tensor("X", torch.tensor(X, device="cpu")).device.type == "cpu"


@DOORS
def test_truth_values_come_through(door):
    D = X > 0
    for values in (D, D.tolist(), D.astype(object), torch.tensor(D), list(torch.tensor(D))):
        found = door("D", values, bool)
        assert str(found.dtype).endswith("bool")
        np.testing.assert_array_equal(np.asarray(found), D)
    np.testing.assert_array_equal(door("D", pd.DataFrame(D).astype("boolean"), bool), D)


@DOORS
@pytest.mark.parametrize("values", [[[0, 1]], np.ones((2, 2)), torch.ones(2, dtype=torch.int8)])
def test_zeros_and_ones_are_no_truth_values(door, values):
    with pytest.raises(ValueError, match=r"D must be of bool, got .*activation\(U, G\).*D > 0"):
        door("D", values, bool)


REFUSED = {
    "masked": (lambda: np.ma.array(X), "a masked array"),
    "masked rows": (lambda: [np.ma.array(row, mask=[0, 1, 0]) for row in X], "a masked array"),
    "sparse": (lambda: scipy.sparse.csr_matrix(X), "a sparse matrix"),
    "sparse tensor": (lambda: torch.tensor(X).to_sparse(), "a sparse tensor"),
    "complex": (lambda: X + 0j, "complex128"),
    "complex tensor": (lambda: torch.tensor(X) + 0j, "complex128"),
    "complex objects": (lambda: (X + 0j).astype(object), "type complex"),
    "strings": (lambda: X.astype(str), "dtype <U"),
    "a string": (lambda: "abc", "dtype <U3"),
    "bytes": (lambda: b"abc", r"dtype \|S3"),
    "a number and a string": (lambda: [1, "a"], "dtype <U"),
    "times": (lambda: X.astype("M8[s]"), "datetime64"),
    "spans of time": (lambda: X.astype("m8[s]"), "timedelta64"),
    "dates": (lambda: [datetime.date(2020, 1, 1)], "type date"),
    "pandas' NA": (lambda: np.array([1, pd.NA]), "missing values, got <NA>"),
    "frame with NA": (lambda: pd.DataFrame({"a": [1, None]}, dtype="Int64"), "1 of its 2 entries"),
    "None in it": (lambda: [1.0, None], "missing values, got None"),
    "NaT": (lambda: [pd.NaT, pd.NaT], "missing values, got NaT"),
    "NaN": (lambda: np.where(X > 0, np.nan, X), "must be finite, but 5 of its 12"),
    "infinity": (lambda: torch.tensor([1.0, math.inf]), "must be finite, but 1 of its 2"),
    "NaN of decimals": (lambda: [Decimal("NaN")], "must be finite"),
    "a large integer": (lambda: [10**400, 1], "range of float64"),
    "a large long double": (lambda: np.full(2, np.longdouble(10) ** 400), "range of float64"),
    "ragged lists": (lambda: [[1, 2], [3]], r"shapes \(1,\) and \(2,\)"),
    "ragged arrays": (lambda: [np.ones(2), np.ones(3)], r"shapes \(2,\) and \(3,\)"),
    "a number": (lambda: 3.0, "the single number 3.0"),
    "a tensor of one number": (lambda: torch.tensor(3.0), "the single number 3.0"),
    "a dictionary": (lambda: {"a": 1}, "type dict"),
    "an iterator": (lambda: iter([1.0]), "type list_iterator"),
    "nothing": (lambda: None, "type NoneType"),
    "objects": (lambda: [object(), 1], "type object"),
    "records": (lambda: np.zeros(3, dtype=[("a", "f8")]), "dtype"),
    "frame with words": (lambda: pd.DataFrame({"a": [1], "b": ["x"]}), "column 'b' of X"),
    "words as categories": (lambda: pd.Series(["a", "b"], dtype="category"), "type str"),
    "no values": (lambda: torch.ones(3, device="meta"), "device 'meta'"),
}


@DOORS
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_plainly_numbers_is_refused_by_name(door, kind):
    values, words = REFUSED[kind]
    with pytest.raises(ValueError, match=words) as error:
        door("X", values())
    assert "X must" in str(error.value)


def test_not_finite_can_be_let_in():
    assert np.isnan(inputs.as_array("scores", [1.0, math.nan], finite=False)[1])


def test_whole_numbers():
    for values in ([0, 2.0, True], np.array([0, 2, 1], dtype=np.uint8), torch.tensor([0.0, 2, 1])):
        found = inputs.as_whole("labels", values)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, [0, 2, 1])
    assert inputs.as_whole("labels", []).dtype == np.int64


@pytest.mark.parametrize("values", [[-1], [0.5], [-0.5], [[0, -1]], [1e300], np.array([2**63])])
def test_not_whole(values):
    with pytest.raises(ValueError, match="labels must be whole numbers >= 0, got"):
        inputs.as_whole("labels", values)


@pytest.mark.parametrize(
    "values",
    [[0.5, 1], (0.5, 1.0), iter([0.5, 1]), np.array([0.5, 1]), torch.tensor([0.5, 1])],
    ids=["list", "tuple", "iterator", "array", "tensor"],
)
def test_several_betas(values):
    assert inputs.as_betas(values) == [0.5, 1]


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
def test_one_beta(value):
    assert inputs.as_betas(value) == [0.5]
    assert inputs.as_beta(value) == 0.5


def test_devices():
    for device in ("cpu", torch.device("cpu"), "cpu:0"):
        assert inputs.as_device(device).type == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "CPU", "", [], None])
def test_no_devices(device):
    with pytest.raises(ValueError, match=r"device must be .*'cpu'.* that PyTorch finds"):
        inputs.as_device(device)


def test_without_a_gpu_a_device_that_may_mean_one_is_told_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(
        ValueError, match=r"got 'gpu'; a GPU would be 'cuda', and PyTorch finds none$"
    ):
        inputs.as_device("gpu")


def test_one_beta_is_not_several():
    with pytest.raises(ValueError, match="beta must be one number > 0, got 2; give them one"):
        inputs.as_beta([0.5, 1])


@pytest.mark.parametrize("values", [[], -1, [1, 0], True, "0.5", math.nan, None, 1j, [[math.inf]]])
def test_no_betas(values):
    with pytest.raises(ValueError, match="beta"):
        inputs.as_betas(values)
    with pytest.raises(ValueError, match=r"\bbeta must"):
        inputs.as_beta(values)


def test_precision_is_that_of_each_column():
    frame = pd.DataFrame({"a": X[:, 0].astype("f4"), "b": [1, 2, 3, 4], "c": X[:, 2]})
    single, double = np.finfo("f4").eps, np.finfo("f8").eps
    np.testing.assert_array_equal(precision(frame), [single, 0, double])
    assert precision(X.astype("f4").tolist()) == 0
    assert precision(list(X.astype("f4"))) == single
    assert precision(torch.tensor(X, dtype=torch.bfloat16)) == 2**-7
    np.testing.assert_array_equal(precision(pd.DataFrame(X).astype("Float32")), [single] * 3)


# --- drawn at random ------------------------------------------------------------------------------

DTYPES = ["?", "i1", "u1", "i2", ">i4", "i8", "u8", "f2", "f4", ">f4", "f8", ">f8", "g"]
CONTAINERS = {
    "array": lambda A: A,
    "lists": lambda A: A.tolist(),
    "rows": list,
    "objects": lambda A: A.astype(object),
    "frame": lambda A: pd.DataFrame(A.astype(A.dtype.newbyteorder("="))),
    "tensor": lambda A: torch.tensor(A.astype("f8")),
    "rows of tensors": lambda A: list(torch.tensor(A.astype("f8"))),
    "read-only": lambda A: np.frombuffer(A.tobytes(), A.dtype).reshape(A.shape),
}
LAYOUTS = {
    "plain": lambda A: A,
    "backwards": lambda A: A[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "spread": lambda A: np.repeat(np.repeat(A, 2, axis=0), 3, axis=1)[::2, ::3],
    "repeated row": lambda A: np.broadcast_to(A[:1], A.shape),
}
SPOILED = [math.nan, math.inf, None, "1", 1j, 10**400, pd.NA, pd.NaT, Decimal("sNaN"), object()]


@settings(max_examples=200, derandomize=True)
@given(st.data())
def test_whatever_holds_the_numbers_they_are_the_same_or_refused_by_name(data):
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dtype, layout, container = (
        data.draw(st.sampled_from(choices)) for choices in (DTYPES, [*LAYOUTS], [*CONTAINERS])
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    A = LAYOUTS[layout](rng.integers(0, 100, shape).astype(dtype))
    expected = A.astype("f8")
    given_as = CONTAINERS[container](A)
    for door in (inputs.as_array, inputs.as_tensor):
        np.testing.assert_array_equal(door("X", given_as), expected)
    spoiled = np.asarray(A).astype(object)
    spoiled[tuple(rng.integers(0, shape))] = data.draw(st.sampled_from(SPOILED))
    for values in (spoiled, spoiled.tolist(), pd.DataFrame(spoiled)):
        for door in (inputs.as_array, inputs.as_tensor):
            with pytest.raises(ValueError, match="X must"):
                door("X", values)


def test_a_whitening_in_place_of_its_design_is_refused():
    whitening = whiten(np.random.default_rng(0).standard_normal((9, 3)))
    with pytest.raises(ValueError, match=r"U must be an array .* got a Whitening; give .* \.U"):
        sample_gates(whitening, 4, seed=0)
