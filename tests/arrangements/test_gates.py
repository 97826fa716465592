"""Gates against Cover's count of arrangements, and against rotating a vector by hand."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexbn.arrangements import gates
from convexbn.arrangements.gates import activation, number_of_arrangements, sample_gates
from convexbn.whitening import whiten


def design(n=20, d=3, seed=0):
    return whiten(np.random.default_rng(seed).standard_normal((n, d))).U


def patterns(D):
    """Return the columns of D as a set."""
    return {column.tobytes() for column in np.asarray(D).T}


def test_a_neuron_at_exactly_zero_is_active():
    U = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    G = np.array([[0.0, -0.0, 1.0], [0.0, 1.0, 0.0]])
    expected = [[True, True, True], [True, True, True], [True, True, False]]
    np.testing.assert_array_equal(activation(U, G), expected)
    np.testing.assert_array_equal(activation(torch.tensor(U), torch.tensor(G)), expected)


def test_positive_scale_does_not_matter_and_a_sign_flips():
    U, G = design(), np.random.default_rng(1).standard_normal((4, 10))
    D = activation(U, G)
    np.testing.assert_array_equal(activation(U, G * np.geomspace(1e-6, 1e6, 10)), D)
    np.testing.assert_array_equal(activation(U, -G), ~D)  # no sample lies on a gate's plane


@pytest.mark.parametrize("n", [1, 192, 193, 384, 385, 1000])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_activation_in_pieces_is_that_of_the_whole(monkeypatch, n, kind):
    rng = np.random.default_rng(0)
    U, G = kind(rng.standard_normal((n, 30))), kind(rng.standard_normal((30, 65)))
    expected = U @ G >= 0
    monkeypatch.setattr(gates, "CHUNK_BYTES", 1)
    pieces = list(gates._chunks(n, 65))
    assert pieces[0].start == 0
    assert pieces[-1].stop == n
    assert all(a.stop == b.start for a, b in pairwise(pieces))
    assert len(pieces) == max(1, -(-(n - 192) // 192))
    # No entry is near zero: the pieces may round in their own way where BLAS has many threads.
    np.testing.assert_array_equal(activation(U, G), expected)
    # Networks of a sweep have an axis before the samples.
    np.testing.assert_array_equal(activation(U[None], G)[0], expected)


@pytest.mark.parametrize(("n", "d", "P"), [(20, 3, 200), (50, 10, 64), (4, 2, 6)])
def test_sampled_patterns_all_differ(n, d, P):
    U = design(n, d)
    G = sample_gates(U, P, 0)
    assert G.shape == (d + 1, P)
    assert len(patterns(activation(U, G))) == P


def test_seeds():
    U = design()
    np.testing.assert_array_equal(sample_gates(U, 30, 7), sample_gates(U, 30, 7))
    assert not np.isin(sample_gates(U, 30, 8), sample_gates(U, 30, 7)).any()
    # A run spawns the seeds of its paths.
    first, second = np.random.SeedSequence(7).spawn(2)
    assert not np.isin(sample_gates(U, 30, first), sample_gates(U, 30, second)).any()


def test_gates_are_standard_normal():
    U = design(n=60, d=30)  # too many patterns for a duplicate to be drawn
    G = sample_gates(U, 2000, 0)
    # Mean and mean square of 62,000 entries: five standard errors.
    assert abs(G.mean()) < 5 / np.sqrt(G.size)
    assert abs((G**2).mean() - 1) < 5 * np.sqrt(2 / G.size)


def test_global_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    sample_gates(design(), 10, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("n", "p", "number"),
    [
        (1, 1, 2),
        (1, 5, 2),
        (7, 1, 2),  # one line through the origin: its two sides
        (2, 2, 4),
        (3, 2, 6),
        (10, 2, 20),  # 2 n in the plane
        (4, 3, 14),
        (10, 3, 92),  # n (n - 1) + 2 in space
        (6, 6, 64),  # n <= p: all 2^n
        (6, 60, 64),
    ],
)
def test_number_of_arrangements(n, p, number):
    assert number_of_arrangements(n, p) == number


@given(st.integers(1, 30), st.integers(1, 30))
def test_number_of_arrangements_obeys_covers_recursion(n, p):
    """A new point splits the arrangements whose plane can pass through it."""
    if p > 1:
        less = number_of_arrangements(n, p) + number_of_arrangements(n, p - 1)
        assert number_of_arrangements(n + 1, p) == less
    assert number_of_arrangements(n, p) <= 2**n


@pytest.mark.parametrize("n", [3, 5, 9])
def test_number_of_arrangements_by_turning_a_vector(n):
    U = design(n, 1)
    assert U.shape == (n, 2)
    edges = np.sort(np.concatenate([np.arctan2(U[:, 0], -U[:, 1]) + turn for turn in (0, np.pi)]))
    edges = np.sort(np.mod(edges, 2 * np.pi))  # a row is on a gate's line at these angles
    angles = [(a + b) / 2 for a, b in pairwise([*edges, edges[0] + 2 * np.pi])]
    every = patterns(activation(U, np.array([np.cos(angles), np.sin(angles)])))
    assert len(every) == number_of_arrangements(n, 2)
    P = n  # half of them are found with certainty
    assert patterns(activation(U, sample_gates(U, P, 0))) <= every


@pytest.mark.parametrize("P", [0, -1, 2.5, True, 41])
def test_more_gates_than_arrangements(P):
    with pytest.raises(ValueError, match=r"P must be .*from 1 to 40"):
        sample_gates(design(n=20, d=1), P, 0)


def test_repeated_rows_have_fewer_patterns_than_the_count():
    X = np.repeat(np.random.default_rng(0).standard_normal((4, 2)), 50, axis=0)
    U = whiten(X).U
    with pytest.raises(ValueError, match=r"found 14 different .* P = 100 .* repeated rows"):
        sample_gates(U, 100, 0)  # 14 = number_of_arrangements(4, 3)
    assert sample_gates(U, 8, 0).shape == (3, 8)


# --- what callers hand in -------------------------------------------------------------------------

KINDS = {
    "backwards": lambda A: A[::-1].copy()[::-1],
    "big-endian": lambda A: A.astype(">f8"),
    "objects": lambda A: A.astype(object),
    "lists": lambda A: A.tolist(),
    "frame": pd.DataFrame,
    "tensor": lambda A: torch.tensor(A, requires_grad=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_kind_are_taken(kind):
    U, G = design(), np.random.default_rng(1).standard_normal((4, 10))
    D = activation(KINDS[kind](U), G)
    assert torch.is_tensor(D) == (kind == "tensor")
    np.testing.assert_array_equal(D, activation(U, G))
    np.testing.assert_array_equal(activation(U, KINDS[kind](G)), activation(U, G))
    np.testing.assert_array_equal(sample_gates(KINDS[kind](U), 10, 0), sample_gates(U, 10, 0))


def test_integers_do_not_wrap_around():
    U = np.full((1, 2), 100, dtype=np.int8)
    assert activation(U, U.T).all()


def test_no_gates_have_no_patterns():
    assert activation(design(), np.empty((4, 0))).shape == (20, 0)


@pytest.mark.parametrize(
    ("U", "G", "message"),
    [
        (np.ones((3, 2)), np.ones((3, 2)), r"got \(3, 2\) and \(3, 2\); give gates drawn for this"),
        (np.ones((3, 2)), np.ones(2), r"got \(3, 2\) and \(2,\)"),
        (np.ones(2), np.ones((2, 1)), r"got \(2,\) and \(2, 1\)"),
        (np.full((3, 2), np.nan), np.ones((2, 1)), "U must be finite"),
        (np.ones((3, 2)), np.ones((2, 1)) * 1j, "G must be an array of real numbers"),
        (scipy.sparse.eye(2), np.ones((2, 1)), "U must be .*sparse"),
    ],
)
def test_designs_and_gates_that_do_not_fit_are_refused(U, G, message):
    with pytest.raises(ValueError, match=message):
        activation(U, G)


@pytest.mark.parametrize("U", [np.ones(3), np.ones((2, 3, 4)), np.empty((0, 3)), [[np.nan]], "U"])
def test_no_gates_are_sampled_for_what_is_no_design(U):
    with pytest.raises(ValueError, match="U must be"):
        sample_gates(U, 1, 0)


def test_patterns_are_counted_no_further_than_gates_can_be_asked_for(monkeypatch):
    counted = []
    real = gates.number_of_arrangements

    def number_of_arrangements(n, p):
        counted.append(p)
        return real(n, p)

    monkeypatch.setattr(gates, "number_of_arrangements", number_of_arrangements)
    assert sample_gates(np.ones((90, 80)) - np.eye(90, 80), 3, seed=0).shape == (80, 3)
    assert counted == [64]
    assert real(65, 64) > 2**63 - 1  # so that none is refused that there is


def test_few_gates_are_enough_where_more_are_not_to_be_had():
    U = whiten(np.array([[0.0], [1.0], [3.0]])).U
    few = sample_gates(U, 1000, 0, at_most=True)
    assert few.shape == (2, 6)  # three points in the plane, all patterns that there are
    assert len(np.unique(activation(U, few), axis=1).T) == 6
    repeated = np.vstack([U, U])  # its bound is higher than what there is
    assert sample_gates(repeated, 1000, 0, at_most=True).shape == (2, 6)
    np.testing.assert_array_equal(sample_gates(U, 4, 3, at_most=True), sample_gates(U, 4, 3))
    with pytest.raises(ValueError, match="ask for fewer gates or at_most=True"):
        sample_gates(repeated, 8, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed must be"):
        sample_gates(np.eye(3), 2, seed)
