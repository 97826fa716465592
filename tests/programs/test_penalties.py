"""The penalties against numpy's SVD, CVXPY, and the theorems of norms and duality."""

import math

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_draws import draw

from convexbn.programs.design import adjoint, forward
from convexbn.programs.losses import LOSSES
from convexbn.programs.penalties import PENALTIES

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one
ALL = list(PENALTIES)
group, nuclear = PENALTIES["group"], PENALTIES["nuclear"]

# (r + 1, P, C): tall blocks, square ones, wide ones, single rows, columns and gates.
SHAPES = [(5, 4, 3), (3, 4, 3), (3, 4, 5), (1, 4, 3), (5, 4, 1), (4, 1, 2), (1, 1, 1)]
shapes = st.tuples(*[st.integers(1, 5)] * 3)
seeds = st.integers(0, 2**32 - 1)


def normal(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def blocks(name, W):
    """Return the vectors, or matrices, that the penalty is a sum over."""
    W = np.asarray(W, dtype=np.float64)
    P, C = W.shape[1:]
    if name == "group":
        return [W[:, i, [c]] for i in range(P) for c in range(C)]
    return [W[:, i] for i in range(P)]


def spectra(name, W):
    """Return the singular values of each block: of a vector, its length."""
    return [np.linalg.svd(block, compute_uv=False) for block in blocks(name, W)]


def assemble(name, parts, shape):
    """Put blocks together as weights (r + 1, P, C)."""
    if name == "group":
        return np.stack(parts, axis=1).reshape(shape)
    return np.stack(parts, axis=1)


def with_values(values, P=3, rows=6, seed=0):
    """Return weights (rows, P, len(values)) whose blocks have the given singular values."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(P):
        left, _ = np.linalg.qr(rng.standard_normal((rows, len(values))))
        right, _ = np.linalg.qr(rng.standard_normal((len(values),) * 2))
        parts.append(left * np.array(values) @ right)
    return torch.as_tensor(np.stack(parts, axis=1))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_dual_norm_are_those_of_singular_values(name, shape):
    W, penalty = normal(*shape), PENALTIES[name]
    lengths = spectra(name, W)
    assert float(penalty.value(W)) == pytest.approx(sum(s.sum() for s in lengths), rel=ROUNDING)
    dual = penalty.dual_norm(W)
    assert dual.shape == ((shape[2],) if name == "group" else (1,))
    assert float(dual.max()) == pytest.approx(max(s.max() for s in lengths), rel=ROUNDING)
    norms = penalty.block_norms(W)
    assert norms.shape == (shape[1], len(dual))
    largest = np.reshape([s.max() for s in lengths], norms.shape)
    np.testing.assert_allclose(norms, largest, rtol=ROUNDING)
    assert penalty.neurons(W) == sum(len(s) for s in lengths)


def test_one_output_has_one_penalty():
    """Blocks of one column have one singular value, their length."""
    W = normal(5, 6, 1)
    for ours, theirs in [
        (nuclear.value(W), group.value(W)),
        (nuclear.prox(W, 1.5), group.prox(W, 1.5)),
        (nuclear.dual_norm(W), group.dual_norm(W)),
    ]:
        torch.testing.assert_close(ours, theirs, rtol=ROUNDING, atol=ROUNDING)
    assert nuclear.neurons(nuclear.prox(W, 1.5)) == group.neurons(group.prox(W, 1.5))


# --- proximal maps --------------------------------------------------------------------------------


def clipped(block, threshold):
    """Project a block on the ball of the dual norm: its singular values cut at the threshold."""
    left, values, right = np.linalg.svd(block, full_matrices=False)
    return left * np.minimum(values, threshold) @ right


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0, 100.0])
def test_prox_leaves_the_projection_on_the_dual_ball(name, shape, threshold):
    """Moreau: W - prox(W) is the projection of each block on the ball of radius threshold."""
    W = normal(*shape)
    parts = [clipped(block, threshold) for block in blocks(name, W)]
    left = W - PENALTIES[name].prox(W, threshold)
    np.testing.assert_allclose(left, assemble(name, parts, shape), atol=ROUNDING)


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, shape=shapes, threshold=st.floats(0, 3))
def test_prox_obeys_the_optimality_conditions(name, seed, shape, threshold):
    """Z = prox(W): W - Z is in the dual ball and reaches threshold * penalty(Z) against Z."""
    W, penalty = normal(*shape, seed=seed), PENALTIES[name]
    Z = penalty.prox(W, threshold)
    assert float(penalty.dual_norm(W - Z).max()) <= threshold + ROUNDING
    inner, value = float(((W - Z) * Z).sum()), float(penalty.value(Z))
    assert inner == pytest.approx(threshold * value, abs=ROUNDING * (1 + value))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 2, 3)])
def test_prox_is_the_minimum_it_stands_for(name, shape):
    W, threshold = normal(*shape), 0.9
    variables = [cp.Variable(block.shape) for block in blocks(name, W)]
    norm = (lambda Z: cp.norm(Z, "fro")) if name == "group" else (lambda Z: cp.norm(Z, "nuc"))
    value = sum(
        cp.sum_squares(Z - block) / 2 + threshold * norm(Z)
        for Z, block in zip(variables, blocks(name, W), strict=True)
    )
    cp.Problem(cp.Minimize(value)).solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12)
    ours = PENALTIES[name].prox(W, threshold)
    theirs = assemble(name, [Z.value for Z in variables], shape)
    # A gap of 1e-12 in a 1-strongly convex function leaves 1.4e-6.
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    possible = sum(min(block.shape) for block in blocks(name, W))
    assert 0 < PENALTIES[name].neurons(ours) < possible  # it shows both cases


def test_prox_of_zero_and_at_the_threshold():
    W = torch.zeros(2, 3, 1)
    W[:, 1, 0] = torch.tensor([3.0, 4.0])
    W[:, 2, 0] = torch.tensor([6.0, 8.0])
    expected = torch.zeros(2, 3, 1)
    expected[:, 2, 0] = torch.tensor([3.0, 4.0])
    torch.testing.assert_close(group.prox(W, 5.0), expected, rtol=0, atol=0)
    assert group.neurons(group.prox(W, 5.0)) == 1
    assert torch.equal(group.prox(W, 0.0), W)


@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 3, 4)])
def test_nuclear_prox_makes_exact_zeros_and_ranks(shape):
    """Blocks without a singular value above the threshold vanish; others have their rank."""
    W = with_values([3.0, 1.0], P=3, rows=4)
    W[:, 1] *= 0.3  # 0.9, 0.3
    W[:, 2] *= 2  # 6, 2
    W = W if shape[0] == 4 else W.permute(2, 1, 0)
    Z = nuclear.prox(W, 1.5)
    assert (Z[:, 1] == 0).all()
    assert [nuclear.neurons(Z[:, [i]]) for i in range(3)] == [1, 0, 2]
    assert nuclear.neurons(Z) == 3
    assert float(nuclear.value(Z)) == pytest.approx(1.5 + 4.5 + 0.5, rel=ROUNDING)
    assert (nuclear.prox(0 * W, 1.5) == 0).all()
    assert nuclear.neurons(0 * W) == 0
    torch.testing.assert_close(nuclear.prox(W, 0.0), W, rtol=0, atol=ROUNDING)
    W[:, 1] *= 1e-20  # small blocks count, and their rank is by their own largest singular value
    assert nuclear.neurons(W) == 6


# --- derivatives of the proximal maps -------------------------------------------------------------

THRESHOLD = 1.2  # of normal blocks, some singular values are above it and some below


def difference(penalty, Z, S, step=1e-5):
    """Return the derivative of the proximal map along S, by central differences.

    Their error is of the order of the step squared, and of the rounding over the step: 1e-10.
    """
    ahead, back = (penalty.prox(Z + h * S, THRESHOLD) for h in (step, -step))
    return (ahead - back) / (2 * step)


def slope_matrix(penalty, Z, dtype=torch.float64):
    """Return the derivative as a dense matrix."""
    slope = penalty.slope(Z, THRESHOLD, dtype)
    units = torch.eye(Z.numel(), dtype=dtype).reshape(-1, *Z.shape)
    return torch.stack([slope(unit).flatten() for unit in units], dim=1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_slope_is_the_derivative_of_the_proximal_map(name, shape, seed):
    Z, S, penalty = normal(*shape, seed=seed), normal(*shape, seed=(seed, 1)), PENALTIES[name]
    ours = penalty.slope(Z, THRESHOLD, torch.float64)(S)
    assert ours.shape == shape
    np.testing.assert_allclose(ours, difference(penalty, Z, S), atol=1e-7)
    single = penalty.slope(Z, THRESHOLD, torch.float32)(S.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, ours, atol=1e-5)  # some hundred roundings of 6e-8


@pytest.mark.parametrize("values", [[2.0, 2.0, 0.5], [2.0, 2.0, 2.0], [3.0, 0.5, 0.5]])
@pytest.mark.parametrize("wide", [False, True])
def test_slope_of_equal_singular_values(values, wide):
    """The divided difference becomes the derivative."""
    Z = with_values(values)
    Z = Z.permute(2, 1, 0).contiguous() if wide else Z
    S = normal(*Z.shape, seed=1)
    ours = nuclear.slope(Z, THRESHOLD, torch.float64)(S)
    np.testing.assert_allclose(ours, difference(nuclear, Z, S), atol=1e-7)


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, shape=shapes, size=st.sampled_from([0.3, 1.0, 1e3]))
def test_slope_is_symmetric_with_eigenvalues_from_zero_to_one(name, seed, shape, size):
    """As the derivative of a projection's complement is."""
    matrix = slope_matrix(PENALTIES[name], size * normal(*shape, seed=seed))
    np.testing.assert_allclose(matrix, matrix.T, atol=ROUNDING)
    values = torch.linalg.eigvalsh(matrix)
    assert -ROUNDING <= float(values.min()) <= float(values.max()) <= 1 + ROUNDING


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_projection_is_on_the_range_of_the_slope(name, shape, size):
    Z, S, penalty = size * normal(*shape), normal(*shape, seed=1), PENALTIES[name]
    values, vectors = torch.linalg.eigh(slope_matrix(penalty, Z))
    basis = vectors[:, values > 1e-9]  # the least value that is not rounding is near 1e-3
    expected = (basis @ (basis.T @ S.flatten())).reshape(shape)
    found = penalty.slope(Z, THRESHOLD, torch.float64).project(S)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(5, 4, 3), (3, 4, 5)])
def test_slope_vanishes_below_the_threshold(name, shape):
    S, penalty = normal(*shape), PENALTIES[name]
    for Z in (torch.zeros(shape, dtype=torch.float64), 1e-3 * S):
        slope = penalty.slope(Z, THRESHOLD, torch.float64)
        assert not slope(S).any()
        assert not slope.shares().any()
        assert slope.directions()[2].numel() == 0


@pytest.mark.parametrize(
    ("name", "shape"),
    [("group", (5, 6, 1)), ("nuclear", (5, 6, 1)), ("nuclear", (1, 6, 5))],
)
def test_shares_and_directions_make_up_the_slope_of_vectors(name, shape):
    """`S -> share S + sum_m l_m <l_m r_m^T, S> r_m^T`, gate by gate."""
    Z, S = normal(*shape), normal(*shape, seed=1)
    slope = PENALTIES[name].slope(Z, THRESHOLD, torch.float64)
    left, right, gates = slope.directions()
    assert 0 < len(gates) < 6  # it shows both cases
    expected = slope.shares()[:, None] * S
    for a, b, i in zip(left.T, right.T, gates, strict=True):
        expected[:, i] += (a @ S[:, i] @ b) * torch.outer(a, b)
    np.testing.assert_allclose(slope(S), expected, atol=ROUNDING)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", SHAPES)
def test_directions_are_singular_vectors_of_what_is_kept(name, shape):
    """For a singular value s: `l^T Z r = sqrt(t/s) s`; the shares are the mean of `(1 - t/s)_+`."""
    Z = 2 * normal(*shape)
    slope = PENALTIES[name].slope(Z, THRESHOLD, torch.float64)
    left, right, gates = slope.directions()
    reached = torch.einsum("am,amc,cm->m", left, Z[:, gates], right)
    lengths = [np.concatenate(spectra(name, Z[:, [i]])) for i in range(shape[1])]
    values = np.concatenate([s[s > THRESHOLD] for s in lengths])
    np.testing.assert_allclose(np.sort(reached), np.sort(np.sqrt(THRESHOLD * values)), rtol=1e-12)
    ranks = [int((s > THRESHOLD).sum()) for s in lengths]
    assert np.bincount(gates, minlength=shape[1]).tolist() == ranks
    shares = [np.maximum(1 - THRESHOLD / s, 0).mean() for s in lengths]
    np.testing.assert_allclose(slope.shares(), shares, atol=ROUNDING)


# --- dual norms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, shape=shapes)
def test_dual_norm_bounds_inner_products(name, seed, shape):
    """<W, T> <= sum_c dual_norm(T)_c * penalty(W)_c, the inequality behind weak duality."""
    W, T, penalty = normal(*shape, seed=seed), normal(*shape, seed=(seed, 1)), PENALTIES[name]
    each = [W[:, :, [c]] for c in range(shape[2])] if name == "group" else [W]
    lengths = torch.stack([penalty.value(part) for part in each])
    bound = float((penalty.dual_norm(T) * lengths).sum())
    assert float((W * T).sum()) <= bound * (1 + ROUNDING)


@pytest.mark.parametrize("shape", SHAPES)
def test_dual_norms_are_reached(shape):
    """By the block of T with the largest length, and by its leading singular vectors."""
    T = normal(*shape, seed=1)
    for c in range(shape[2]):
        i = int(T[:, :, c].norm(dim=0).argmax())
        W = torch.zeros_like(T)
        W[:, i, c] = T[:, i, c]
        tight = float(group.value(W) * group.dual_norm(T)[c])
        assert float((W * T).sum()) == pytest.approx(tight, rel=ROUNDING)
    i = int(np.argmax([s.max() for s in spectra("nuclear", T)]))
    left, _, right = np.linalg.svd(T[:, i].numpy(), full_matrices=False)
    W = torch.zeros_like(T)
    W[:, i] = torch.as_tensor(np.outer(left[:, 0], right[0]))
    assert float(nuclear.value(W)) == pytest.approx(1, rel=ROUNDING)
    assert float((W * T).sum()) == pytest.approx(float(nuclear.dual_norm(T)), rel=ROUNDING)


# --- precision of the nuclear norm ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [1e-2, 2e-3, 3e-4])
def test_small_singular_values_are_as_precise_as_large_ones(dtype, threshold):
    """Though by squares: rounding in float64 times largest singular value over threshold."""
    values = [1.0, 1e-1, 1e-2 + 1e-5, 1e-3, 1e-4]
    W = with_values(values, rows=8).to(dtype)
    parts = [block - clipped(block, threshold) for block in blocks("nuclear", W)]
    # Sums of eight terms of size one; in float32, the squares are no loss.
    squares = torch.finfo(torch.float64).eps / threshold
    precision = {"rtol": 0, "atol": 8 * max(torch.finfo(dtype).eps, squares)}
    expected = torch.as_tensor(assemble("nuclear", parts, W.shape)).to(dtype)
    torch.testing.assert_close(nuclear.prox(W, threshold), expected, **precision)
    total = sum(s.sum() for s in spectra("nuclear", W))
    assert float(nuclear.value(W)) == pytest.approx(total, abs=8 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("smallest", [1e-6, 1e-9, 1e-12, 0.0])
def test_value_of_nearly_deficient_blocks_is_an_upper_bound(smallest):
    W = with_values([1.0, 3 * smallest, 2 * smallest, smallest])
    total = sum(s.sum() for s in spectra("nuclear", W))
    # Singular values below 1e-8 may be mixed up, which adds at most their own size.
    assert -ROUNDING <= float(nuclear.value(W)) - total <= ROUNDING + 3 * min(smallest, 1e-8)
    if smallest in (1e-6, 0):
        assert nuclear.neurons(W) == (3 * 4 if smallest else 3)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_squares_beyond_the_range_of_numbers_do_no_harm(size):
    W = normal(4, 3, 2)
    for ours, theirs in [
        (nuclear.value(size * W), nuclear.value(W)),
        (nuclear.dual_norm(size * W), nuclear.dual_norm(W)),
        (nuclear.prox(size * W, size), nuclear.prox(W, 1.0)),
    ]:
        torch.testing.assert_close(ours / size, theirs, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ALL)
def test_what_is_not_finite_stays_so_without_an_error(name, bad):
    """A solver that diverged is told by its numbers: an eigenvalue solver would raise."""
    W = normal(4, 3, 2)
    W[1, 1, 1] = bad
    penalty = PENALTIES[name]
    assert not math.isfinite(penalty.value(W))
    assert not math.isfinite(penalty.dual_norm(W).max())
    assert not penalty.prox(W, 1.0).isfinite().all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 4, 3), (3, 4, 5)])
def test_precision_layout_and_inputs_are_kept(name, dtype, shape):
    W, penalty = normal(*shape).to(dtype), PENALTIES[name]
    before = W.clone()
    Z = penalty.prox(W, 0.5)
    assert Z.shape == shape
    assert Z.is_contiguous()
    assert Z.dtype == penalty.value(W).dtype == penalty.dual_norm(W).dtype == dtype
    assert torch.equal(W, before)


# --- weak duality ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", ALL)
@given(
    seed=seeds,
    sizes=st.tuples(*[st.integers(1, 4)] * 2, st.integers(2, 3)),
    beta=st.floats(-3, 1),
    scales=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
def test_every_dual_value_is_below_every_objective(loss, penalty, seed, sizes, beta, scales):
    """A negative gradient, scaled until T is in the dual ball, bounds the objective of any W."""
    (p, P, C), beta, n = sizes, 10**beta, 6
    U, D = normal(n, p, seed=(seed, 1)), normal(n, P, seed=(seed, 2)) > 0
    F, Y = draw(loss, seed, n, C, size=10 ** scales[0])
    loss, penalty = LOSSES[loss], PENALTIES[penalty]
    V = loss.negative_gradient(F, Y)
    room = beta * (1 - torch.finfo(V.dtype).eps)
    limit = room / penalty.dual_norm(adjoint(U, D, V)).clamp_min(1e-300)
    V = V * loss.best_scale(V, Y, limit)
    assert float(penalty.dual_norm(adjoint(U, D, V)).max()) <= beta * (1 + ROUNDING)
    bound = float(loss.dual_value(V, Y))
    assert bound >= 0  # no worse than V = 0, which says that objectives are not negative
    W = normal(p, P, C, seed=(seed, 3))
    for size in (0, 0.01, 10 ** scales[1]):
        value = float(loss.value(forward(U, D, size * W), Y) + beta * penalty.value(size * W))
        assert bound <= value * (1 + ROUNDING) + ROUNDING


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", ALL)
def test_zero_weights_are_optimal_from_the_dual_norm_on(loss, penalty):
    """At beta >= dual_norm(A^T V), V = -grad L(0) is feasible and its value is L(0); not below."""
    U, D = normal(12, 4), normal(12, 5, seed=1) > 0
    F, Y = draw(loss, 2, 12, 3, size=0)
    loss, penalty = LOSSES[loss], PENALTIES[penalty]
    V = loss.negative_gradient(F, Y)
    T = adjoint(U, D, V)
    dual = penalty.dual_norm(T)
    for share, closed in [(1 + 1e-9, True), (0.9, False)]:
        beta = share * float(dual.max())
        scaled = V * loss.best_scale(V, Y, beta / dual)
        gap = float(loss.value(F, Y) - loss.dual_value(scaled, Y))
        assert (gap <= ROUNDING * 100) == closed
    # And at 0.9 there is something better: a little of the prox of T.
    step = 1e-3 * penalty.prox(T, beta)
    value = float(loss.value(forward(U, D, step), Y) + beta * penalty.value(step))
    assert value < float(loss.value(F, Y))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_are_the_singular_values_of_each_block(name, shape):
    W = normal(*shape)
    sizes = PENALTIES[name].sizes(W)
    expected = np.concatenate(spectra(name, W))
    np.testing.assert_allclose(np.sort(sizes.reshape(-1)), np.sort(expected), atol=ROUNDING)
    assert float(sizes.sum()) == pytest.approx(float(PENALTIES[name].value(W)), rel=ROUNDING)


@pytest.mark.parametrize("name", ALL)
def test_aligned_dual_variables_are_subgradients_and_the_optimal_ones_stay(name):
    """`<S, W> = R(W)` and `R*(S) = 1` make S a subgradient; prox leaves W where it is with one."""
    W, T, beta = with_values([3.0, 1.0, 0.0]), 2 * normal(6, 3, 3, seed=1), 0.7
    S = PENALTIES[name].aligned(W, T, beta)
    penalty = PENALTIES[name]
    assert float((S * W).sum()) == pytest.approx(beta * float(penalty.value(W)), rel=ROUNDING)
    assert float(penalty.dual_norm(S).max()) == pytest.approx(beta, rel=ROUNDING)
    torch.testing.assert_close(penalty.prox(W + S, beta), W, rtol=0, atol=1e-7)  # root of rounding
    torch.testing.assert_close(penalty.aligned(W, S, beta), S, rtol=0, atol=ROUNDING)
