"""All arrangements, against linear programs, Whitney's theorem, reflection groups and sampling."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog
from scipy.stats import ortho_group

from convexbn.arrangements import enumeration as arrangements
from convexbn.arrangements import hyperplanes
from convexbn.arrangements.enumeration import arrangement_gates, enumerate_arrangements
from convexbn.arrangements.gates import activation, number_of_arrangements, sample_gates
from convexbn.arrangements.hyperplanes import count_cells
from convexbn.whitening import whiten


def normal(n, p, seed=0):
    return np.random.default_rng(seed).standard_normal((n, p))


def patterns(D):
    """Return the columns of D as a set."""
    return {column.tobytes() for column in np.asarray(D).T}


def small(n, p, size=2):
    """Draw integer matrices up to (n, p): zero, repeated, opposite, collinear rows, low ranks."""
    shapes = st.tuples(st.integers(1, n), st.integers(1, p))
    entries = st.integers(-size, size)
    return shapes.flatmap(lambda shape: arrays(np.int64, shape, elements=entries))


def is_strictly_feasible(V):
    """Return whether some g has V g > 0, by a linear program.

    The largest margin over the cube is a quotient of determinants of integers, or here at least
    one of Gaussian data, far above the 1e-7 to which HiGHS keeps its constraints.
    """
    A = np.hstack([-V, np.ones((len(V), 1))])
    bounds = [(-1, 1)] * V.shape[1] + [(None, 1)]
    best = linprog(np.eye(A.shape[1])[-1] * -1, A_ub=A, b_ub=np.zeros(len(V)), bounds=bounds)
    return -best.fun > 1e-6


def patterns_by_linear_programs(U):
    """Return the patterns among all 2^n that are realized off the planes of the non-zero rows.

    A pattern whose beginning is infeasible is infeasible.
    """
    found = [[]]
    for row in range(len(U)):
        sides = [True, False] if U[row].any() else [True]
        found = [[*start, side] for start in found for side in sides]
        signed = [np.where(sides, 1, -1)[:, None] * U[: row + 1] for sides in found]
        found = [
            sides
            for sides, V in zip(found, signed, strict=True)
            if is_strictly_feasible(V[V.any(axis=1)])
        ]
    return {np.array(sides).tobytes() for sides in found}


def count_by_whitney(U):
    """Return the number of cells as the sum of (-1)^(|S| - rank S) over all sets S of rows.

    Whitney 1932, Zaslavsky 1975; zero rows aside. Ranks of small integer matrices are certain.
    """
    U = U[U.any(axis=1)]
    sets = np.array(list(itertools.product([0, 1], repeat=len(U))))
    ranks = np.linalg.matrix_rank(sets[:, :, None] * U) if len(U) else np.zeros(1)
    return int(((-1.0) ** (sets.sum(axis=1) - ranks)).sum())


def count_in_projective_plane(N):
    """Return the number of cells of integer rows in R^3, of rank 3, in whole numbers.

    The lines u^T x = 0 of the projective plane cut it into 1 + sum over their points of
    intersection of (lines through the point - 1) regions, and each is two cells.
    """

    def primitive(v):
        v = [int(x) // math.gcd(*map(int, v)) for x in v]
        return tuple(v if next(x for x in v if x) > 0 else [-x for x in v])

    lines = {primitive(row) for row in N if row.any()}
    through = {}
    for pair in itertools.combinations(lines, 2):
        through.setdefault(primitive(np.cross(*pair)), set()).update(pair)
    return 2 * (1 + sum(len(met) - 1 for met in through.values()))


def check_is_realized(U, D, G):
    """Check that D are different patterns of G, whose gates are clear of all planes."""
    assert D.dtype == bool
    assert D.shape == (len(U), G.shape[1])
    np.testing.assert_array_equal(activation(U, G), D)
    assert len(patterns(D)) == D.shape[1]
    rows = U[U.any(axis=1)]
    # Products of p numbers have rounding errors of at most p eps times these sizes.
    assert (np.abs(rows @ G) > 100 * np.finfo(float).eps * (np.abs(rows) @ np.abs(G))).all()


@given(small(7, 4))
@example(np.zeros((3, 2), dtype=int))
@example(np.ones((7, 3), dtype=int))
@settings(max_examples=40)
def test_integer_rows_against_linear_programs(U):
    D, G = enumerate_arrangements(U), arrangement_gates(U)
    check_is_realized(U, D, G)
    assert patterns(D) == patterns_by_linear_programs(U)


@pytest.mark.parametrize(("n", "p"), [(7, 1), (7, 2), (7, 3), (6, 4)])
def test_gaussian_rows_against_linear_programs(n, p):
    U = normal(n, p)
    assert patterns(enumerate_arrangements(U)) == patterns_by_linear_programs(U)


@given(small(10, 5, size=1), st.integers(0, 2**32 - 1))
def test_integer_rows_against_whitneys_theorem(U, seed):
    """Counts stay under a change of basis and of the rows' scales, which add rounding."""
    D, G = enumerate_arrangements(U), arrangement_gates(U)
    check_is_realized(U, D, G)
    assert D.shape[1] == count_by_whitney(U)
    rng = np.random.default_rng(seed)
    basis = normal(U.shape[1], U.shape[1], seed)
    scales = rng.lognormal(sigma=5, size=(len(U), 1)) * rng.choice([-1, 1], size=(len(U), 1))
    assert enumerate_arrangements(scales * U @ basis).shape[1] == D.shape[1]


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_generic_rows_have_covers_count(n, p, seed):
    n = min(n, {4: 20, 5: 14}.get(p, n))
    U = normal(n, p, seed)
    D, G = enumerate_arrangements(U), arrangement_gates(U)
    check_is_realized(U, D, G)
    assert D.shape[1] == number_of_arrangements(n, p)


@pytest.mark.parametrize(("n", "p"), [(200, 2), (100, 3), (40, 4), (20, 5), (12, 8), (9, 12)])
def test_whitened_data_have_covers_count(n, p):
    U = whiten(normal(n, p - 1)).U
    assert enumerate_arrangements(U).shape == (n, number_of_arrangements(n, U.shape[1]))


def test_forty_thousand_arrangements_are_enumerated():
    """In a quarter of a second; a method that went through 2^200 patterns would not end."""
    assert enumerate_arrangements(whiten(normal(200, 2)).U).shape == (200, 39_802)


def differences(p):
    """Return the planes x_i = x_j."""
    pairs = itertools.combinations(np.eye(p), 2)
    return np.array([a - b for a, b in pairs])


def sums(p):
    """Return the planes x_i = -x_j."""
    pairs = itertools.combinations(np.eye(p), 2)
    return np.array([a + b for a, b in pairs])


def halves():
    """Return the points (1, +-1, +-1, +-1) / 2."""
    return np.array(list(itertools.product([0.5], *[[0.5, -0.5]] * 3)))


def golden(p):
    """Return the even permutations of (phi, +-1, +-1/phi, 0) / 2 without the last 4 - p."""
    phi = (1 + np.sqrt(5)) / 2
    even = [s for s in itertools.permutations(range(p)) if np.linalg.det(np.eye(p)[list(s)]) > 0]
    points = [(phi, a, b / phi, 0) for a in (1, -1) for b in (1, -1)]
    return np.array([np.take(point, s) / 2 for s in even for point in points])


GROUPS = {  # the mirrors of a reflection group, as many cells as it has elements
    "A4": (differences(5), 120),
    "A5": (differences(6), 720),
    "B3": (np.vstack([np.eye(3), differences(3), sums(3)]), 48),
    "B5": (np.vstack([np.eye(5), differences(5), sums(5)]), 3840),
    "D4": (np.vstack([differences(4), sums(4)]), 192),
    "F4": (np.vstack([np.eye(4), differences(4), sums(4), halves()]), 1152),
    "H3": (np.vstack([np.eye(3), golden(3)]), 120),
    "H4": (np.vstack([np.eye(4), halves(), golden(4)]), 14_400),
}


@pytest.mark.parametrize("name", GROUPS)
def test_mirrors_of_reflection_groups(name):
    """Highly degenerate, and irrational for H3 and H4; also turned, stretched and shuffled."""
    U, order = GROUPS[name]
    assert enumerate_arrangements(U).shape[1] == order
    rng, p = np.random.default_rng(0), U.shape[1]
    turned = U @ ortho_group.rvs(p, random_state=0) * rng.lognormal(size=(len(U), 1))
    assert enumerate_arrangements(rng.permutation(turned)).shape[1] == order
    assert enumerate_arrangements(U @ normal(p, p)).shape[1] == order


@pytest.mark.parametrize("side", [3, 4, 7])
@pytest.mark.parametrize("stretch", [1, 1e4])
def test_lattice_points(side, stretch):
    X = np.array(list(itertools.product(range(side), repeat=2)))
    U = np.column_stack([X, np.ones(len(X), dtype=int)])
    number = count_in_projective_plane(U)
    assert number < number_of_arrangements(len(X), 3)  # collinear points abound
    assert enumerate_arrangements(U).shape[1] == number
    # Whitening keeps the planes through the points, up to rounding.
    assert enumerate_arrangements(whiten(X * [stretch, 1] + [7, 0]).U).shape[1] == number


@pytest.mark.parametrize(("n", "d"), [(30, 1), (20, 2), (12, 3)])
def test_sampling_finds_these_patterns_and_no_others(n, d):
    U = whiten(normal(n, d)).U
    every = patterns(enumerate_arrangements(U))
    many = patterns(activation(U, normal(d + 1, 100_000)))
    assert many <= every
    assert len(many) > 0.85 * len(every)  # else there would be little to compare
    assert patterns(activation(U, sample_gates(U, 10, 0))) <= every


@given(arrays(np.int64, (9, 2), elements=st.integers(0, 3)), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_shaken_lattice_points(X, seed):
    """Some points shaken by 1e-4 of the spacing: thin cells beside true coincidences."""
    rng = np.random.default_rng(seed)
    shake = rng.integers(-1, 2, X.shape) * rng.integers(0, 2, (len(X), 1))
    U = np.column_stack([10_000 * X + shake, np.full(len(X), 10_000)])
    assume(np.linalg.matrix_rank(U) == 3)
    assert enumerate_arrangements(U).shape[1] == count_in_projective_plane(U)


def test_real_looking_data():
    """Counts of features with ties, repeated samples and a constant column, whitened."""
    X = np.random.default_rng(0).poisson(2.0, (60, 3)).astype(float)
    X[:, 2] = 5
    U = whiten(X).U
    number = count_in_projective_plane(np.column_stack([X[:, :2], np.ones(60)]).astype(int))
    D = enumerate_arrangements(U)
    assert D.shape == (60, number)
    assert patterns(activation(U, normal(3, 20_000))) <= patterns(D)


@given(small(6, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_every_gate_is_in_the_closed_cone_of_a_pattern(U, seed):
    """In whole numbers, for gates on the planes as well: relu(U g) = D_i U g for some i."""
    signs = 2 * enumerate_arrangements(U) - 1  # (n, P)
    for g in np.random.default_rng(seed).integers(-2, 3, (20, U.shape[1])):
        assert (signs * (U @ g)[:, None] >= 0).all(axis=0).any()


@given(small(10, 4))
def test_order_is_lexicographic_and_complements_mirror_it(U):
    D = enumerate_arrangements(U)
    columns = [tuple(column) for column in D.T]
    assert columns == sorted(columns)
    moving = U.any(axis=1)
    np.testing.assert_array_equal(D[moving][:, ::-1], ~D[moving])
    assert D[~moving].all()


@given(small(8, 4), st.integers(0, 2**32 - 1))
def test_changes_that_leave_the_patterns_as_they_are(U, seed):
    D, rng = enumerate_arrangements(U), np.random.default_rng(seed)
    p = U.shape[1]
    scaled = U * 2.0 ** rng.integers(-300, 300, (len(U), 1))
    np.testing.assert_array_equal(enumerate_arrangements(scaled), D)
    np.testing.assert_array_equal(enumerate_arrangements(U * 10.0 ** rng.integers(-3, 3, p)), D)
    np.testing.assert_array_equal(enumerate_arrangements(U @ normal(p, p, seed)), D)
    np.testing.assert_array_equal(enumerate_arrangements(np.hstack([U, U])), D)
    order = rng.permutation(len(U))
    assert patterns(enumerate_arrangements(U[order])) == patterns(D[order])
    assert patterns(enumerate_arrangements(np.vstack([U, U]))) == patterns(np.vstack([D, D]))
    assert patterns(enumerate_arrangements(np.vstack([U, 0 * U]))) == patterns(
        np.vstack([D, np.ones_like(D)])
    )
    np.testing.assert_array_equal(arrangement_gates(U), arrangement_gates(U))


def test_order_of_more_rows_than_a_word_has_bits():
    D = enumerate_arrangements(whiten(normal(150, 1)).U)
    assert D.shape == (150, 300)
    columns = [tuple(column) for column in D.T]
    assert columns == sorted(columns)


def test_features_in_any_units():
    U = normal(15, 3)
    D = enumerate_arrangements(U)
    np.testing.assert_array_equal(enumerate_arrangements(U * [1, 1e-9, 1e9]), D)


def test_pieces_do_not_matter(monkeypatch):
    U = normal(10, 3)
    D = enumerate_arrangements(U)
    monkeypatch.setattr(arrangements, "_ENTRIES", 70)
    np.testing.assert_array_equal(enumerate_arrangements(U), D)


def test_nearly_coincident_rows():
    """Rows 1e-6 apart differ, rows within rounding do not; the first have cells as thin as that."""
    U = normal(12, 3)
    for distance, number in [(1e-6, 13), (1e-8, 13), (1e-14, 12), (0, 12)]:
        extra = U[0] + distance * normal(1, 3, seed=1)
        more = np.vstack([U, extra])
        assert enumerate_arrangements(more).shape[1] == number_of_arrangements(number, 3)
    assert enumerate_arrangements(np.vstack([U, U[0] + 1e-6]), tolerance=1e-4).shape == (13, 134)


@pytest.mark.parametrize("distance", [3e-11, 1e-10])
def test_rows_neither_coincident_nor_apart(distance):
    U = normal(12, 3)
    with pytest.raises(ValueError, match="some are near the tolerance"):
        enumerate_arrangements(np.vstack([U, U[0] + distance * normal(1, 3, seed=1)]))


@pytest.mark.parametrize("distance", [1, 1e-3, 1e-7])
def test_planes_through_one_line_however_near(distance):
    """The nearer two of them are, the less certain is their line to rounding."""
    U = normal(6, 3)
    U[5] = U[0] + distance * U[1]
    assert enumerate_arrangements(U).shape[1] == number_of_arrangements(6, 3) - 2


@pytest.mark.parametrize(("offset", "triangles"), [(1e-4, 1), (1e-9, 1), (1e-14, 0)])
def test_nearly_collinear_points(offset, triangles):
    """Three planes nearly through one line have a cell and its opposite between them."""
    U = np.array([[1.0, 0, 1], [0, 1, 1], [0.5, 0.5 + offset, 1], [2, -1, 1], [1, 3, 1]])
    U[3, 2] = 2  # [2, -1, 2] is on no line of two others
    collinear = np.array(U)
    collinear[2, 1] = 0.5
    less = count_in_projective_plane((2 * collinear).astype(int))
    assert enumerate_arrangements(U).shape[1] == less + 2 * triangles


def number_or_doubt(U):
    """Return the number of arrangements, or None if rounding leaves it in doubt."""
    try:
        return enumerate_arrangements(U).shape[1]
    except ValueError as error:
        if "near the tolerance; round the data" not in str(error):
            raise
        return None


@pytest.mark.parametrize("power", range(-14, -4))
def test_doubt_raises_an_error_and_never_gives_a_wrong_number(power):
    """A lattice in a basis within 10^power of singular, whose rounding whitening blows up."""
    X = np.array(list(itertools.product(range(5), repeat=2)))
    U = np.column_stack([X, np.ones(25, dtype=int)])
    number = number_or_doubt(U @ (np.ones((3, 3)) + np.diag([0, 1, 2]) * 10.0**power))
    right = {count_in_projective_plane(U)}
    if power <= -7:
        right |= {None}
    if power <= -11:  # within the tolerance: all rows coincide
        right |= {2}
    assert number in right


def test_more_than_the_limit():
    """Refused at once: a method that enumerated them first would not end."""
    U = normal(10_000, 5)
    bound = number_of_arrangements(10_000, 5)
    with pytest.raises(
        ValueError,
        match=rf"at most limit = 2000000 .* 10000 different .* rank 5, .* = {bound}; take fewer "
        r"samples, truncate to a smaller rank, sample with sample_gates, or raise the limit",
    ):
        enumerate_arrangements(U)
    with pytest.raises(ValueError, match="rank 60"):
        enumerate_arrangements(normal(100, 60))


@given(small(8, 4))
def test_the_limit_is_exact(U):
    number = enumerate_arrangements(U).shape[1]
    assert enumerate_arrangements(U, limit=number).shape[1] == number
    if number > 1:
        with pytest.raises(ValueError, match=f"at most limit = {number - 1} arrangements"):
            arrangement_gates(U, limit=number - 1)


def on_a_plane(rows, Z):
    """Move the first point to the plane of the first row."""
    Z = Z.copy()
    Z[:, 0] -= rows[0] * (rows[0] @ Z[:, 0])
    return Z


def repeated(rows, Z):
    """Put the last point in the cell of the first."""
    return np.hstack([Z[:, :-1], Z[:, :1]])


@pytest.mark.parametrize("spoil", [on_a_plane, repeated])
@pytest.mark.parametrize(
    ("module", "name"), [(arrangements, "interior_points"), (hyperplanes, "_sectors")]
)
def test_wrong_points_are_found_out(monkeypatch, spoil, module, name):
    right = getattr(module, name)
    monkeypatch.setattr(module, name, lambda rows, *blur: spoil(rows, right(rows, *blur)))
    with pytest.raises(ValueError, match="some are near the tolerance"):
        enumerate_arrangements(normal(8, 3))


@pytest.mark.parametrize("name", GROUPS)
def test_counting_without_enumerating(name):
    U, order = GROUPS[name]
    rows = np.linalg.svd(U)[0][:, : np.linalg.matrix_rank(U)]  # as many columns as the rank
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    blur = np.full(len(U), 1e-11)
    assert count_cells(rows, blur) == order
    for stop in range(0, order, 1 + order // 50):
        assert stop < count_cells(rows, blur, stop) <= order


@pytest.mark.parametrize(
    ("U", "message"),
    [
        (np.ones(3), r"must be a matrix \(n, r \+ 1\) .* got shape \(3,\)"),
        (np.ones((2, 3, 4)), r"got shape \(2, 3, 4\); stack the positions"),
        (np.ones((0, 3)), r"at least one row and column, got shape \(0, 3\)"),
        (np.ones((3, 0)), r"at least one row and column, got shape \(3, 0\)"),
        ([[1.0, np.nan]], "U must be finite, but 1 of its 2 entries"),
        ([[np.inf, 1.0]], "U must be finite, but 1 of its 2 entries"),
    ],
)
def test_bad_designs(U, message):
    for function in (enumerate_arrangements, arrangement_gates):
        with pytest.raises(ValueError, match=message):
            function(U)


@pytest.mark.parametrize("limit", [0, -5, 2.5, True, None])
def test_bad_limits(limit):
    with pytest.raises(ValueError, match=r"limit must be .*at least 1"):
        enumerate_arrangements(np.eye(2), limit)


@pytest.mark.parametrize("tolerance", [0, -1e-9, 1e-16, 0.5, np.nan])
def test_bad_tolerances(tolerance):
    with pytest.raises(ValueError, match=r"tolerance must be from 1e-14 to 1e-3, got"):
        enumerate_arrangements(np.eye(2), tolerance=tolerance)


def test_numbers_of_any_kind_are_taken():
    U = np.random.default_rng(0).standard_normal((6, 3))
    D = enumerate_arrangements(U)
    for given_as in (lambda U: U[::-1].copy()[::-1], list, torch.tensor, pd.DataFrame):
        np.testing.assert_array_equal(enumerate_arrangements(given_as(U)), D)


def test_a_design_of_zeros_has_one_arrangement():
    np.testing.assert_array_equal(enumerate_arrangements(np.zeros((5, 3))), np.ones((5, 1), bool))


def test_numbers_of_patterns_too_long_to_write_are_said_by_their_size():
    assert [arrangements._in_words(n) for n in (14, 10**18, 3 * 10**5000)] == [
        "14",
        "about 10^18",
        "about 10^5000",
    ]


def test_units_too_different_for_any_gate_are_refused():
    """It was an error about planes that nearly coincide, or, further apart, two patterns of 12."""
    U = np.random.default_rng(0).standard_normal((6, 2))
    expected = enumerate_arrangements(U)
    np.testing.assert_array_equal(enumerate_arrangements(U * [1, 1e-138]), expected)
    for units in ([1, 1e-156], [1e300, 1e-300]):
        with pytest.raises(ValueError, match="must not differ in size by more than"):
            enumerate_arrangements(U * units)
