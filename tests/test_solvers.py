"""The solver against CVXPY, closed forms, the network it stands for, and its own promises."""

import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import instances
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from convexbn.arrangements.enumeration import enumerate_arrangements
from convexbn.arrangements.gates import activation, sample_gates
from convexbn.programs.certificates import certify
from convexbn.programs.design import forward
from convexbn.solvers import solve, solve_path
from convexbn.solvers.gated import proximal_point
from convexbn.whitening import whiten

SNAPSHOTS = 1000  # no problem here needs a tenth of them


class Watcher:
    """Keeps the snapshots, and fails if a solver does not end."""

    def __init__(self):
        self.snapshots = []

    def __call__(self, snapshot):
        self.snapshots.append(snapshot)
        assert len(self.snapshots) < SNAPSHOTS, "the solver goes on and on without an end"


def solved(problem, **options):
    return solve(*problem.data, **{"callback": Watcher()} | options)


def predictions(problem, solution):
    return instances.dense(problem.U, problem.D) @ instances.flat(solution.weights)


# --- the optimum ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 25),
    d=st.integers(1, 6),
    P=st.integers(1, 9),
    C=st.integers(1, 3),
    share=st.floats(0.05, 0.95),
)
def test_optimum_is_that_of_an_interior_point_method(seed, n, d, P, C, share):
    problem = instances.make(seed, n, d, P, C, share)
    value, _ = instances.interior_point(*problem.data)
    certificate = solved(problem, tol=1e-8).certificate
    assert certificate.converged, certificate.reason
    # Both are within 1e-8 of the optimum, relative; Clarabel also absolute, and in feasibility.
    assert certificate.objective == pytest.approx(value, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "squared_hinge", "cross_entropy"])
@settings(max_examples=4)
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.5))
def test_optimum_of_every_loss_and_penalty(loss, penalty, seed, share):
    problem = instances.with_targets(instances.make(seed, n=12, d=2, P=4, C=3, share=share), loss)
    value, _ = instances.interior_point(*problem.data, loss, penalty)
    solution = solved(problem, loss=loss, penalty=penalty, tol=1e-7)
    assert solution.certificate.converged, solution.certificate.reason
    # Clarabel is within 1e-8, we are within 1e-7.
    assert solution.certificate.objective == pytest.approx(value, rel=1e-6)
    terms = {"loss": loss, "penalty": penalty}
    judged = certify(*problem.data, solution.weights, dual=solution.dual, **terms)
    assert judged.gap == solution.certificate.gap


def test_neurons_with_vector_outputs_are_fewer():
    """One nuclear-norm block of rank one is one neuron; per class it takes one neuron each."""
    problem = instances.make(9, C=3)
    U, D, Y, beta = problem.data
    Y = Y[:, :1] * np.array([1.0, 2.0, -1.0])
    nuclear, group = (solve(U, D, Y, beta, penalty=name) for name in ("nuclear", "group"))
    assert nuclear.neurons * 3 == group.neurons
    assert nuclear.certificate.objective < group.certificate.objective


def test_patches_are_summed():
    """A convolutional design is the sum of its patches' designs."""
    problem = instances.make(10, n=24, d=3, C=2)
    U, D = problem.U.reshape(2, 12, -1), problem.D.reshape(2, 12, -1)
    Y, beta = problem.Y[:12], 0.05
    dense = sum(instances.dense(*patch) for patch in zip(U, D, strict=True))
    solution = solve(U, D, Y, beta, tol=1e-8)
    assert solution.certificate.converged
    weights = solution.weights.astype(np.float64)
    F = dense @ instances.flat(weights)
    cost = beta * np.linalg.norm(weights, axis=0).sum()
    value = 0.5 * np.sum((F - Y) ** 2) + cost
    # Float64 sums in another order; the predictions are in the precision of the weights.
    assert solution.certificate.objective == pytest.approx(value, rel=1e-12)
    rounding = 100 * np.finfo(solution.weights.dtype).eps
    np.testing.assert_allclose(solution.predict(U, D), F, atol=rounding)
    # The gradient condition of the sum, at zero weights; one gate per patch would not meet it.
    largest = max(
        np.linalg.norm(block)
        for block in (dense.T @ Y).T.reshape(2, -1, U.shape[2]).reshape(-1, U.shape[2])
    )
    just_above = solve(U, D, Y, largest * (1 + 1e-9))
    assert just_above.neurons == 0
    assert solve(U, D, Y, largest * 0.99).neurons > 0


def test_a_vector_of_targets_is_one_column():
    problem = instances.make(0, C=1)
    U, D, Y, beta = problem.data
    one = solve(U, D, Y[:, 0], beta)
    np.testing.assert_array_equal(one.weights, solve(U, D, Y, beta).weights)
    assert one.weights.shape == problem.shape


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.5])
def test_one_gate_that_is_always_open_is_soft_thresholding(share):
    """With P = 1, D = I and U^T U = I: W_c = (1 - beta/||U^T y_c||)_+ U^T y_c."""
    problem = replace(instances.make(1, C=3), D=np.ones((24, 1), dtype=bool))
    problem = replace(problem, beta=share * instances.beta_max(problem.U, problem.D, problem.Y))
    T = problem.U.T @ problem.Y
    expected = np.maximum(1 - problem.beta / np.linalg.norm(T, axis=0), 0) * T
    solution = solved(problem, tol=1e-12)
    # The design is orthonormal: the weights are as near to the optimal ones as the predictions.
    distance = np.linalg.norm(solution.weights[:, 0] - expected)
    # A gap below the rounding of the objective cannot be known.
    unknown = 1e-15 * solution.certificate.objective
    assert distance <= instances.apart(solution.certificate) + np.sqrt(2 * unknown)


@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("seed", range(3))
def test_tolerance_is_reached_and_the_referee_agrees(tol, seed):
    problem = instances.make(seed, share=0.1)
    solution = solved(problem, tol=tol)
    assert solution.certificate.relative_gap <= tol
    judged = certify(*problem.data, solution.weights, dual=solution.dual, tol=tol)
    assert judged.converged
    assert judged.objective == solution.certificate.objective
    assert judged.dual_objective == solution.certificate.dual_objective
    assert judged.gap >= -1e-15 * judged.objective  # weak duality, up to rounding
    # Weights in float32 cost the square of their rounding, about 1e-14, at most.
    assert solution.weights.dtype == np.float32


def test_zero_from_beta_max_on():
    problem = instances.make(2)
    for share in (1.0001, 2, 1e6):
        top = instances.beta_max(problem.U, problem.D, problem.Y)
        with pytest.warns(UserWarning, match=r"no neurons: beta is so large; .* below beta_max\("):
            solution = solved(replace(problem, beta=share * top))
        assert not solution.weights.any()
        assert solution.neurons == 0
        assert solution.certificate.iterations == 0
        assert solution.certificate.converged
    assert solved(replace(problem, beta=0.9 * top)).neurons > 0


@pytest.mark.parametrize("held", [list, np.array, torch.tensor, lambda beta: Fraction(*beta[:1])])
def test_the_optimum_of_zero_is_said_of_a_beta_in_any_container(held):
    """The warning itself failed: a list has no format for numbers."""
    problem = instances.make(2)
    with pytest.warns(UserWarning, match=r"for beta 1e\+06 has no neurons"):
        solution = solve(problem.U, problem.D, problem.Y, held([10**6]))
    assert solution.neurons == 0


def test_recovered_gated_network_has_the_convex_objective():
    """sum_j D_j (U s_j) v_j^T with s_j = W_j/sqrt||W_j|| and v_j = sqrt||W_j|| for its class."""
    problem = instances.make(3)
    U, D, Y, beta = problem.data
    solution = solved(problem)
    F, decay = np.zeros_like(Y), 0.0
    for i in range(D.shape[1]):
        for c in range(Y.shape[1]):
            block = solution.weights[:, i, c].astype(np.float64)
            size = np.linalg.norm(block)
            if size > 0:
                s, v = block / np.sqrt(size), np.sqrt(size)
                F[:, c] += D[:, i] * (U @ s) * v
                decay += s @ s + v * v
    network = 0.5 * ((F - Y) ** 2).sum() + beta / 2 * decay
    assert network == pytest.approx(solution.certificate.objective, rel=1e-12)
    np.testing.assert_allclose(solution.predict(U, D), F, atol=1e-5)  # in the weights' float32


def test_digits_are_certified():
    X, labels = load_digits(return_X_y=True)
    U = whiten(X[:600]).U
    D = activation(U, sample_gates(U, 32, 0))
    Y = np.eye(10)[labels[:600]]
    solution = solve(U, D, Y, 0.3, tol=1e-6)
    assert solution.certificate.converged, solution.certificate.reason
    assert solution.certificate.iterations <= 36  # twice as many as it takes
    assert (solution.predict(U, D).argmax(axis=1) == labels[:600]).mean() > 0.95


# --- invariances ----------------------------------------------------------------------------------


def test_order_of_gates_and_samples_does_not_matter():
    problem, rng = instances.make(4), np.random.default_rng(0)
    U, D, Y, _ = problem.data
    reference = solved(problem, tol=1e-10)
    samples, gates = rng.permutation(24), rng.permutation(6)
    other = replace(problem, U=U[samples], D=D[samples][:, gates], Y=Y[samples])
    again = solved(other, tol=1e-10)
    difference = predictions(other, again) - predictions(problem, reference)[samples]
    assert np.linalg.norm(difference) <= instances.apart(reference.certificate, again.certificate)


def test_a_repeated_gate_adds_nothing():
    problem = instances.make(5)
    twice = replace(problem, D=np.hstack([problem.D, problem.D[:, :3]]))
    first, second = solved(problem, tol=1e-10), solved(twice, tol=1e-10)
    assert second.certificate.objective == pytest.approx(first.certificate.objective, rel=2e-10)


@pytest.mark.parametrize("power", [-25, -20, -10, 10, 18.7, 19, 25])
def test_unit_of_the_targets_does_not_matter(power):
    """Targets and beta in another unit: the same network in that unit, also beyond float32."""
    problem, unit = instances.make(6), 10.0**power
    first = solved(problem)
    other = replace(problem, Y=unit * problem.Y, beta=unit * problem.beta)
    second = solved(other)
    assert second.certificate.converged, second.certificate.reason
    difference = predictions(other, second) / unit - predictions(problem, first)
    tolerance = instances.apart(first.certificate, first.certificate) * 2  # both within 1e-6
    assert np.linalg.norm(difference) <= tolerance


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_unit_of_the_design_does_not_matter(unit):
    problem = instances.make(7)
    other = replace(problem, U=unit * problem.U, beta=unit * problem.beta)
    first, second = solved(problem, tol=1e-9), solved(other, tol=1e-9)
    assert second.certificate.objective == pytest.approx(first.certificate.objective, rel=2e-9)


# --- never without an end, never without a word ---------------------------------------------------


def test_gates_that_are_never_active():
    problem = instances.make(10)
    dead = replace(problem, D=np.zeros_like(problem.D))
    start = np.ones(problem.shape)
    for initial in (None, start):
        solution = solved(dead, initial=initial)
        assert solution.certificate.converged
        assert not solution.weights.any()
    half = replace(problem, D=problem.D & (np.arange(6) < 3))
    assert not solved(half).weights[:, 3:].any()


def test_zero_targets():
    problem = instances.make(11)
    zero = replace(problem, Y=np.zeros_like(problem.Y), beta=0.1)
    assert not solved(zero).weights.any()
    assert solved(zero, initial=np.ones(problem.shape)).certificate.objective < 1e-6


@pytest.mark.parametrize("exponent", [-990, -170, 170, 990])  # 1e-298 to 1e298
@pytest.mark.parametrize("model", ["gated", "relu", "relu_bn"])
def test_targets_have_any_unit(model, exponent):
    """Squares of these targets over- or underflow, and the network is the same in their unit."""
    problem = instances.make_cones(model, 12)
    U, D, y, beta = problem.data
    unit = 2.0**exponent
    one, snapshots = solve(U, D, y, beta, model=model), []
    other = solve(U, D, unit * y, unit * beta, model=model, callback=snapshots.append)
    assert other.certificate.converged
    # Gated weights are in float32 where this has the range for them.
    rounding = 2**-23 if model == "gated" else 0
    expected = unit * one.weights.astype(np.float64)
    np.testing.assert_allclose(other.weights, expected, rtol=rounding)
    objective = one.certificate.objective * unit * unit
    assert other.certificate.objective == pytest.approx(objective, rel=1e-6)
    assert snapshots[-1].beta == unit * beta
    judged = certify(U, D, unit * y, unit * beta, snapshots[-1].weights, model=model)
    assert judged.objective == pytest.approx(snapshots[-1].objective, rel=1e-9)


def steer(monkeypatch, gap):
    """Have the solver see `gap(round)` as its relative gap; return why and when it stopped."""

    take_stock = proximal_point.ProximalPoint.observe

    def observe(method):
        take_stock(method)
        return gap(method.iterations)

    def nearly(found, tol):
        return torch.zeros_like(found.dual, dtype=torch.bool)

    monkeypatch.setattr(proximal_point.Found, "nearly", nearly)
    monkeypatch.setattr(proximal_point.ProximalPoint, "observe", observe)
    certificate = solve(*instances.make(13).data, max_iterations=200).certificate
    return certificate.stopped, certificate.iterations


def test_slow_progress_is_progress(monkeypatch):
    """Half a percent from round to round gets there in the end; a standstill does not."""
    assert steer(monkeypatch, lambda k: 0.995**k) == ("iterations", 200)
    stopped, rounds = steer(monkeypatch, lambda k: 1e-2)
    assert stopped == "precision"
    # In float32, and as many in float64.
    assert rounds == 2 * proximal_point._PATIENCE


def test_small_betas_are_solved_for_as_long_as_there_is_progress():
    """Progress of less than one percent from snapshot to snapshot is progress."""
    problem = instances.make(13, share=1e-3)
    solution = solved(problem, tol=1e-6)
    assert solution.certificate.converged, solution.certificate.reason


def test_limit_of_iterations():
    problem = instances.make(14, share=0.01)
    certificate = solved(problem, tol=1e-12, max_iterations=5).certificate
    assert not certificate.converged
    assert certificate.iterations == 5
    assert certificate.stopped == "iterations"
    assert "stopped by iterations after 5" in certificate.reason
    assert certificate.gap > 0


@pytest.mark.parametrize("seed", range(6))
def test_precision_is_named_when_it_is_what_ends_the_search(seed):
    """Unless the gap as the solver computes it vanishes."""
    problem, watcher = instances.make(seed), Watcher()
    certificate = solve(*problem.data, tol=1e-30, callback=watcher).certificate
    # The referee allows for rounding of (4 + sqrt(n)) eps in each constraint, and each may have as
    # much as all of a dual variable that is several times as large.
    assert abs(certificate.relative_gap) < 1e-13
    closed = watcher.snapshots[-1].relative_gap <= 1e-30
    assert closed or certificate.stopped == "precision"
    assert certificate.iterations < 300


# --- the certificate ------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "logistic", "squared_hinge", "cross_entropy"])
@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_certificate_without_the_dual_variable_is_as_valid_but_looser(loss, penalty):
    problem = instances.with_targets(instances.make(27, C=3), loss)
    terms = {"loss": loss, "penalty": penalty}
    solution = solved(problem, tol=1e-10, **terms)
    both = certify(*problem.data, solution.weights, dual=solution.dual, tol=1e-10, **terms)
    alone = certify(*problem.data, solution.weights, tol=1e-10, **terms)
    assert both.converged
    assert alone.objective == both.objective
    assert alone.dual_objective < both.dual_objective
    assert not alone.converged


def test_dual_variable_is_scaled_until_it_is_feasible():
    """Multiples of the solution's variable give the same certificate, others a valid one."""
    problem, rng = instances.make(28, C=1), np.random.default_rng(0)
    solution = solved(problem, tol=1e-10)
    best = solution.certificate
    for size in (1e-3, 1.0, 1e6):
        judged = certify(*problem.data, solution.weights, dual=size * solution.dual)
        # The scale is found by two divisions.
        assert judged.dual_objective == pytest.approx(best.dual_objective, rel=1e-13)
    for dual in (0 * problem.Y, -solution.dual, rng.standard_normal(problem.Y.shape)):
        judged = certify(*problem.data, solution.weights, dual=dual)
        assert 0 <= judged.dual_objective < best.dual_objective
        assert not judged.converged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dual": np.zeros((24, 1))}, r"dual must have shape \(24, 2\), got \(24, 1\)"),
        ({"dual": np.full((24, 2), np.nan)}, "dual must be finite"),
        ({"multipliers": np.zeros((2, 6, 24))}, "multipliers belong to constraints"),
        (
            {"model": "relu", "Y": np.ones(24), "weights": np.zeros((2, 5, 6))},
            r"dual must have shape \(24, 1\), got \(24, 2\)",
        ),
    ],
)
def test_witnesses_that_do_not_fit(change, message):
    problem = instances.make(0)
    good = {"U": problem.U, "D": problem.D, "Y": problem.Y, "beta": problem.beta}
    good |= {"weights": np.zeros(problem.shape), "dual": np.zeros((24, 2))}
    with pytest.raises(ValueError, match=message):
        certify(**good | change)


# --- paths and starts -----------------------------------------------------------------------------


def test_path_is_what_cold_solves_find():
    problem = instances.make(16)
    U, D, Y, top = problem.data
    betas = [0.3 * top, top, 0.1 * top]
    path = list(solve_path(U, D, Y, betas, tol=1e-9))
    assert [s.beta for s in path] == sorted(betas, reverse=True)
    for warm in path:
        cold = solve(U, D, Y, warm.beta, tol=1e-9)
        difference = warm.predict(U, D) - cold.predict(U, D)
        assert np.linalg.norm(difference) <= instances.apart(warm.certificate, cold.certificate)


def test_path_yields_each_solution_before_it_begins_the_next():
    problem, seen = instances.make(16), []
    U, D, Y, top = problem.data
    path = solve_path(
        U, D, Y, [top, top / 10], callback=lambda snapshot: seen.append(snapshot.beta)
    )
    assert next(path).beta == top
    assert set(seen) == {top}
    assert next(path).beta == top / 10
    assert set(seen) == {top, top / 10}


def test_objective_falls_with_beta():
    problem = instances.make(17)
    U, D, Y, top = problem.data
    path = list(solve_path(U, D, Y, np.geomspace(0.01, 2, 5) * top, tol=1e-8))
    values = [s.certificate.objective for s in path]
    assert values == sorted(values, reverse=True)
    norms = [np.linalg.norm(s.weights, axis=0).sum() for s in path]
    assert norms == sorted(norms)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_a_solution_is_a_start_that_needs_next_to_no_iterations(precision):
    """Only its weights are handed in: one or two rounds find its dual variable again."""
    problem, watcher = instances.make(18), Watcher()
    first = solved(problem, tol=1e-9)
    start = first.weights.astype(precision)
    again = solve(*problem.data, initial=start, tol=1e-5, callback=watcher)
    assert again.certificate.converged
    assert again.certificate.iterations <= 2 < solved(problem, tol=1e-5).certificate.iterations
    assert watcher.snapshots[0].objective == pytest.approx(first.certificate.objective, rel=1e-9)


def test_a_bad_start_ends_at_the_same_optimum():
    problem = instances.make(19)
    first = solved(problem, tol=1e-9)
    start = 100 * np.random.default_rng(0).standard_normal(problem.shape)
    second = solved(problem, initial=start, tol=1e-9)
    assert second.certificate.objective == pytest.approx(first.certificate.objective, rel=2e-9)


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_a_path_goes_on_from_a_solution_to_the_same_numbers(penalty):
    """Bit for bit, also over a wide step, before which weights from elsewhere would be scaled."""
    problem = instances.make(21, share=0.5)
    data, terms = problem.data[:3], {"penalty": penalty, "tol": 1e-8}
    betas = [problem.beta, problem.beta / 200]
    large, expected = solve_path(*data, betas, **terms)
    (found,) = solve_path(*data, betas[1:], initial=large, **terms)
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.dual, expected.dual)
    assert found.certificate.iterations == expected.certificate.iterations
    (scaled,) = solve_path(*data, betas[1:], initial=large.weights, **terms)
    assert (scaled.weights != expected.weights).any()


# --- what is seen on the way ----------------------------------------------------------------------


def test_snapshots():
    problem, watcher = instances.make(20), Watcher()
    solution = solve(*problem.data, tol=1e-9, callback=watcher)
    snapshots, certificate = watcher.snapshots, solution.certificate
    seconds, iterations = ([getattr(x, k) for x in snapshots] for k in ("seconds", "iteration"))
    assert seconds == sorted(seconds)
    assert iterations == sorted(iterations)
    assert iterations == list(range(certificate.iterations + 1))
    assert 0 <= seconds[0] <= seconds[-1] <= certificate.seconds
    for snapshot in snapshots:
        # Sums of some hundred terms, each rounded.
        assert snapshot.weights.dtype == torch.float64
        rounding = 1e3 * torch.finfo(torch.float64).eps
        assert snapshot.gap >= -rounding * snapshot.objective
        F = forward(*(torch.as_tensor(a) for a in (problem.U, problem.D)), snapshot.weights)
        value = instances.objective(*problem.data, snapshot.weights)
        assert snapshot.objective == pytest.approx(value, rel=rounding)
        np.testing.assert_allclose(snapshot.predictions, F, atol=10 * rounding)
        assert snapshot.dual_objective <= certificate.objective * (1 + rounding)
    assert snapshots[0].objective == pytest.approx(0.5 * (problem.Y**2).sum(), rel=1e-12)
    assert snapshots[-1].relative_gap <= 1e-9
    objectives, gaps = ([getattr(x, k) for x in snapshots] for k in ("objective", "gap"))
    assert objectives == sorted(objectives, reverse=True)  # the best so far
    assert gaps == sorted(gaps, reverse=True)
    # The weights are handed out in float32; the slope this near the optimum is below 1e-4.
    assert snapshots[-1].objective == pytest.approx(certificate.objective, rel=1e-11)


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_tensors_that_come_out_of_the_solver_go_into_a_graph(penalty, interrupted):
    problem, trained = instances.make(20), torch.nn.Linear(2, 1, dtype=torch.float64)

    def train(snapshot):
        for tensor in (snapshot.weights, snapshot.predictions):
            trained(tensor[..., :1].expand(*tensor.shape[:-1], 2)).square().sum().backward()
        if interrupted and snapshot.weights.any():
            raise KeyboardInterrupt

    data = [torch.as_tensor(a) for a in problem.data[:3]]
    solution = solve(*data, problem.beta, penalty=penalty, tol=1e-9, callback=train)
    assert trained.weight.grad.any()
    assert (solution.certificate.stopped == "interrupt") == interrupted
    for tensor in (solution.weights, solution.dual):
        factor = torch.ones((), dtype=tensor.dtype, requires_grad=True)
        (factor * tensor).square().sum().backward()  # keeps the tensor for its gradient
        assert factor.grad > 0


def test_a_callback_that_is_none_is_refused_before_the_solve():
    with pytest.raises(TypeError, match="callback must be a function of a snapshot, got 3"):
        solve(*instances.make(20).data, callback=3)


def test_time_of_the_callback_is_not_counted(monkeypatch):
    """On a clock that runs a second with each look at it, and a minute in each callback."""
    clock, seen = [0.0], []

    def now():
        clock[0] += 1
        return clock[0]

    def callback(snapshot):
        seen.append(snapshot.seconds)
        clock[0] += 60

    monkeypatch.setattr("convexbn.solvers.snapshots.time.perf_counter", now)
    solution = solve(*instances.make(21).data, tol=1e-10, callback=callback)
    assert len(seen) > 10
    assert seen == sorted(seen)
    # A few looks at the clock in each round, and none of the minutes.
    assert seen[-1] <= solution.certificate.seconds < 5 * len(seen)


# --- interrupts -----------------------------------------------------------------------------------


def interrupt_after(rounds):
    """Return a callback that does what Ctrl-C does, in the midst of a round."""

    def callback(snapshot):
        if snapshot.iteration >= rounds:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("model", ["gated", "relu", "relu_bn"])
def test_an_interrupt_gives_back_the_best_so_far_with_its_certificate(model):
    problem = instances.make(22, n=8, d=2, C=1)
    D = enumerate_arrangements(problem.U if model != "relu_bn" else problem.U[:, :2])
    data = problem.U if model != "relu_bn" else problem.U[:, :2], D, problem.Y, problem.beta
    with pytest.warns(
        UserWarning, match=r"stopped by interrupt .* the best weights so far"
    ) as seen:
        found = solve(*data, model=model, tol=1e-9, callback=interrupt_after(4))
    assert len(seen) == 1
    certificate = found.certificate
    assert (certificate.stopped, certificate.converged) == ("interrupt", False)
    witness = {"dual": found.dual, "multipliers": found.multipliers}
    judged = certify(*data, found.weights, model=model, **witness)
    assert judged.objective == certificate.objective
    assert judged.gap == certificate.gap > 0
    whole = solve(*data, model=model, tol=1e-9).certificate
    assert whole.dual_objective < certificate.objective
    assert certificate.dual_objective < whole.objective


def test_a_path_ends_with_the_interrupt_and_goes_on_from_there():
    problem = instances.make(16, C=1)
    U, D, Y, top = problem.data
    betas = [top, top / 2, top / 4]

    def callback(snapshot):
        if snapshot.beta == betas[1] and snapshot.iteration == 1:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="stopped by interrupt"):
        first, second = solve_path(U, D, Y, betas, tol=1e-8, callback=callback)
    assert first.certificate.converged
    assert (second.beta, second.certificate.stopped) == (betas[1], "interrupt")
    again = solve(U, D, Y, betas[1], tol=1e-8, initial=second.weights)
    assert again.certificate.converged


INTERRUPTED = """
import os, signal, threading
import numpy as np
from convexbn import activation, sample_gates, solve, whiten

rng = np.random.default_rng(0)
U = whiten(rng.standard_normal((200, 20))).U
D, y = activation(U, sample_gates(U, 50, 0)), rng.standard_normal(200)

def interrupt(snapshot):
    if snapshot.iteration == 2:
        os.kill(os.getpid(), signal.SIGINT)

print(solve(U, D, y, 1e-3, tol=1e-12, callback=interrupt).certificate.stopped)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_the_signal_of_ctrl_c_is_such_an_interrupt():
    command = [sys.executable, "-c", INTERRUPTED]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["interrupt"]
    assert run.stderr.count("the best weights so far") == 1


def test_a_reached_limit_warns_once_and_says_what_to_do():
    U, D, Y, top = instances.make(14, C=1).data
    words = r"beta .* stopped by iterations after 2 .* raise max_iterations \(now 2\), tol or beta"
    with pytest.warns(UserWarning, match=words) as seen:
        solve(U, D, Y, top / 100, max_iterations=2)
    assert [warning.filename for warning in seen] == [__file__]
    with pytest.warns(UserWarning, match=words) as seen:
        found = list(solve_path(U, D, Y, [top / 100, top / 200, top / 300], max_iterations=2))
    assert [warning.filename for warning in seen] == [__file__]
    assert not any(solution.certificate.converged for solution in found)


def test_several_betas_and_unknown_devices_and_keywords_are_refused_with_what_there_is():
    U, D, Y, beta = instances.make(14).data
    with pytest.raises(ValueError, match="beta must be one number > 0, got 2; solve_path takes"):
        solve(U, D, Y, [beta, 2 * beta])
    with pytest.raises(ValueError, match=r"device must be .*'cpu'.* got 'gpu'"):
        solve(U, D, Y, beta, device="gpu")
    with pytest.raises(
        TypeError, match=r"solve\(\) got .* 'max_iter'; did you mean 'max_iterations'"
    ):
        solve(U, D, Y, beta, max_iter=5)


# --- kinds and devices ----------------------------------------------------------------------------


def test_numpy_in_numpy_out_and_torch_in_torch_out():
    problem = instances.make(23)
    U, D, Y, beta = problem.data
    ours = solve(U, D, Y, beta)
    theirs = solve(*(torch.as_tensor(a) for a in (U, D, Y)), beta)
    assert isinstance(ours.weights, np.ndarray)
    assert isinstance(theirs.weights, torch.Tensor)
    np.testing.assert_array_equal(ours.weights, theirs.weights)
    assert isinstance(ours.predict(U, D), np.ndarray)
    assert isinstance(theirs.predict(torch.as_tensor(U), torch.as_tensor(D)), torch.Tensor)
    assert ours.neurons == theirs.neurons == (np.linalg.norm(ours.weights, axis=0) > 0).sum()


def test_help_tells_every_option():
    one, path = (inspect.signature(f).parameters for f in (solve, solve_path))
    assert list(one) == [{"betas": "beta"}.get(name, name) for name in path]
    assert all(name in solve.__doc__ for name in one)
    for option in (*one.values(), *path.values()):
        assert option.kind is not option.VAR_KEYWORD
        assert option.annotation is not option.empty


def test_inputs_are_left_as_they_are():
    problem = instances.make(24)
    copies = [a.copy() for a in problem.data[:3]]
    start = np.ones(problem.shape)
    solved(problem, initial=start, tol=1e-9)
    for before, after in zip(copies, problem.data[:3], strict=True):
        np.testing.assert_array_equal(before, after)
    assert (start == 1).all()


def test_predictions_of_new_samples():
    rng = np.random.default_rng(0)
    X, new = rng.standard_normal((30, 4)), rng.standard_normal((7, 4))
    w = whiten(X)
    G = sample_gates(w.U, 5, 0)
    solution = solve(w.U, activation(w.U, G), rng.standard_normal((30, 2)), 0.1, tol=1e-9)
    U = w.transform(new)
    F = solution.predict(U, activation(U, G))
    for k in range(7):
        expected = sum((U[k] @ G[:, i] >= 0) * U[k] @ solution.weights[:, i] for i in range(5))
        np.testing.assert_allclose(F[k], expected, atol=1e-5)  # weights in float32
    assert solution.predict(U[:0], activation(U[:0], G)).shape == (0, 2)


def test_two_solves_are_the_same_to_the_last_bit():
    problem = instances.make(25)
    first, second = solved(problem, tol=1e-9), solved(problem, tol=1e-9)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.certificate.iterations == second.certificate.iterations


# --- inputs that do not fit -----------------------------------------------------------------------

GOOD = instances.make(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": []}, "at least one weight decay"),
        ({"betas": [1.0, 0.0]}, "beta must be > 0 and finite, got 0.0"),
        ({"tol": 0}, "tol must be > 0"),
        ({"tol": float("nan")}, "tol must be > 0"),
        ({"max_iterations": 0}, "max_iterations must be from 1"),
        ({"max_iterations": 1e3}, "max_iterations must be a whole number"),
        ({"initial": np.zeros((5, 6, 3))}, r"initial weights must have shape \(5, 6, 2\), got"),
        ({"initial": np.full((5, 6, 2), np.nan)}, "initial weights must be finite"),
        ({"loss": "hinge"}, "loss must be one of 'squared'"),
        ({"penalty": "l1"}, "penalty must be one of 'group'"),
        ({"model": "relu6"}, "model must be one of 'gated'"),
        ({"Y": GOOD.Y[:5]}, "the same n samples.* 5 in Y; give the targets"),
        ({"Y": np.full((24, 2), np.nan)}, "Y must be finite"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    good = {"U": GOOD.U, "D": GOOD.D, "Y": GOOD.Y, "betas": [GOOD.beta]}
    with pytest.raises(ValueError, match=message):
        list(solve_path(**good | change))


# --- processes ------------------------------------------------------------------------------------


# Each is computed beside two threads at work, and then by two workers.
PROGRAM = """
import multiprocessing
import numpy as np
import torch
from sweep_features import SWEEP, make_features
from convexbn import activation, sample_gates, solve, train_exact, whiten
from convexbn.training.engine import train

torch.set_num_threads(2)
rng = np.random.default_rng(0)
X, y = rng.standard_normal((200, 4)), rng.standard_normal(200)
large = torch.ones(600, 600)


def gated(_):
    U = whiten(X).U
    solution = solve(U, activation(U, sample_gates(U, 20, 0)), y, 2.0)
    return solution.certificate.objective


def exact(_):
    return train_exact(whiten(X[:8]).U, y[:8], 1.0).certificate.objective


def networks(_):
    return train(make_features(), SWEEP)[0][-1]["objective"]


def threads(_):
    return torch.get_num_threads()


for work in (gated, exact, networks):
    (large @ large).exp().sum()
    alone = work(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        np.testing.assert_allclose(pool.map(work, range(2)), alone, rtol=1e-4)
        assert pool.map(threads, range(2)) == [1, 1]
    assert torch.get_num_threads() == 2
    print(work.__name__)
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no forks"
)
def test_forked_workers_compute_after_their_parent_did_on_two_threads():
    """Without the hook the first of them waits for ever."""
    # Threads that wait give way to others: a busy machine takes a minute otherwise.
    threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    environment = os.environ | threads | {"PYTHONPATH": _path()}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as run:
        try:
            out, error = run.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)  # the workers too
            raise
    assert (out.split(), run.returncode) == (["gated", "exact", "networks"], 0), error


def _path() -> str:
    """The path of this process, and the helpers of the tests."""
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
