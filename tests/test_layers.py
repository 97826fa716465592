"""The differentiable layer: gradients against differences, and what it refuses."""

import re
from pathlib import Path

import instances
import numpy as np
import pytest
import torch
from footprints import run_alone

from convexbn import ConvexLayer, solve
from convexbn.layers import NotDifferentiableError
from convexbn.programs.memory import OVERHEAD, gated_bytes
from convexbn.programs.solutions import UncertifiedError
from convexbn.solvers.gated import proximal_point

DOCS = Path(__file__).parents[1] / "docs"
TERMS = [
    (loss, penalty, C)
    for loss, C in (("squared", 2), ("squared", 1), ("cross_entropy", 3), ("logistic", 1))
    for penalty in ("group", "nuclear")
]
# Weights are optimal to rounding, so differences of step 1e-6 lose half of the digits.
AGREES = {"atol": 1e-5, "rtol": 1e-4, "fast_mode": True, "check_undefined_grad": False}


def drawn(seed, loss="squared", C=2, share=0.15):
    """Return U, D, Y and beta as tensors; U is not quite orthonormal."""
    problem = instances.make(seed, n=20, d=3, P=5, C=C, share=share)
    rng = np.random.default_rng((seed, 1))
    targets = {
        "squared": problem.Y,
        "logistic": np.sign(problem.Y),
        "cross_entropy": np.eye(C)[problem.Y.argmax(axis=1)],
    }
    U = problem.U * rng.uniform(0.5, 1, problem.U.shape[1])
    return torch.from_numpy(U), problem.D, torch.from_numpy(targets[loss]), problem.beta


def with_gradient(*values):
    return [torch.as_tensor(v, dtype=torch.float64).clone().requires_grad_() for v in values]


@pytest.mark.parametrize(("loss", "penalty", "C"), TERMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_those_of_central_differences(loss, penalty, C, seed):
    U, D, Y, beta = drawn(seed, loss, C)
    layer = ConvexLayer(D, loss=loss, penalty=penalty)
    U, beta = with_gradient(U, beta)
    Y = Y.requires_grad_(loss == "squared")
    assert torch.autograd.gradcheck(layer, (U, Y, beta), **AGREES)
    assert layer.certificate.converged
    assert not layer.at_kink


def test_neurons_of_low_rank_have_a_gradient_where_the_loss_is_damped():
    """Blocks of rank one leave directions that the derivative of prox takes to zero."""
    U, D, Y, beta = drawn(2, "logistic", 2, share=0.01)
    layer = ConvexLayer(D, loss="logistic", penalty="nuclear")
    U, beta = with_gradient(U, beta)
    assert torch.autograd.gradcheck(layer, (U, Y, beta), **AGREES)
    ranks = torch.linalg.matrix_rank(layer(U, Y, beta).transpose(0, 1), rtol=1e-6)
    assert (ranks == 1).any()


def test_patches_have_a_gradient_too():
    rng = np.random.default_rng(0)
    U, D = rng.standard_normal((3, 12, 4)) / 6, rng.random((3, 12, 5)) < 0.5
    inputs = with_gradient(U, rng.standard_normal((12, 2)), 0.1)
    layer = ConvexLayer(D)
    assert torch.autograd.gradcheck(layer, inputs, **AGREES)


def test_targets_of_the_cross_entropy_move_along_rows_that_sum_to_one():
    """Weights at soft labels, by CVXPY: a gap of 1e-8 leaves 4e-5, and allows steps of 1e-2."""
    U, D, Y, beta = drawn(0, "cross_entropy", 3)
    layer, W0 = ConvexLayer(D, loss="cross_entropy"), torch.from_numpy(normal(4, 5, 3))
    (Y,) = with_gradient(Y)
    (W0 * layer(U, Y, beta)).sum().backward()
    along = torch.roll(Y.detach(), 1, dims=1) - Y.detach()  # towards another class
    step = 1e-2
    ends = [_soft(U, D, (Y.detach() + s * step * along).numpy(), beta) for s in (1, 2)]
    # One-sided: labels cannot leave the simplex. Second order in the step.
    start = layer(U, Y, beta).detach().numpy()
    slope = (4 * ends[0] - ends[1] - 3 * start) / (2 * step)
    found = float((Y.grad * along).sum())
    assert found == pytest.approx(float((W0.numpy() * slope).sum()), rel=2e-3)


def _soft(U, D, Y, beta):
    import cvxpy as cp

    p, P, C = U.shape[1], D.shape[1], Y.shape[1]
    W = cp.Variable((P * p, C))
    F = instances.dense(U.numpy(), D) @ W
    loss = cp.sum(cp.log_sum_exp(F, axis=1)) - cp.sum(cp.multiply(Y, F))
    cost = sum(cp.norm(W[i * p : (i + 1) * p, c]) for i in range(P) for c in range(C))
    cp.Problem(cp.Minimize(loss + beta * cost)).solve(solver=cp.CLARABEL)
    return W.value.reshape(P, p, C).transpose(1, 0, 2)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_weights_are_those_of_solve():
    U, D, Y, beta = drawn(0)
    layer = ConvexLayer(D)
    solution = solve(U, D, Y, beta, tol=1e-10)
    W = layer(U, Y, beta)
    assert W.dtype == torch.float64
    # A relative gap of 1e-10 allows a relative distance of its root.
    torch.testing.assert_close(W, solution.weights.double(), rtol=0, atol=1e-4)
    assert layer.certificate.objective <= solution.certificate.objective * (1 + 1e-12)


@pytest.mark.parametrize("exponents", [(0, -300), (100, 0), (-40, 40)])
def test_gradients_have_the_units_of_what_they_belong_to(exponents):
    """`U = 2^a U'`, `Y = 2^b Y'` and `beta = 2^(a + b) beta'` are the same program."""
    a, b = (2.0**exponent for exponent in exponents)
    U, D, Y, beta = drawn(0)
    plain, scaled = with_gradient(U, Y, beta), with_gradient(a * U, b * Y, a * b * beta)
    for inputs in (plain, scaled):
        ConvexLayer(D)(*inputs).sum().backward()
    for x, y, unit in zip(plain, scaled, (b / a / a, 1 / a, 1 / a / a), strict=True):
        torch.testing.assert_close(y.grad, unit * x.grad, rtol=0, atol=0)  # no rounding


@pytest.mark.parametrize("exponent", [-900, 900])
def test_gradients_are_linear_in_what_comes_in(exponent):
    """Also where the squares of what comes in over- or underflow."""
    U, D, Y, beta = drawn(0)
    inputs, layer = with_gradient(U, Y, beta), ConvexLayer(D)
    W = layer(*inputs)
    plain = torch.autograd.grad(W.sum(), inputs, retain_graph=True)
    scaled = torch.autograd.grad(2.0**exponent * W.sum(), inputs)
    for x, y in zip(plain, scaled, strict=True):
        torch.testing.assert_close(y, 2.0**exponent * x, rtol=0, atol=0)  # no rounding


def test_gradients_come_in_the_precision_and_shape_of_the_inputs():
    U, D, Y, beta = drawn(0, C=1)
    U, Y = U.float().requires_grad_(), Y[:, 0].float().requires_grad_()
    beta = torch.tensor([beta], requires_grad=True)
    ConvexLayer(D)(U, Y, beta).sum().backward()
    for value in (U, Y, beta):
        assert value.grad.shape == value.shape
        assert value.grad.dtype == torch.float32
    assert ConvexLayer(D)(U.detach().numpy(), Y.detach().numpy(), 0.5).shape == (4, 5, 1)


def test_a_second_call_starts_from_the_first_and_ends_in_the_same_weights(monkeypatch):
    U, D, Y, beta = drawn(0)
    iterations = []
    minimize = proximal_point.minimize

    def counted(*arguments, **settings):
        result = minimize(*arguments, **settings)
        iterations.append(result.iterations)
        return result

    monkeypatch.setattr(proximal_point, "minimize", counted)
    layer = ConvexLayer(D)
    layer(U, Y, beta)
    warm = layer(U, Y, 1.001 * beta)
    cold = ConvexLayer(D)(U, Y, 1.001 * beta)
    torch.testing.assert_close(warm, cold, rtol=1e-9, atol=1e-10)
    assert iterations[1] < iterations[2]
    assert layer(U, Y[:, :1], beta).shape == (4, 5, 1)  # a program of another shape starts at zero


def test_zero_weights_have_zero_gradients():
    U, D, Y, beta = drawn(0)
    inputs = with_gradient(U, Y, 100 * beta)
    W = ConvexLayer(D)(*inputs)
    assert not W.any()
    W.sum().backward()
    assert not any(value.grad.any() for value in inputs)


def test_a_class_without_active_blocks_has_a_gradient_too():
    """Of three classes one has no samples of its own to speak of, and no neurons."""
    U, D, Y, beta = drawn(0, "cross_entropy", 3)
    Y[:, 1] += Y[:, 0]
    Y[:, 0] = 0
    inputs = with_gradient(U, 2 * beta)
    layer = ConvexLayer(D, loss="cross_entropy")
    W = layer(inputs[0], Y, inputs[1])
    assert sorted((W != 0).any(dim=0).any(dim=0).tolist()) == [False, True, True]
    assert torch.autograd.gradcheck(lambda U, b: layer(U, Y, b), inputs, **AGREES)


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_kinks_are_told(penalty):
    """The first block becomes active at the largest beta of all."""
    U, D, Y, _ = drawn(0)
    blocks = [U.numpy().T @ (D[:, [i]] * Y.numpy()) for i in range(D.shape[1])]
    order = 2 if penalty == "nuclear" else None
    largest = max(
        np.linalg.norm(block, order) if order else np.linalg.norm(block, axis=0).max()
        for block in blocks
    )
    layer = ConvexLayer(D, penalty=penalty)
    for share, kink in ((1 - 1e-3, False), (1 - 1e-9, True), (1 + 1e-9, True), (1 + 1e-3, False)):
        layer(U, Y, share * largest)
        assert layer.at_kink is kink, share


def test_predictions_are_differentiable_in_weights_and_design():
    U, D, Y, beta = drawn(0)
    layer = ConvexLayer(D)
    W, rows = with_gradient(layer(U, Y, beta), U[:7])
    assert torch.autograd.gradcheck(lambda *a: layer.predict(*a, D[:7]), (W, rows))
    expected = solve(U, D, Y, beta, tol=1e-10).predict(U, D)
    torch.testing.assert_close(layer.predict(W, U, D), expected, rtol=0, atol=1e-4)
    stacked = layer.predict(W, torch.stack([rows, rows]), np.stack([D[:7], D[:7]]))
    torch.testing.assert_close(stacked, 2 * layer.predict(W, rows, D[:7]))
    ones = np.ones(W.shape, int)  # U keeps its digits beside weights that are no floats
    torch.testing.assert_close(
        layer.predict(ones, rows, D[:7]), layer.predict(1.0 * ones, rows, D[:7])
    )
    plain = layer.predict(W.detach().numpy(), rows.detach().numpy(), D[:7])
    torch.testing.assert_close(plain, layer.predict(W, rows, D[:7]).detach())
    for wrong in ((W, rows, D), (W[0], rows, D[:7]), (W, rows[0], D[0])):
        with pytest.raises(ValueError, match=r"expected weights \(r \+ 1, P, C\), and U"):
            layer.predict(*wrong)


# --- what it refuses ------------------------------------------------------------------------------


def test_losses_without_the_derivative_are_refused():
    U, D, Y, beta = drawn(0, "logistic", 1)
    with pytest.raises(ValueError, match=r"second derivative jumps.*'logistic'"):
        ConvexLayer(D, loss="squared_hinge")
    layer = ConvexLayer(D, loss="logistic")
    with pytest.raises(ValueError, match=r"with respect to Y.*Y\.detach\(\)"):
        layer(U, Y.requires_grad_(), beta)
    assert layer(U, Y.detach(), beta).shape == (4, 5, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"U": torch.zeros(3, 4)}, r"U must have shape \(n, r \+ 1\)"),
        ({"Y": torch.zeros(3)}, "20 in U and D, and 3 in Y"),
        ({"beta": torch.tensor([1.0, 2.0])}, "beta"),
        ({"beta": -1.0}, "beta must be"),
        ({"Y": torch.full((20, 2), torch.nan)}, "Y"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(wrong, message):
    U, D, Y, beta = drawn(0)
    inputs = {"U": U, "Y": Y, "beta": beta} | wrong
    with pytest.raises(ValueError, match=message):
        ConvexLayer(D)(**inputs)


def test_settings_that_do_not_exist_are_refused():
    D = np.ones((3, 2), dtype=bool)
    for settings in ({"loss": "hinge"}, {"penalty": "lasso"}, {"tol": 2.0}, {"tol": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            ConvexLayer(D, **settings)
    with pytest.raises(ValueError, match="D"):
        ConvexLayer(np.ones((3, 2)))


def test_weights_that_miss_the_tolerance_are_not_returned(monkeypatch):
    monkeypatch.setattr("convexbn.layers._MAX_ITERATIONS", 1)
    U, D, Y, beta = drawn(0, share=1e-3)
    with pytest.raises(UncertifiedError, match="above tolerance 1e-12"):
        ConvexLayer(D, tol=1e-12)(U, Y, beta)


def test_a_beta_of_nothing_is_no_division_by_zero():
    U, D, Y, _ = drawn(0)
    with pytest.raises(UncertifiedError, match="raise the tolerance or beta"):
        ConvexLayer(D)(U, Y, 1e-300)


def test_layers_made_in_inference_mode_can_be_trained():
    U, D, Y, beta = drawn(0)
    with torch.inference_mode():
        layer = ConvexLayer(torch.from_numpy(D) & True)
        layer(U, Y, beta)
    (beta,) = with_gradient(beta)
    layer(U, Y, beta).sum().backward()
    assert beta.grad


def test_an_optimum_that_is_not_the_only_one_has_no_derivative():
    """Two gates with the same pattern share their weight in any way."""
    U, D, Y, beta = drawn(0)
    twice = np.concatenate([D, D], axis=1)
    (beta,) = with_gradient(beta)
    W = ConvexLayer(twice)(U, Y, beta)
    assert (W[:, [1, 6]] != 0).all()
    with pytest.raises(NotDifferentiableError, match="not the only one"):
        W[0, 1].sum().backward()


def test_inputs_changed_in_place_and_second_derivatives_are_refused():
    U, D, Y, beta = drawn(0)
    U, beta = with_gradient(U, beta)
    Y = Y.clone()
    W = ConvexLayer(D)(U, Y, beta)
    Y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        W.sum().backward()
    W = ConvexLayer(D)(U, Y, beta)
    (first,) = torch.autograd.grad(W.square().sum(), beta, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.backward()


def test_arrays_and_patterns_changed_in_place_change_no_gradient():
    U, D, Y, beta = drawn(0)
    U, Y = U.numpy(), Y.numpy()
    (beta,) = with_gradient(beta)
    layer = ConvexLayer(D)
    W = layer(U, Y, beta)
    (before,) = torch.autograd.grad(W.sum(), beta, retain_graph=True)
    U[:], Y[:] = 0, 1
    assert torch.autograd.grad(W.sum(), beta, retain_graph=True) == (before,)
    layer.D.logical_not_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        W.sum().backward()


def test_tensors_in_a_list_that_require_a_gradient_are_refused():
    U, D, Y, beta = drawn(0)
    U, Y, beta = with_gradient(U, Y, beta)
    layer = ConvexLayer(D)
    plain = [value.detach() for value in (U, Y, beta)]
    for slot, (name, value) in enumerate({"U": list(U), "Y": [list(y) for y in Y]}.items()):
        inputs = [*plain[:slot], value, *plain[slot + 1 :]]
        with pytest.raises(ValueError, match=f"{name} must be one tensor to have a gradient"):
            layer(*inputs)
    with pytest.raises(ValueError, match=r"beta must be one tensor.*torch\.stack"):
        layer(*plain[:2], [beta])
    with pytest.raises(ValueError, match="U must be one tensor"):
        layer.predict(layer(*plain), list(U), D)
    assert layer(list(plain[0]), plain[1], [0.5]).shape == (4, 5, 2)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_is_refused(value):
    U, D, Y, beta = drawn(0)
    (beta,) = with_gradient(beta)
    W = ConvexLayer(D)(U, Y, beta)
    with pytest.raises(ValueError, match="gradient with respect to the weights must be finite"):
        (value * W).sum().backward()


def test_layers_move_between_devices_and_into_files_with_their_patterns():
    _, D, _, _ = drawn(0)
    layer = ConvexLayer(D)
    twin = ConvexLayer(~D)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.D, torch.as_tensor(D))
    assert not list(layer.parameters())


# --- memory, and the page of the docs -------------------------------------------------------------

# The bytes by which a call and its gradient raise the peak.
CALL = """
import numpy as np, torch
from convexbn import ConvexLayer
from convexbn.arrangements.gates import activation
from footprints import held, mb

torch.set_num_threads(1)
n, p, P, C, loss, penalty, tol = {case}
rng = np.random.default_rng(0)
U = np.linalg.qr(rng.standard_normal((n, p)))[0]
D, Y = activation(U, rng.standard_normal((p, P))), rng.standard_normal((n, C))
Y = Y if loss == "squared" else np.eye(C)[Y.argmax(axis=1)]
U = torch.from_numpy(U).requires_grad_()
layer = ConvexLayer(D, loss=loss, penalty=penalty, tol=tol)
before = held()
layer(U, Y, 1.0).square().sum().backward()
peak = 1e6 * (mb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize(
    "case",
    [
        (2000, 129, 200, 2, "squared", "group", 1e-4),
        (600, 33, 100, 4, "squared", "nuclear", 1e-8),
        pytest.param((600, 33, 100, 4, "cross_entropy", "group", 1e-8), marks=pytest.mark.slow),
    ],
)
def test_formula_bounds_the_peak_of_both_passes(case):
    *sizes, loss, penalty, _ = case
    (peak,) = run_alone(CALL.format(case=case), "peak")
    formula = gated_bytes(*sizes, loss=loss, penalty=penalty, differentiable=True)
    assert peak <= formula
    assert formula <= 3 * peak + OVERHEAD


def test_a_layer_that_does_not_fit_is_refused_before_it_solves(monkeypatch):
    U, D, Y, beta = drawn(0)
    needed = gated_bytes(20, 4, 5, 2, differentiable=True)
    monkeypatch.setattr("convexbn.programs.memory.available", lambda device: needed - 1)
    assert solve(U, D, Y, beta).certificate.converged
    with pytest.raises(ValueError, match=r"are free on cpu; P = 4 gates or n = 19 samples"):
        ConvexLayer(D)(U, Y, beta)


def test_example_of_the_docs_learns():
    blocks = re.findall(r"(?:^    .*\n|^\n)+", (DOCS / "layers.md").read_text(), re.MULTILINE)
    code = re.sub("^    ", "", max(blocks, key=len), flags=re.MULTILINE)
    steps = []

    def record(space):
        F = space["layer"].predict(space["W"], space["U_val"] * space["gains"], space["D_val"])
        right = F.argmax(dim=1).numpy() == space["labels"][space["val"]]
        steps.append((space["loss"].item(), right.mean()))

    exec(code.replace("loss.backward()", "record(globals()); loss.backward()"), {"record": record})
    (first_loss, first_accuracy), (loss, accuracy) = steps[0], steps[-1]
    assert loss < 0.95 * first_loss
    assert accuracy > first_accuracy + 0.02  # 600 images: a standard error of 0.02
