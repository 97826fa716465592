"""The losses against torch's own, autograd, numerical suprema, and the theorems of conjugates."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_draws import SIGNS, draw, inside
from scipy.optimize import minimize

from convexbn.programs.losses import LOSSES

ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one
ALL = list(LOSSES)
SEPARABLE = ["squared", *SIGNS]

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 9), st.integers(2, 4))


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- values and derivatives -----------------------------------------------------------------------


def test_values_are_those_of_torch():
    functional = torch.nn.functional
    F, Y = draw("squared", 0)
    expected = functional.mse_loss(F, Y, reduction="sum") / 2
    torch.testing.assert_close(LOSSES["squared"].value(F, Y), expected, rtol=ROUNDING, atol=0)
    F, Y = draw("logistic", 1)
    expected = functional.soft_margin_loss(F, Y, reduction="sum")
    torch.testing.assert_close(LOSSES["logistic"].value(F, Y), expected, rtol=ROUNDING, atol=0)
    F, Y = draw("cross_entropy", 2)
    expected = functional.cross_entropy(F, Y.argmax(dim=1), reduction="sum")
    torch.testing.assert_close(LOSSES["cross_entropy"].value(F, Y), expected, rtol=ROUNDING, atol=0)


@pytest.mark.parametrize("name", SEPARABLE)
def test_values_of_columns_are_those_of_each_alone(name):
    loss, (F, Y) = LOSSES[name], draw(name, 0)
    V = loss.negative_gradient(F, Y)
    for values, value, x in ((loss.values, loss.value, F), (loss.dual_values, loss.dual_value, V)):
        alone = torch.stack([value(x[:, [c]], Y[:, [c]]) for c in range(Y.shape[1])])
        torch.testing.assert_close(values(x, Y), alone, rtol=ROUNDING, atol=0)
        torch.testing.assert_close(value(x, Y), alone.sum(), rtol=ROUNDING, atol=0)


def test_squared_hinge_has_no_one_half():
    F, Y = torch.tensor([[-2.0], [0.5], [3.0]]), torch.tensor([[1.0], [-1.0], [1.0]])
    assert float(LOSSES["squared_hinge"].value(F, Y)) == 3**2 + 1.5**2


def test_cross_entropy_of_two_classes_is_logistic():
    F, Y = draw("cross_entropy", 0, C=2, size=5)
    difference, sign = F[:, :1] - F[:, 1:], Y[:, :1] - Y[:, 1:]
    two, one = LOSSES["cross_entropy"], LOSSES["logistic"]
    assert float(two.value(F, Y)) == pytest.approx(float(one.value(difference, sign)), rel=ROUNDING)
    V, v = two.negative_gradient(F, Y), one.negative_gradient(difference, sign)
    torch.testing.assert_close(V, torch.hstack([v, -v]), rtol=ROUNDING, atol=0)
    assert float(two.dual_value(V, Y)) == pytest.approx(
        float(one.dual_value(v, sign)), rel=ROUNDING
    )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [1e-3, 1, 30])
def test_negative_gradient_is_that_of_the_value(name, size):
    F, Y = draw(name, 0, size=size)
    F.requires_grad_()
    LOSSES[name].value(F, Y).backward()
    # A gradient is a difference of terms as large as the predictions.
    expected = {"rtol": ROUNDING, "atol": ROUNDING}
    torch.testing.assert_close(LOSSES[name].negative_gradient(F.detach(), Y), -F.grad, **expected)


@pytest.mark.parametrize("name", ALL)
def test_value_and_gradient_pass_gradcheck(name):
    F, Y = draw(name, 1)
    F.requires_grad_()
    loss = LOSSES[name]
    assert torch.autograd.gradcheck(lambda F: loss.value(F, Y), F)
    assert torch.autograd.gradcheck(lambda F: loss.negative_gradient(F, Y), F)


@pytest.mark.parametrize("name", SEPARABLE)
def test_hessian_is_the_diagonal_of_a_diagonal_one(name):
    F, Y = draw(name, 2, n=4)
    full = torch.autograd.functional.hessian(lambda F: LOSSES[name].value(F, Y), F).view(12, 12)
    diagonal = LOSSES[name].hessian(F, Y)
    assert diagonal.shape == F.shape
    torch.testing.assert_close(full, diagonal.flatten().diag(), rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, size=st.floats(-2, 2), step=st.floats(-2, 2))
def test_curvature_bounds_the_loss_along_a_step(name, seed, size, step):
    """Twice the Bregman distance is at most the curvature; and convexity: it is not negative."""
    loss = LOSSES[name]
    F, Y = draw(name, seed, size=10**size)
    step, _ = draw("squared", (seed, 1), size=10**step)
    V = loss.negative_gradient(F, Y)
    bregman = float(loss.value(F + step, Y) - loss.value(F, Y) + (V * step).sum())
    scale = float(loss.value(F + step, Y) + loss.value(F, Y) + (V * step).abs().sum())
    bound = loss.lipschitz * float(step.square().sum()) / 2
    assert -ROUNDING * scale <= bregman <= bound + ROUNDING * scale
    turned = float((loss.negative_gradient(F + step, Y) - V).norm())
    assert turned <= loss.lipschitz * float(step.norm()) + ROUNDING * (1 + float(V.norm()))


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("squared", [[1.0, 0.0]]),
        ("logistic", [[1.0, 0.0]]),
        ("squared_hinge", [[1.0, 0.0]]),
        ("cross_entropy", [[1.0, -1.0]]),
    ],
)
def test_lipschitz_constant_is_attained(name, step):
    loss, F = LOSSES[name], torch.zeros(1, 2, dtype=torch.float64)
    Y, step = torch.tensor([[1.0, 0.0]]).double(), torch.tensor(step).double()
    Y = 2 * Y - 1 if name in SIGNS else Y
    h = 1e-4 * step
    turned = loss.negative_gradient(F, Y) - loss.negative_gradient(F + h, Y)
    # The next term of the expansion is of the order h^2 = 1e-8.
    torch.testing.assert_close(turned, loss.lipschitz * h, rtol=1e-7, atol=ROUNDING)


# --- conjugates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, size=sizes, scale=st.floats(-3, 2))
def test_fenchel_young(name, seed, size, scale):
    """-L*(-V) <= L(F) + <F, V>, with equality where V is the negative gradient at F."""
    loss = LOSSES[name]
    F, Y = draw(name, seed, *size, size=10**scale)
    V = loss.negative_gradient(F, Y)
    terms = float(loss.value(F, Y) + (F * V).abs().sum())
    tight = float(loss.value(F, Y) + (F * V).sum())
    # Gradients carry rounding relative to 1, which predictions of up to some hundreds magnify.
    assert float(loss.dual_value(V, Y)) == pytest.approx(tight, abs=100 * ROUNDING * (1 + terms))
    V = inside(name, seed, Y)
    bound = float(loss.value(F, Y) + (F * V).sum())
    assert -math.inf < float(loss.dual_value(V, Y)) <= bound + ROUNDING * (1 + terms)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_dual_value_is_the_infimum_that_a_search_finds(name, seed):
    loss = LOSSES[name]
    _, Y = draw(name, seed, n=4)
    V = inside(name, seed, Y)

    def lagrangian(flat):
        F = torch.as_tensor(flat.reshape(4, 3))
        return float(loss.value(F, Y) + (F * V).sum()), (
            V - loss.negative_gradient(F, Y)
        ).numpy().ravel()

    found = minimize(lagrangian, np.zeros(12), jac=True, method="BFGS", options={"gtol": 1e-8})
    # Gradients of 1e-8 leave less than 1e-14 over the curvature, at least 0.02 where V is drawn.
    assert float(loss.dual_value(V, Y)) == pytest.approx(found.fun, abs=1e-10)


EDGE = [  # name, Y, V at the border of the domain, -L*(-V)
    ("squared", [[2.0, -1.0]], [[0.0, 0.0]], 0),
    ("logistic", [[1.0, -1.0]], [[0.0, 0.0]], 0),
    ("logistic", [[1.0, -1.0]], [[0.0, -0.0]], 0),
    ("logistic", [[1.0, -1.0]], [[1.0, -1.0]], 0),
    ("logistic", [[1.0, -1.0]], [[0.5, -1.0]], math.log(2)),
    ("squared_hinge", [[1.0, -1.0]], [[0.0, -0.0]], 0),
    ("squared_hinge", [[1.0, -1.0]], [[0.0, -2.0]], 1),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], 0),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[1.0, -1.0, 0.0]], 0),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[1.0, -0.5, -0.5]], math.log(2)),
    ("cross_entropy", [[0.0, 1.0, 0.0]], [[-0.5, 0.5, -0.0]], math.log(2)),
]


@pytest.mark.parametrize(("name", "Y", "V", "expected"), EDGE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dual_value_at_the_border(name, Y, V, expected, dtype):
    value = LOSSES[name].dual_value(torch.tensor(V, dtype=dtype), torch.tensor(Y, dtype=dtype))
    assert float(value) == pytest.approx(expected, abs=4 * torch.finfo(dtype).eps)


OUTSIDE = [
    ("logistic", [[1.0, -1.0]], [[-1e-9, -0.5]]),
    ("logistic", [[1.0, -1.0]], [[0.5, 1e-9]]),
    ("logistic", [[1.0, -1.0]], [[0.5, -1 - 1e-9]]),
    ("squared_hinge", [[1.0, -1.0]], [[-1e-9, -3.0]]),
    ("squared_hinge", [[1.0, -1.0]], [[3.0, 1e-9]]),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[1e-9, 1e-9, -2e-9]]),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[1 + 1e-9, -0.5, -0.5 - 1e-9]]),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[-1e-9, 1e-9, 0.0]]),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[0.5, -0.25, -0.25 - 1e-9]]),
    ("cross_entropy", [[1.0, 0.0, 0.0]], [[0.5, -0.25, -0.25 + 1e-9]]),
]


@pytest.mark.parametrize(("name", "Y", "V"), OUTSIDE)
def test_outside_the_domain_there_is_no_bound(name, Y, V):
    """There -L*(-V) is -inf: along some direction L(F) + <F, V> falls for ever."""
    Y, V = double(Y), double(V)
    loss = LOSSES[name]
    assert float(loss.dual_value(V, Y)) == -math.inf
    far = (double([F]) for F in np.ndindex(*(3,) * V.shape[1]))
    along = [1e12 * (F - 1) for F in far]
    assert min(float(loss.value(F, Y) + (F * V).sum()) for F in along) < -100
    # Scaled back into the domain, down to zero if need be, V gives a bound of at least zero.
    scale = loss.best_scale(V, Y, torch.ones(V.shape[1]).double())
    assert 0 <= float(loss.dual_value(scale * V, Y)) < math.inf


@pytest.mark.parametrize(
    ("name", "Y", "V"),
    [
        ("logistic", [[1.0], [-1.0]], [[0.5], [1e-9]]),
        ("squared_hinge", [[1.0], [-1.0]], [[0.5], [1e-9]]),
        ("cross_entropy", [[1.0, 0.0], [0.0, 1.0]], [[0.5, -0.5], [1e-9, -1e-9]]),
        ("cross_entropy", [[1.0, 0.0], [0.0, 1.0]], [[0.5, -0.5], [0.3, -0.4]]),
        ("cross_entropy", [[1.0, 0.0, 0.0]], [[-1e-17, 0.0, 0.0]]),  # balanced, to rounding
    ],
)
def test_one_sample_on_the_wrong_side_leaves_no_scale_but_zero(name, Y, V):
    scale = LOSSES[name].best_scale(double(V), double(Y), double([math.inf]))
    assert scale.tolist() == [0]
    assert float(LOSSES[name].dual_value(scale * double(V), double(Y))) == 0


def columns(name, V, Y):
    """Return the parts of V and Y that have a scale of their own."""
    if name == "cross_entropy":
        return [(V, Y)]
    return [(V[:, [c]], Y[:, [c]]) for c in range(V.shape[1])]


@pytest.mark.parametrize("C", [2, 10, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])
def test_rounding_does_not_leave_the_domain_of_cross_entropy(C, dtype, size):
    """Rows of V sum to zero to rounding, by our gradient and by the plain Y - softmax."""
    loss = LOSSES["cross_entropy"]
    F, Y = (a.to(dtype) for a in draw("cross_entropy", 0, 20, C, size))
    for V in (loss.negative_gradient(F, Y), Y - F.softmax(dim=1)):
        assert math.isfinite(loss.dual_value(V, Y))
        assert math.isfinite(loss.dual_value(0.37 * V, Y))


# --- the best scale -------------------------------------------------------------------------------


def grid_value(name, V, Y, limit):
    """Return the largest dual value of s V over a fine grid of s in [0, limit]."""
    top = min(float(limit), 1e3)
    grid = np.concatenate([np.linspace(0, top, 401), np.geomspace(top * 1e-6, top, 401)])
    return max(float(LOSSES[name].dual_value(s * V, Y)) for s in grid)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("limits", [[1e-3] * 3, [0.5, 1.0, 2.0], [1.0], [30.0], [math.inf] * 3])
@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_best_scale_is_best(name, limits, size):
    loss = LOSSES[name]
    F, Y = draw(name, 0, size=size)
    V = loss.negative_gradient(F, Y)
    limits = double(limits)
    best = loss.best_scale(V, Y, limits)
    assert best.shape == ((1,) if name == "cross_entropy" else (3,))
    assert ((best >= 0) & (best <= limits)).all()
    value = float(loss.dual_value(best * V, Y))
    assert math.isfinite(value)
    parts = columns(name, V, Y)
    each = limits.min().expand(1) if name == "cross_entropy" else limits.expand(3)
    expected = sum(grid_value(name, v, y, s) for (v, y), s in zip(parts, each, strict=True))
    # The grid's steps are up to 2 % of s: its best value is not better, and not much worse.
    assert expected - ROUNDING * 100 <= value <= expected + 0.05 * (1 + abs(expected))


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, limit=st.floats(0, 3), size=sizes, scale=st.floats(-2, 2))
def test_no_scale_is_better(name, seed, limit, size, scale):
    loss = LOSSES[name]
    F, Y = draw(name, seed, *size, size=10**scale)
    V = loss.negative_gradient(F, Y)
    limits = torch.full((size[1],), limit, dtype=torch.float64)
    best = loss.best_scale(V, Y, limits)
    assert ((best >= 0) & (best <= limit)).all()
    value = float(loss.dual_value(best * V, Y))
    for share in np.linspace(0, 1, 13):
        other = float(loss.dual_value(share * limit * V, Y))
        assert other <= value + ROUNDING * (100 + abs(value))


@pytest.mark.parametrize("name", ALL)
@given(seed=seeds, scale=st.floats(-2, 1))
def test_one_is_best_where_predictions_and_gradient_are_orthogonal(name, seed, scale):
    """The dual value of s V, V = -grad L(F), has the derivative <V, F> at s = 1."""
    loss = LOSSES[name]
    F, Y = draw(name, seed, size=10**scale)
    V = loss.negative_gradient(F, Y)
    best = loss.best_scale(V, Y, torch.full((3,), 1e6, dtype=torch.float64))
    slopes = torch.stack([(v * f).sum() for v, f in columns(name, V, F)])
    clear = slopes.abs() > 1e-8  # or else rounding decides
    assert torch.equal((best > 1)[clear], (slopes > 0)[clear])
    best = loss.best_scale(V, Y, double([1.0]))
    assert (best[clear & (slopes > 0)] == 1).all()  # the limit itself, not next to it
    V = loss.negative_gradient(torch.zeros_like(F), Y)
    best = loss.best_scale(V, Y, torch.full((3,), 1e6, dtype=torch.float64))
    # And without predictions it is one, to the rounding of the derivative.
    torch.testing.assert_close(best, torch.ones_like(best), rtol=1e-12, atol=0)


NO_LIMIT = double([math.inf])


@pytest.mark.parametrize("a", [1e-300, 1e-9, 0.3, 1.0])
def test_best_scale_of_one_sample(a):
    """The entropy of two classes is largest at shares of one half, of three at one third."""
    best = LOSSES["logistic"].best_scale(double([[a]]), double([[1]]), NO_LIMIT)
    # The derivative has rounding of 1e-16 and a slope of order one: some units of rounding.
    assert float(best * a) == pytest.approx(1 / 2, rel=1e-14)
    V, Y = double([[a, -a / 2, -a / 2]]), double([[1, 0, 0]])
    best = LOSSES["cross_entropy"].best_scale(V, Y, NO_LIMIT)
    assert float(best * a) == pytest.approx(2 / 3, rel=1e-14)


def shares(name, first, others):
    """Return V and Y of 2000 samples, the first moved by `first`, the others by `others`."""
    V, Y = torch.full((2000, 1), others).double(), torch.ones(2000, 1).double()
    V[0] = first
    return (torch.hstack([V, -V]), torch.hstack([Y, 0 * Y])) if name == "cross_entropy" else (V, Y)


@pytest.mark.parametrize("name", ["logistic", "cross_entropy"])
def test_best_scale_next_to_the_end_of_the_domain(name):
    """One sample forbids s > 1; the many others want a larger s."""
    best = LOSSES[name].best_scale(*shares(name, 1, 1e-3), NO_LIMIT)
    # The root of log((1 - s) / s) + 1.999 log((1 - 1e-3 s) / (1e-3 s)), with s = 1 except in 1 - s,
    # which is 1e-6, as are the terms left out.
    assert float(1 - best) == pytest.approx(999**-1.999, rel=1e-5)
    V, Y = shares(name, 1, 0.02)  # 1 - s of 49^-40: below rounding
    best = LOSSES[name].best_scale(V, Y, NO_LIMIT)
    assert 1 - 4 * torch.finfo(torch.float64).eps <= float(best) < 1
    assert math.isfinite(LOSSES[name].dual_value(best * V, Y))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_best_scale_of_vanishing_columns(name, dtype):
    V, limit = torch.zeros(5, 2, dtype=dtype), torch.tensor([1.0, torch.inf], dtype=dtype)
    Y = draw(name, 0, 5, 2)[1].to(dtype)
    best = LOSSES[name].best_scale(V, Y, limit)
    assert best.isfinite().all()
    assert float(LOSSES[name].dual_value(best * V, Y)) == 0


def test_squared_scale_of_a_vanishing_column_is_zero():
    V, Y, limit = torch.zeros(5, 2), torch.ones(5, 2), torch.tensor([1.0, torch.inf])
    assert torch.equal(LOSSES["squared"].best_scale(V, Y, limit), torch.zeros(2))


def test_cross_entropy_has_one_scale_for_all_columns():
    F, Y = draw("cross_entropy", 0)
    V = LOSSES["cross_entropy"].negative_gradient(F, Y)
    best = LOSSES["cross_entropy"].best_scale(V, Y, double([0.3, 0.2, 0.7]))
    assert best.tolist() == [0.2]


# --- extremes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 30.0, 1e4])
def test_extreme_predictions_stay_finite(name, dtype, size):
    loss = LOSSES[name]
    F, Y = (a.to(dtype) for a in draw(name, 3, n=40, size=size))
    F[:3, 0] = torch.tensor([size, -size, 0.0])
    V = loss.negative_gradient(F, Y)
    value, dual = float(loss.value(F, Y)), float(loss.dual_value(V, Y))
    assert V.isfinite().all()
    assert value >= 0
    assert math.isfinite(value)
    # Fenchel-Young, to the rounding of the inner product.
    scale = float((F * V).abs().sum()) + value + 1
    gap = value + float((F.double() * V.double()).sum()) - dual
    assert abs(gap) <= 100 * torch.finfo(dtype).eps * scale
    for limit in (1e-20, 0.1, 1.0, 1e20, math.inf):
        best = loss.best_scale(V, Y, torch.full((3,), limit, dtype=dtype))
        assert math.isfinite(loss.dual_value(best * V, Y))


@pytest.mark.parametrize("name", ["logistic", "cross_entropy"])
@pytest.mark.parametrize("margin", [40.0, 300.0, 700.0])
def test_well_classified_samples_keep_their_precision(name, margin):
    """Far beyond the margin the loss is exp(-margin), and so is its derivative: not zero."""
    F, Y = torch.tensor([[-margin]]).double(), -torch.ones(1, 1).double()
    if name == "cross_entropy":
        F, Y = torch.tensor([[0.0, margin]]).double(), torch.tensor([[0.0, 1.0]]).double()
    loss, tail = LOSSES[name], math.exp(-margin)
    V = loss.negative_gradient(F, Y)
    # exp of some hundreds loses three digits.
    expected = {"rel": 1e-13, "abs": 0}
    assert float(loss.value(F, Y)) == pytest.approx(tail, **expected)
    assert float((V * Y).sum()) == pytest.approx(tail, **expected)
    assert float(V.sum().abs()) == (0 if name == "cross_entropy" else abs(float(V)))
    # H(a) + H(1 - a) = a (1 - log a), to first order.
    assert float(loss.dual_value(V, Y)) == pytest.approx(tail * (1 + margin), **expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_and_inputs_are_kept(name, dtype):
    loss = LOSSES[name]
    F, Y = (a.to(dtype) for a in draw(name, 0))
    before = F.clone(), Y.clone()
    V = loss.negative_gradient(F, Y)
    kept = V.clone()
    results = [loss.value(F, Y), V, loss.dual_value(V, Y)]
    results.append(loss.best_scale(V, Y, torch.full((3,), 7.0, dtype=dtype)))
    results += [loss.hessian(F, Y)] if name in SEPARABLE else []
    assert all(result.dtype == dtype for result in results)
    assert torch.equal(F, before[0])
    assert torch.equal(Y, before[1])
    assert torch.equal(V, kept)


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fitting_targets_pass(name, dtype):
    LOSSES[name].check_targets(draw(name, 0)[1].to(dtype))


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("bad", [0.0, 2.0, -0.5])
def test_labels_other_than_signs_are_refused(name, bad):
    Y = torch.ones(4, 1).double()
    Y[2] = bad
    message = rf"loss '{name}' needs labels -1 and \+1, got {bad} \(1 of 4 .*2 \* Y - 1"
    with pytest.raises(ValueError, match=message):
        LOSSES[name].check_targets(Y)


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        ([[1.0], [0.0]], r"C >= 2 classes, got shape \(2, 1\).*'logistic'"),
        ([1.0, 0.0], r"C >= 2 classes, got shape \(2,\)"),
        ([[1.0, 0.0], [0.0, 0.0]], r"got \[0.0, 0.0\] in row 1 \(1 of 2 rows.*np\.eye\(C\)"),
        ([[1.0, 1.0], [0.0, 1.0]], r"got \[1.0, 1.0\] in row 0 \(1 of 2"),
        ([[0.5, 0.5], [0.3, 0.7]], r"got \[0.5, 0.5\] in row 0 \(2 of 2"),
        ([[2.0, -1.0], [0.0, 1.0]], r"got \[2.0, -1.0\] in row 0"),
    ],
)
def test_rows_that_are_not_one_hot_are_refused(Y, message):
    with pytest.raises(ValueError, match=message):
        LOSSES["cross_entropy"].check_targets(double(Y))
