"""Layers solve and differentiate what they are given, and say clearly what they cannot."""

import cvxpy as cp
import numpy as np
import pytest
import torch

from convexbn.experiments.convex_layers import engine
from convexbn.experiments.convex_layers.engine import make_layer

n, p = 7, 3


def tensor(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def ridge():
    """Return parameters, variable and problem: min ||F w - y||^2 + ||w||^2."""
    F, y, w = cp.Parameter((n, p), name="F"), cp.Parameter(n, name="y"), cp.Variable(p, name="w")
    return [F, y], w, cp.Problem(cp.Minimize(cp.sum_squares(F @ w - y) + cp.sum_squares(w)))


@pytest.fixture(scope="module")
def layer():
    parameters, w, problem = ridge()
    return make_layer(problem, parameters, [w])


def normal_equations(F, y):
    return torch.linalg.solve(F.mT @ F + torch.eye(p, dtype=F.dtype), F.mT @ y[..., None])[..., 0]


def test_solution_and_gradient_are_those_of_the_normal_equations(layer):
    values = [tensor(n, p), tensor(n, seed=1)]
    found, exact = [v.requires_grad_() for v in values], [v.detach().clone() for v in values]
    exact = [v.requires_grad_() for v in exact]
    (w,) = layer(*found)
    weights = tensor(p, seed=2)
    (w @ weights).backward()
    (normal_equations(*exact) @ weights).backward()
    assert layer.residual <= layer.tol
    torch.testing.assert_close(w, normal_equations(*exact), rtol=0, atol=1e-7)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-7)


def test_a_batch_is_its_programs_one_by_one(layer):
    """Also where one parameter is shared; a batch as long as a side of F is no matrix."""
    F, batch = tensor(n, p), tensor(n, n, seed=3)
    (together,) = layer(F, batch)
    assert together.shape == (n, p)
    torch.testing.assert_close(together, normal_equations(F, batch), rtol=0, atol=1e-7)
    assert layer(F[None], batch[:1])[0].shape == (1, p)


def test_the_gradient_of_a_shared_parameter_is_the_sum_over_the_batch(layer):
    """Also at entries that are zero, which the engine drops from its matrices."""
    F, batch, weights = tensor(n, p), tensor(4, n, seed=3), tensor(4, p, seed=4)
    F[0], F[2, 1] = 0, 0
    gradients = []
    for function in (lambda F: layer(F, batch)[0], lambda F: normal_equations(F, batch)):
        shared = F.clone().requires_grad_()
        (function(shared) * weights).sum().backward()
        gradients.append(shared.grad)
    assert (gradients[1][0] != 0).all()
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)


def test_a_tiny_loss_has_a_tiny_gradient(layer):
    """Not zero, as it is to the engine where no entry is above 1e-8."""
    gradients = []
    for size in (1.0, 1e-12):
        y = tensor(n, seed=1).requires_grad_()
        (w,) = layer(tensor(n, p), y)
        (size * w.sum()).backward()
        gradients.append(y.grad / size)
    assert gradients[0].norm() > 0.1
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ((tensor(n, p),), ValueError, "one tensor for each of F, y, got 1"),
        ((tensor(n, p), tensor(n).float()), TypeError, "float64 for parameter 'y', got torch.flo"),
        ((np.zeros((n, p)), tensor(n)), TypeError, "float64 for parameter 'F', got ndarray"),
        ((tensor(p, n), tensor(n)), ValueError, r"parameter 'F' of shape \(7, 3\), or .* got \(3"),
        ((tensor(n, p), tensor(2, 2, n)), ValueError, r"'y' of shape \(7,\), or .* got \(2, 2, 7"),
        ((tensor(2, n, p), tensor(3, n)), ValueError, r"one size, 1 or more, got \[2, 3\] for F"),
        ((tensor(n, p), tensor(0, n)), ValueError, r"one size, 1 or more, got \[0\] for F, y"),
        ((tensor(n, p), tensor(n) * torch.nan), ValueError, "finite values for parameter 'y'"),
    ],
)
def test_wrong_values_are_refused_by_name(layer, values, error, words):
    with pytest.raises(error, match=words):
        layer(*values)


def test_a_sign_that_was_declared_is_kept():
    """The engine itself would take a negative weight, and solve what is not convex."""
    x, weight = cp.Variable(), cp.Parameter(nonneg=True, name="weight")
    layer = make_layer(cp.Problem(cp.Minimize(weight * cp.abs(x - 1))), [weight], [x])
    with pytest.raises(ValueError, match="expected no negative value for parameter 'weight'"):
        layer(torch.tensor(-1.0, dtype=torch.float64))


@pytest.mark.parametrize(("side", "word"), [(-1.0, "infeasible"), (1.0, "unbounded")])
def test_a_program_without_a_solution_is_refused(side, word):
    x, bound = cp.Variable(), cp.Parameter(name="bound")
    constraints = [x >= 0, x <= bound] if side < 0 else [x >= bound]
    layer = make_layer(cp.Problem(cp.Maximize(x), constraints), [bound], [x])
    with pytest.raises(ValueError, match=f"program has a solution, got: .*{word}"):
        layer(torch.tensor(side, dtype=torch.float64))


def test_a_solve_that_missed_its_tolerance_is_an_error(monkeypatch):
    """The engine warns at most."""
    monkeypatch.setitem(engine.FORWARD, "max_iters", 3)
    parameters, w, problem = ridge()
    with pytest.raises(RuntimeError, match=r"relative residuals <= 1e-09, got \d"):
        make_layer(problem, parameters, [w])(tensor(n, p), tensor(n))


a, b = cp.Parameter(name="a"), cp.Parameter(name="b", nonneg=True)
P, x = cp.Parameter((2, 2), name="P", PSD=True), cp.Variable(2, name="x")
NOT_DPP = {
    "product": (cp.sum_squares(a * b * x - 1), [], r"a \* b, with .* 'a', 'b'; give the val"),
    "weight": (b * cp.norm(a * x - 1), [], r"b \* Pnorm.*, with the parameter\(s\) 'a', 'b'"),
    "quadratic": (cp.quad_form(x, P) - cp.sum(x), [], r"QuadForm.*, with the parameter\(s\) 'P'"),
    "bound": (cp.sum_squares(x), [x <= cp.exp(b)], r"x <= exp\(b\), with the parameter\(s\) 'b'"),
}


@pytest.mark.parametrize("name", NOT_DPP)
def test_what_is_not_dpp_is_named(name):
    objective, constraints, words = NOT_DPP[name]
    problem = cp.Problem(cp.Minimize(objective), constraints)
    with pytest.raises(ValueError, match=f"affinely .DPP., got {words}"):
        make_layer(problem, problem.parameters(), [x])


def test_the_product_as_one_parameter_is_dpp():
    ab = cp.Parameter(name="ab")
    layer = make_layer(cp.Problem(cp.Minimize(cp.sum_squares(ab * x - 1))), [ab], [x])
    (solution,) = layer(torch.tensor(4.0, dtype=torch.float64))
    torch.testing.assert_close(solution, torch.full((2,), 0.25).double(), rtol=0, atol=1e-7)


def test_what_is_not_convex_is_named():
    problem = cp.Problem(cp.Minimize(a * x[0]), [cp.norm(x) >= 1])
    with pytest.raises(
        ValueError, match=r"expected a convex problem by CVXPY's rules, got 1\.0 <="
    ):
        make_layer(problem, [a], [x])


def test_integers_and_constants_are_no_layers():
    i = cp.Variable(2, integer=True)
    with pytest.raises(ValueError, match="got integer or boolean variables; relax them"):
        make_layer(cp.Problem(cp.Minimize(cp.sum_squares(i - a))), [a], [i])
    with pytest.raises(ValueError, match="expected at least one parameter, got none"):
        make_layer(cp.Problem(cp.Minimize(cp.sum_squares(x))), [], [x])


def test_members_that_do_not_fit_are_named():
    (F, y), w, problem = ridge()
    for members, error, words in (
        (([F], [w]), ValueError, "got none of 'y'; add it"),
        (([F, y, a], [w]), ValueError, "parameter of the problem, which has 'F', 'y', got 'a'"),
        (([F, y], [x]), ValueError, "variable of the problem, which has 'w', got 'x'"),
        (([F, y, y], [w]), ValueError, "each of 'F', 'y', 'y' once"),
        (([F, w], [w]), TypeError, r"a cvxpy\.Parameter as parameter, got Variable"),
        (([F, y], [y]), TypeError, r"a cvxpy\.Variable as variable, got Parameter"),
    ):
        with pytest.raises(error, match=words):
            make_layer(problem, *members)
    with pytest.raises(TypeError, match=r"a cvxpy\.Problem as problem, got Minimize"):
        make_layer(problem.objective, [F, y], [w])
