"""Whitening against what defines it, and against torch's own batch normalization."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.networks.architectures import affine_gates
from convexbn.networks.closed_form import closed_form
from convexbn.networks.recovery import recover_network
from convexbn.programs.solutions import Solution
from convexbn.solvers import solve
from convexbn.whitening import FILTERS, Whitening, whiten

EPS = np.finfo(np.float64).eps
ROUNDING = 1e-12  # a few thousand units of rounding: products of matrices with up to 60 rows


def draw(n=40, d=6, seed=0):
    """Correlated data with a mean, so that neither centring nor whitening is idle."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


shapes = st.tuples(st.integers(2, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))


@given(shapes)
def test_columns_are_orthonormal(shape):
    U = whiten(draw(*shape)).U
    np.testing.assert_allclose(U.T @ U, np.eye(U.shape[1]), atol=ROUNDING)


@given(shapes)
def test_factors_give_the_data_back(shape):
    X = draw(*shape)
    w = whiten(X)
    again = w.mean + w.U[:, :-1] * w.singular_values @ w.V.T
    np.testing.assert_allclose(again, X, atol=ROUNDING * np.linalg.norm(X))


def test_rank_is_that_of_the_centred_data():
    n, d = 10, 30
    assert whiten(draw(n, d)).rank == n - 1
    assert whiten(draw(d, n)).rank == n


def test_singular_values_descend_and_v_is_orthonormal():
    w = whiten(draw())
    assert (np.diff(w.singular_values) <= 0).all()
    np.testing.assert_allclose(w.V.T @ w.V, np.eye(w.rank), atol=ROUNDING)


def test_transform_takes_the_training_data_to_u():
    X = draw()
    # Division by the smallest singular value magnifies rounding by the condition number.
    w = whiten(X)
    condition = w.singular_values[0] / w.singular_values[-1]
    np.testing.assert_allclose(w.transform(X), w.U, atol=ROUNDING * condition)


def test_transform_takes_each_sample_by_itself():
    w, new = whiten(draw()), draw(seed=1)
    alone = np.vstack([w.transform(row[None]) for row in new])
    # The constant column holds the number of training samples, not of new ones.
    np.testing.assert_allclose(alone, w.transform(new), atol=ROUNDING)
    assert (alone[:, -1] == 1 / np.sqrt(len(w.U))).all()


def test_transform_takes_no_samples():
    assert whiten(draw(d=6)).transform(np.empty((0, 6))).shape == (0, 7)


@pytest.mark.parametrize("shape", [(5, 4), (6,), (2, 6, 1)])
def test_transform_refuses_other_features(shape):
    with pytest.raises(ValueError, match=r"shape \(m, 6\).*got"):
        whiten(draw(d=6)).transform(np.zeros(shape))


def test_truncation_keeps_the_leading_columns():
    w = whiten(draw())
    cut = w.truncate(rank=3)
    np.testing.assert_array_equal(cut.U, np.hstack([w.U[:, :3], w.U[:, -1:]]))
    np.testing.assert_array_equal(cut.V, w.V[:, :3])
    np.testing.assert_array_equal(cut.transform(w.mean[None]), [[0, 0, 0, 1 / np.sqrt(40)]])
    assert cut.energy == pytest.approx((w.singular_values[:3] ** 2).sum() / w.total_energy)


def test_truncation_is_the_best_approximation():
    """Eckart and Young: no other rank-2 subspace holds more energy."""
    X = draw()
    w, rng = whiten(X, rank=2), np.random.default_rng(3)
    kept = w.energy * w.total_energy
    assert np.linalg.norm((X - X.mean(0)) @ w.V) ** 2 == pytest.approx(kept, rel=ROUNDING)
    for _ in range(20):
        Q, _ = np.linalg.qr(w.V + 0.3 * rng.standard_normal(w.V.shape))
        assert np.linalg.norm((X - X.mean(0)) @ Q) ** 2 < kept


def by_hand(values) -> Whitening:
    """A whitening with given singular values; its other fields are of no matter."""
    values, r = np.asarray(values, dtype=float), len(values)
    energy = float((values**2).sum())
    return Whitening(np.eye(20, r + 1), values, np.eye(r), np.zeros(r), energy, np.ones(r))


def test_a_filtered_design_says_how_much_energy_it_has_to_give():
    filtered = by_hand([2, 1, 1, 1, 1]).filtered("ridge", 0.5)
    with pytest.raises(ValueError, match=r"holds 0\.625000 of it"):  # (4 + 1) / 8
        filtered.truncate(2).truncate(energy=0.9)


@pytest.mark.parametrize(
    ("energy", "rank"),
    [(1e-9, 1), (0.49, 1), (0.5, 1), (0.51, 2), (0.625, 2), (0.626, 3), (0.875, 4), (1, 5)],
)
def test_energy_is_reached_by_the_smallest_rank(energy, rank):
    # Squares 4, 1, 1, 1, 1 of sum 8: shares 1/2, 5/8, ... are exact in binary.
    assert by_hand([2, 1, 1, 1, 1]).truncate(energy=energy).rank == rank


@given(shapes)
def test_energy_of_a_truncation_selects_it_again(shape):
    w = whiten(draw(*shape))
    for k in range(1, w.rank + 1):
        assert w.truncate(energy=w.truncate(rank=k).energy).rank == k


def test_full_energy_and_full_rank_keep_everything():
    w = whiten(draw())
    for cut in (w.truncate(), w.truncate(energy=1.0), w.truncate(rank=w.rank)):
        np.testing.assert_array_equal(cut.U, w.U)
        assert cut.energy == pytest.approx(1, rel=EPS * 10)


def test_truncation_twice_is_truncation_once():
    w = whiten(draw())
    np.testing.assert_array_equal(w.truncate(rank=4).truncate(rank=2).U, w.truncate(rank=2).U)
    # Shares are of the full data also after a truncation, and what was dropped cannot come back.
    with pytest.raises(ValueError, match="truncate the full design"):
        w.truncate(rank=2).truncate(energy=0.999999)


def test_whiten_truncates_as_truncate_does():
    X = draw()
    w = whiten(X)
    np.testing.assert_array_equal(whiten(X, rank=2).U, w.truncate(rank=2).U)
    np.testing.assert_array_equal(whiten(X, energy=0.7).U, w.truncate(energy=0.7).U)


def test_tensors_and_back():
    w = whiten(draw(), rank=3)
    again = Whitening.from_tensors(w.tensors() | {"seconds": np.array(1.0)})
    assert again.total_energy == w.total_energy
    np.testing.assert_array_equal(again.transform(draw(seed=1)), w.transform(draw(seed=1)))


def test_redundant_features_add_no_direction():
    X = draw(n=40, d=5)
    more = np.hstack([X, X[:, :2], np.full((40, 1), 3.7), X @ np.ones((5, 1)) / 3])
    w, fewer = whiten(more), whiten(X)
    assert w.rank == fewer.rank == 5
    # The same subspace: equal projections.
    np.testing.assert_allclose(w.U @ w.U.T, fewer.U @ fewer.U.T, atol=1e-11)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3, -1e-30])
def test_constant_data_have_nothing_to_normalize(value):
    with pytest.raises(ValueError, match="all rows of X are equal"):
        whiten(np.full((30, 4), value))
    with pytest.raises(ValueError, match="all rows of X are equal"):
        whiten(np.full((1, 4), value))


def projection(X):
    U = whiten(X).U
    return U @ U.T  # leaves the signs and the basis open


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e6))
def test_shift_and_scale_do_not_matter(shift, scale):
    X = draw()
    # A shift of 1000 on data of size 1 costs three digits.
    np.testing.assert_allclose(projection(scale * (X + shift)), projection(X), atol=1e-10)


def test_mixing_features_does_not_matter():
    """BN(X w) sees X through all its w: an invertible map of the features changes nothing."""
    mix = np.random.default_rng(5).standard_normal((6, 6))
    tolerance = ROUNDING * np.linalg.cond(mix) ** 2
    np.testing.assert_allclose(projection(draw() @ mix), projection(draw()), atol=tolerance)


def test_numbers_of_any_kind_are_taken():
    X = np.arange(12).reshape(4, 3) ** 2
    reference = whiten(X.astype(float)).U
    for given_as in (X, X.tolist(), torch.as_tensor(X), torch.as_tensor(X, dtype=torch.float32)):
        U = whiten(given_as).U
        assert U.dtype == np.float64
        np.testing.assert_array_equal(U, reference)


def paper_neuron(w, weights, gamma, alpha):
    """Return s = [gamma q/||q||; alpha], q = diag(sigma) V^T w, for each column of weights."""
    q = w.singular_values[:, None] * (w.V.T @ weights)
    return np.vstack([gamma * q / np.linalg.norm(q, axis=0), alpha])


def batch_norm(z, gamma, alpha, n):
    """Return torch's layer, which takes gamma/sqrt(n) and alpha/sqrt(n), and its input."""
    # torch wants eps > 0 in training; this one is lost in the rounding of any variance here.
    layer = torch.nn.BatchNorm1d(z.shape[1], eps=1e-300, momentum=1.0).double()
    layer.weight.data = torch.as_tensor(gamma / np.sqrt(n))
    layer.bias.data = torch.as_tensor(alpha / np.sqrt(n))
    return layer, torch.as_tensor(z)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (8, 20)])
def test_batch_normalization_is_the_whitened_design(n, d):
    X, rng = draw(n, d), np.random.default_rng(1)
    w = whiten(X)
    weights, gamma, alpha = rng.standard_normal((d, 5)), rng.random(5), rng.standard_normal(5)
    layer, z = batch_norm(X @ weights, gamma, alpha, n)
    s = paper_neuron(w, weights, gamma, alpha)
    with torch.no_grad():
        np.testing.assert_allclose(w.U @ s, layer(z).numpy(), atol=ROUNDING)


def test_batch_normalization_of_new_samples_is_the_transform():
    X, new, rng, n = draw(), draw(seed=1), np.random.default_rng(1), 40
    w = whiten(X)
    weights, gamma, alpha = rng.standard_normal((6, 5)), rng.random(5), rng.standard_normal(5)
    layer, z = batch_norm(X @ weights, gamma, alpha, n)
    with torch.no_grad():
        layer(z)  # with momentum 1 the running mean is that of the training data
        # torch keeps the unbiased variance; the paper normalizes by that of the population.
        layer.running_var.mul_((n - 1) / n)
        expected = layer.eval()(torch.as_tensor(new @ weights)).numpy()
    actual = w.transform(new) @ paper_neuron(w, weights, gamma, alpha)
    np.testing.assert_allclose(actual, expected, atol=1e-11)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad):
    X = draw()
    X[3, 2] = bad
    with pytest.raises(ValueError, match="X must be finite, but 1 of its 240 entries"):
        whiten(X)


@pytest.mark.parametrize("shape", [(5,), (0, 3), (3, 0), (2, 2, 2)])
def test_not_a_matrix(shape):
    with pytest.raises(ValueError, match="non-empty matrix of shape"):
        whiten(np.ones(shape))


@pytest.mark.parametrize("rank", [0, -1, 7, 2.0, True, "3"])
def test_rank_out_of_range(rank):
    with pytest.raises(ValueError, match=r"rank must be .*from 1 to 6"):
        whiten(draw(d=6), rank=rank)


@pytest.mark.parametrize("energy", [0, -0.1, 1.0001, np.nan, "0.9", True])
def test_energy_out_of_range(energy):
    with pytest.raises(ValueError, match=r"energy must be a share in \(0, 1\]"):
        whiten(draw(), energy=energy)


def test_rank_and_energy_exclude_each_other():
    with pytest.raises(ValueError, match="rank or energy, not both"):
        whiten(draw(), rank=2, energy=0.5)


def test_whitening_is_frozen():
    w = whiten(draw())
    assert replace(w, total_energy=1.0).total_energy == 1.0
    with pytest.raises(AttributeError):
        w.total_energy = 1.0


def test_rounding_of_single_precision_is_no_direction():
    """Rows of mean zero lie in a hyperplane, which float32 can store only up to rounding."""
    X = np.random.default_rng(0).standard_normal((500, 40)).astype(np.float32)
    X -= X.mean(axis=1, keepdims=True)
    assert np.linalg.matrix_rank(X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)) == 40
    assert whiten(X).rank == 39


def test_each_column_has_its_own_rounding():
    """Seconds since 1970 in single precision are good to 128, and say nothing of the others."""
    rng = np.random.default_rng(0)
    X = np.c_[rng.standard_normal((200, 3)), 1.7e9 + 60 * np.arange(200)].astype("f4")
    w = whiten(X)
    assert w.rank == 4
    y = X[:, 1] - X[:, 1].mean()
    np.testing.assert_allclose(w.U @ (w.U.T @ y), y, atol=1e-6)  # in the span, to single precision


def test_energy_tells_of_directions_that_rounding_hides():
    """Deviations of 1 about 1e6 are stored to 1/16, and a difference of 1/100 is not."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200))
    X = (1e6 + np.c_[a, b, a + 0.01 * rng.standard_normal(200)]).astype("f4")
    w = whiten(X)
    assert w.rank == 2
    assert 0.999 < w.energy < 0.99999
    assert w.truncate(rank=2).energy == w.energy
    assert w.truncate(energy=0.9).rank == 2
    with pytest.raises(ValueError, match="is no more than the rounding of the data"):
        w.truncate(energy=1.0)
    assert whiten(X, energy=1.0).rank == 2


def test_each_column_of_a_frame_has_its_own_precision():
    """What is rounding in single precision is data in double precision."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(200)
    close = a + 1e-9 * rng.standard_normal(200)
    assert whiten(pd.DataFrame({"a": a, "b": close})).rank == 2
    assert whiten(pd.DataFrame({"a": a.astype("f4"), "b": a})).rank == 1
    assert whiten(pd.DataFrame({"a": a, "b": rng.integers(0, 5, 200)}).astype("Float64")).rank == 2


@pytest.mark.parametrize("mean", [1e4, 1e8, 1e10, 1e12, 1e14])
def test_a_far_mean_costs_no_orthogonality(mean):
    X = draw() + mean
    w = whiten(X)
    assert w.rank == 6
    np.testing.assert_allclose(w.U.T @ w.U, np.eye(7), atol=10 * EPS)
    # The mean itself is known to its rounding, and so is a new sample.
    atol = ROUNDING + 4 * EPS * mean / w.singular_values[-1]
    np.testing.assert_allclose(w.transform(X), w.U, atol=atol)


@pytest.mark.parametrize("unit", [1e-290, 1e-200, 1e-30, 1e30, 1e200, 1e300])
def test_no_unit_is_too_large_or_small(unit):
    X = draw()
    w, other = whiten(X), whiten(unit * X)
    np.testing.assert_allclose(other.U, w.U, atol=ROUNDING)
    np.testing.assert_allclose(other.transform(unit * X), w.U, atol=ROUNDING)
    np.testing.assert_allclose(other.singular_values, unit * w.singular_values, rtol=ROUNDING)
    assert other.energy == 1
    assert other.truncate(energy=0.9).rank == w.truncate(energy=0.9).rank
    assert other.truncate(rank=2).energy == pytest.approx(w.truncate(rank=2).energy)


def test_features_too_small_or_too_different_are_refused():
    with pytest.raises(ValueError, match="must not be smaller than 1e-300"):
        whiten(1e-305 * draw())
    with pytest.raises(ValueError, match="must not differ in size by more than a factor of 1e140"):
        whiten(draw(d=3) * [1e300, 1, 1e-300])


units = pytest.mark.parametrize("digits", [3, 8, 40])


@units
@pytest.mark.parametrize(("n", "d"), [(40, 6), (8, 20)])
def test_batch_normalization_sees_no_units(n, d, digits):
    X = draw(n, d)
    scales = 10.0 ** np.random.default_rng(1).permutation(np.linspace(-digits, digits, d))
    w = whiten(X * scales)
    np.testing.assert_allclose(w.U @ w.U.T, projection(X), atol=1e-11)
    np.testing.assert_allclose(w.transform(X * scales), w.U, atol=1e-11)
    np.testing.assert_allclose(w.V.T @ w.V, np.eye(w.rank), atol=1e-11)


@units
def test_neither_the_optimum_nor_the_largest_penalty_sees_units(digits):
    X, y = draw(30, 4), np.random.default_rng(1).standard_normal(30)
    scales = 10.0 ** np.linspace(-digits, digits, 4)
    w, other = whiten(X), whiten(X * scales)
    # The same neurons: gates in the coordinates of the other design.
    G = sample_gates(w.U, 20, 0)
    H = other.U.T @ w.U @ G
    D = activation(w.U, G)
    np.testing.assert_array_equal(activation(other.U, H), D)
    found = [solve(U, D, y, 0.5, tol=1e-9).certificate.objective for U in (w.U, other.U)]
    assert found[1] == pytest.approx(found[0], rel=1e-8)
    coordinates = [U.T @ (D * y[:, None]) for U in (w.U, other.U)]  # (r + 1, P)
    largest = [np.linalg.norm(c, axis=0).max() for c in coordinates]  # beta_max
    assert largest[1] == pytest.approx(largest[0], rel=1e-11)


def test_nearly_dependent_features_cost_no_orthogonality():
    X = np.vander(10 * np.random.default_rng(0).random(200), 8)  # the last is constant
    U = whiten(X).U
    assert U.shape == (200, 8)
    np.testing.assert_allclose(U.T @ U, np.eye(8), atol=10 * EPS)


def test_a_constant_feature_may_be_of_any_size():
    X = draw()
    w = whiten(np.c_[X, np.full(40, 1.7e308)])
    np.testing.assert_allclose(w.U @ w.U.T, projection(X), atol=ROUNDING)
    assert w.mean[-1] == 1.7e308
    assert not w.V[-1].any()


def test_constant_columns_are_dropped_and_said_if_they_are_not_quite_constant():
    X = draw()
    with warnings.catch_warnings(action="error"):
        w = whiten(np.c_[X, np.full(40, 0.1)])
    np.testing.assert_allclose(w.U, whiten(X).U, atol=ROUNDING)
    noisy = np.float32(1e9) + 64 * (np.arange(40) % 2)  # neighbours in single precision
    with pytest.warns(UserWarning, match=r"columns \[6\] of X vary by less than the rounding"):
        assert whiten(np.c_[X, noisy].astype("f4")).rank == 6
    with pytest.warns(match="of X vary"), pytest.raises(ValueError, match="equal, up to rounding"):
        whiten(noisy.astype("f4")[:, None])


@pytest.mark.parametrize(
    "given_as",
    [
        lambda X: X.astype(object),
        lambda X: X[::-1].copy()[::-1],
        lambda X: X.astype(">f8"),
        lambda X: torch.tensor(X, requires_grad=True),
        lambda X: list(torch.tensor(X)),
        pd.DataFrame,
    ],
)
def test_containers_of_any_kind_are_taken(given_as):
    np.testing.assert_array_equal(whiten(given_as(draw())).U, whiten(draw()).U)


def test_low_precision_is_taken_and_known():
    X = torch.tensor(draw(), dtype=torch.bfloat16)
    assert whiten(X).rank == 6
    assert whiten(torch.cat([X, X + 0.003 * X.roll(1, 0)], dim=1)).rank < 12


@pytest.mark.parametrize(
    "given_as",
    [
        np.asarray,
        memoryview,
        list,
        lambda X: pd.DataFrame(X).astype(pd.SparseDtype("float32", 0.0)),
        lambda X: pd.DataFrame(X).astype("category"),
        lambda X: type("Holder", (), {"__array__": lambda self, *dtype, copy=None: X})(),
    ],
    ids=["array", "buffer", "list", "sparse", "categories", "__array__"],
)
def test_the_precision_is_that_of_the_numbers_in_any_container(given_as):
    """In the others, the rounding of single precision became three features."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((30, 3)) @ rng.standard_normal((3, 6))).astype("f4")
    assert whiten(given_as(X)).rank == 3


@pytest.mark.parametrize("given_as", [np.asarray, torch.tensor, pd.DataFrame, np.ndarray.tolist])
def test_whole_numbers_that_float64_does_not_tell_apart_are_named(given_as):
    """Nanoseconds since 1970 are multiples of 256 in float64."""
    k, z = np.random.default_rng(0).integers(0, 100, (2, 40))
    X = np.c_[1_700_000_000_000_000_000 + k, z]
    with pytest.warns(UserWarning, match=r"columns \[0\] of X vary by less than the rounding"):
        assert whiten(given_as(X)).rank == 1
    with warnings.catch_warnings(action="error"):
        assert whiten(given_as(X - X[0])).rank == 2
        assert whiten(given_as(np.c_[0 * k + 2**60, z])).rank == 1


@pytest.mark.parametrize(
    "X",
    [scipy.sparse.csr_matrix(np.eye(3)), [["a"]], [[pd.NA], [1]], [[1j], [0]], np.ma.ones((3, 2))],
)
def test_what_is_no_matrix_of_numbers_is_refused_by_name(X):
    with pytest.raises(ValueError, match="X must"):
        whiten(X)


def test_the_data_are_not_written_to():
    X = draw() + 1e6
    before = X.copy()
    w = whiten(X)
    np.testing.assert_array_equal(X, before)
    U = w.U.copy()
    X[:] = 0
    np.testing.assert_array_equal(w.U, U)


# --- patches --------------------------------------------------------------------------------------


def test_patches_are_taken_to_the_rows_of_all_of_them():
    K, n, h = 5, 8, 6
    X = draw(K * n, h).reshape(K, n, h)
    w = whiten(X.reshape(K * n, h))
    U = w.transform(X)
    assert U.shape == (K, n, h + 1)
    np.testing.assert_array_equal(U.reshape(K * n, -1), w.transform(X.reshape(K * n, h)))
    assert w.transform(X[:, :0]).shape == (K, 0, h + 1)


# --- filters --------------------------------------------------------------------------------------

filters = st.tuples(st.sampled_from(list(FILTERS)), st.floats(1e-3, 10))


@given(shapes, filters)
def test_a_filter_scales_columns_and_the_map_alike(shape, name):
    X = draw(*shape)
    w = whiten(X)
    soft = w.filtered(*name)
    assert (np.diff(soft.gains) <= 0).all()
    assert (soft.gains > 0).all()
    assert (soft.gains <= 1).all()
    np.testing.assert_array_equal(soft.U[:, :-1], w.U[:, :-1] * soft.gains)
    np.testing.assert_array_equal(soft.U[:, -1], w.U[:, -1])
    np.testing.assert_array_equal(soft.singular_values, w.singular_values)
    # Coordinate by coordinate the maps differ by the gain, whatever the condition of X.
    expected = w.transform(draw(9, shape[1], seed=1)) * np.append(soft.gains, 1)
    np.testing.assert_allclose(
        soft.transform(draw(9, shape[1], seed=1)), expected, rtol=1e-9, atol=ROUNDING
    )


def test_a_ridge_filter_is_ridge_regression():
    """U diag(f) U^T y are the centred predictions of ridge regression with alpha c sigma_1^2."""
    X, y = draw(), np.random.default_rng(1).standard_normal(40)
    w = whiten(X)
    ridge = Ridge(alpha=0.05 * w.singular_values[0] ** 2).fit(X, y)
    fitted = w.filtered("ridge", 0.05).U[:, :-1] @ (w.U[:, :-1].T @ y)
    np.testing.assert_allclose(fitted, ridge.predict(X) - y.mean(), atol=1e-11)


def test_the_first_power_is_principal_components():
    """Scaled to singular value 1 for the largest; a component's sign is free."""
    X = draw()
    w = whiten(X).filtered("power", 1.0)
    scores = PCA().fit_transform(X) / w.singular_values[0]
    np.testing.assert_allclose(np.abs(w.U[:, :-1]), np.abs(scores), atol=1e-11)


def test_a_filter_of_no_strength_keeps_everything_and_a_strong_one_the_first_direction():
    w = whiten(draw())
    for kind in FILTERS:
        np.testing.assert_allclose(w.filtered(kind, 1e-14).U, w.U, atol=1e-10)
    assert w.filtered("power", 1e3).gains[0] == 1
    assert w.filtered("power", 1e3).gains[1:].max() < 1e-12


def test_filtering_and_truncating_can_change_places():
    w = whiten(draw())
    one = w.filtered("ridge", 0.1).truncate(rank=3)
    other = w.truncate(rank=3).filtered("ridge", 0.1)
    np.testing.assert_array_equal(one.U, other.U)
    np.testing.assert_array_equal(one.gains, other.gains)
    assert one.energy == other.energy


def test_energy_of_a_filter_is_that_of_the_filtered_data():
    X = draw()
    w = whiten(X).filtered("power", 0.7)
    data = w.U[:, :-1] * w.singular_values @ w.V.T
    share = np.linalg.norm(data) ** 2 / np.linalg.norm(X - X.mean(axis=0)) ** 2
    assert w.energy == pytest.approx(share, rel=ROUNDING)


def test_gates_in_the_filtered_space_are_affine_gates_on_the_data():
    X = draw()
    w, G = whiten(X).filtered("ridge", 0.1), np.random.default_rng(0).standard_normal((7, 20))
    affine = np.hstack([X - w.mean, np.ones((40, 1))]) @ affine_gates(G, w).numpy()
    # No sample is within rounding of one of the 20 hyperplanes: 800 numbers of order 0.1.
    np.testing.assert_array_equal(affine >= 0, activation(w.U, G))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("cut", 0.1, "kind must be one of 'ridge', 'power'.*, got 'cut'"),
        ("ridge", 0.0, "value must be > 0"),
        ("power", np.nan, "value must be > 0 and finite"),
        ("power", "1", "value must be a number"),
    ],
)
def test_filters_that_are_none(kind, value, message):
    with pytest.raises(ValueError, match=message):
        whiten(draw()).filtered(kind, value)


def test_a_filtered_program_is_no_network():
    w, G = whiten(draw()).filtered("ridge", 0.1), np.ones((7, 2))
    solution = Solution(np.ones((7, 2, 1)), None, 1.0)
    with pytest.raises(ValueError, match="filtered design has no BN network"):
        recover_network(solution, w, gates=G)


# --- data frames ----------------------------------------------------------------------------------

FRAME = pd.DataFrame(draw(), columns=[f"x{i}" for i in range(6)])


def test_columns_of_a_frame_are_known_by_name():
    w = whiten(FRAME)
    assert w.columns == tuple(FRAME.columns) == w.truncate(2).columns
    assert w.filtered("ridge", 0.1).columns == w.columns
    np.testing.assert_array_equal(w.transform(FRAME), w.transform(FRAME.to_numpy()))
    for unnamed in (FRAME.to_numpy(), FRAME.set_axis(range(6), axis=1)):
        assert whiten(unnamed).columns is None
        whiten(unnamed).transform(FRAME)
        w.transform(unnamed)


WRONG_COLUMNS = {
    "another order": (FRAME[FRAME.columns[::-1]], "the same in another order; select them in that"),
    "another name": (FRAME.rename(columns={"x0": "z"}), r"without \['x0'\] and with \['z'\]"),
    "one less": (FRAME[["x0"]], r"without \['x1', 'x2', 'x3', 'x4', 'x5'\] and with \[\]"),
}


@pytest.mark.parametrize("change", WRONG_COLUMNS)
def test_other_columns_are_refused(change):
    """Also by the network, which is given the data themselves."""
    w, (frame, words) = whiten(FRAME), WRONG_COLUMNS[change]
    with pytest.raises(ValueError, match=f"new samples must have the columns.*{words}"):
        w.transform(frame)
    G = sample_gates(w.U, 5, 0)
    gated = solve(w.U, activation(w.U, G), w.U[:, 0], 0.1)
    for network in (
        recover_network(gated, w, gates=G),
        closed_form(FRAME[:6], FRAME["x0"][:6], 0.1).network,
        recover_network(Solution(np.ones((2, 7, 1)), gated.certificate, 1.0, "relu_bn"), FRAME),
    ):
        network.predict(FRAME)
        with pytest.raises(ValueError, match=f"X must have the columns.*{words}"):
            network.predict(frame)


def test_columns_are_saved(tmp_path):
    whiten(FRAME).save(tmp_path / "w")
    assert Whitening.load(tmp_path / "w").columns == tuple(FRAME.columns)


def test_it_is_printed_in_one_line():
    assert repr(whiten(draw())) == "Whitening(n=40, d=6, rank=6, energy=1)"
