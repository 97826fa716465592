"""Samples over several processes: the same numbers, decisions and errors as in one."""

import threading

import numpy as np
import pytest
import torch
from shards import in_threads, joined

from convexbn import certify, solve, solve_path
from convexbn.programs.instances import make_program, spread
from convexbn.programs.losses import LOSSES
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.processes import Processes
from convexbn.programs.units import Units
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.semismooth import System

SHARDS = [1, 4, 7]
# The spectrum of the design, which only preconditions, is in float32; a sum that is left out
# changes what these numbers say by more than a hundredth.
ROUNDING = 1e-4
WEIGHTS = 1e-6  # of weights near 1, both sides' last steps being rounded to float32


def data(loss, K=1, n=12, d=4, P=6, C=2):
    """Return U, D and Y; with K = 1 the columns of U are orthonormal, otherwise not."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((K * n, d)) * [1, 2, 3, 4]
    U = (np.linalg.qr(X)[0] if K == 1 else X).reshape(K, n, d)
    D = U @ rng.standard_normal((d, P)) >= 0
    Y = np.eye(C)[rng.integers(0, C, n)]
    if loss == "squared":
        Y[0] *= 50  # its units are those of the first shard
    Y = 2 * Y - 1 if loss in ("logistic", "squared_hinge") else Y
    return (U[0], D[0], Y) if K == 1 else (U, D, Y)


def rows_of(U, D, Y, rows):
    return U[..., rows, :], D[..., rows, :], Y[rows]


def numbers(program):
    """Return what a few Newton steps make of a program, with what they rest on."""
    units = Units.of(program)
    plain = units.taken_off(program)
    beta = 0.1 * plain.beta_max()
    plain = type(plain)(**{**vars(plain), "beta": beta})
    passes, columns = Passes(plain), torch.arange(plain.Y.shape[1])
    W = torch.zeros(plain.shape, dtype=torch.float64)
    system = System.starting(plain, passes, columns, W, 40.0 / passes.norm**2)
    for _ in range(3):
        system.newton_step()
        system.recentre(4.0)
    objective, (dual, V) = system.primal().objective, system.dual_bound(exact=True)
    shared = (units.design, units.targets, beta, passes.norm, passes.spectrum.leverage)
    shared = [torch.tensor(shared), passes.open_share, passes.spectrum.values, objective, dual]
    shared += [system.sigma, system.residual, system.bounds, system.blocks]
    return shared, [passes.spectrum.basis, V, system.V, system.F]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("K", [1, 2])
def test_newton_steps_are_those_of_one_process(K, loss, penalty):
    inputs, terms = data(loss, K), {"model": "gated", "loss": loss, "penalty": penalty}
    same, own = numbers(make_program(*inputs, 1.0, **terms))

    def work(processes, rows):
        program = make_program(*rows_of(*inputs, rows), 1.0, **terms)
        return numbers(spread(program, processes))

    parts = joined(in_threads(SHARDS, work))
    for mine, _ in parts:
        assert all(torch.equal(a, b) for a, b in zip(mine, parts[0][0], strict=True))
    for a, b in zip(parts[0][0], same, strict=True):
        torch.testing.assert_close(a, b, rtol=ROUNDING, atol=ROUNDING * float(b.abs().max()))
    for pieces, whole in zip(zip(*(own for _, own in parts), strict=True), own, strict=True):
        scale = float(whole.abs().max())
        torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=ROUNDING * scale)


@pytest.fixture
def in_thread(monkeypatch):
    """Return a function that makes some processes those of the calling thread."""
    local = threading.local()
    monkeypatch.setattr(Processes, "running", lambda: local.processes)
    return lambda processes: setattr(local, "processes", processes)


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_dual_variables_are_scaled_by_all_samples(loss, outside):
    """The largest share, or what is outside the domain of the dual, is in one shard alone."""
    Y = torch.as_tensor(data(loss)[2])
    F = torch.as_tensor(np.random.default_rng(2).standard_normal(Y.shape))
    F[0] = 3 * F[0].abs().max() * (1 - 2 * Y[0]).sign()
    V = LOSSES[loss].negative_gradient(F, Y)
    V[0, 0] = V[0, 0] - 5 * Y[0].sum() if outside else V[0, 0]

    def scaled(kind, rows):
        limit = torch.full((1,), 1e3, dtype=torch.float64)  # which does not decide
        return kind.best_scale(V[rows], Y[rows], limit), kind.dual_value(V[rows], Y[rows])

    expected = scaled(LOSSES[loss], slice(None))
    work = lambda processes, rows: scaled(LOSSES[loss].over(processes), rows)  # noqa: E731
    for found in joined(in_threads(SHARDS, work)):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=0)  # float64 in another order


@pytest.mark.parametrize(
    ("loss", "penalty", "betas"),
    [("squared", "group", [0.3, 0.1]), ("cross_entropy", "nuclear", [0.1])],
)
def test_solutions_and_certificates_are_those_of_one_process(in_thread, loss, penalty, betas):
    inputs, terms = data(loss), {"loss": loss, "penalty": penalty, "tol": 1e-8}
    seen = []
    alone = list(solve_path(*inputs, betas, **terms))

    def work(processes, rows):
        in_thread(processes)
        mine = rows_of(*inputs, rows)
        shared = {"distributed": True, **terms}
        path = list(solve_path(*mine, betas, callback=seen.append, **shared))
        last = path[-1]
        return path, certify(*mine, last.beta, last.weights, dual=last.dual, **shared)

    parts = joined(in_threads(SHARDS, work))
    assert {len(snapshot.predictions) for snapshot in seen} == set(SHARDS)
    for b, expected in enumerate(alone):
        found = [path[b] for path, _ in parts]
        for solution in found:
            np.testing.assert_array_equal(solution.weights, found[0].weights)
            assert solution.certificate.converged
            assert solution.certificate.objective == found[0].certificate.objective
        # Where the certificate allows it, weights are rounded to float32, to either neighbour.
        close = {"rtol": 2.0**-23, "atol": WEIGHTS}
        np.testing.assert_allclose(found[0].weights, expected.weights, **close)
        objective = found[0].certificate.objective
        assert objective == pytest.approx(expected.certificate.objective, rel=1e-8)  # the tolerance
    for _, judged in parts:
        assert judged.objective == pytest.approx(objective, rel=1e-12)
        assert judged.dual_objective == found[0].certificate.dual_objective


def refused(in_thread, change, **arguments):
    """Return what each of two threads raises, where `change` alters the data of the second."""
    U, D, Y = data("squared")

    def work(processes, rows):
        in_thread(processes)
        mine = {"U": U[rows].copy(), "D": D[rows], "Y": Y[rows], "beta": 0.1, **arguments}
        change(mine) if rows.start else None
        return solve(**mine, distributed=True)

    return [str(error) for error in in_threads([5, 7], work)]


def test_an_error_of_one_process_ends_all(in_thread):
    first, second = refused(in_thread, lambda mine: mine["U"].fill(np.nan))
    assert first == ("1 of the 2 processes refused what they were given; see their own messages")
    assert second.startswith("U must be finite, but 28 of its 28 entries are NaN")


def test_processes_are_given_the_same_but_for_their_samples(in_thread):
    for change in ({"beta": 0.2}, {"tol": 1e-3}, {"initial": np.ones((4, 6, 2))}):
        for message in refused(in_thread, lambda mine, change=change: mine.update(change)):
            assert message.startswith("all processes must be given the same but for their samples")


def test_the_relu_models_are_not_shared(in_thread):
    y = lambda mine: mine.update(Y=mine["Y"][:, 0])  # noqa: E731
    first, second = refused(in_thread, y, model="relu")
    assert "refused what they were given" in first or "model 'relu' is for one output" in first
    assert second.startswith("distributed=True is for model 'gated'; solve the ReLU models")


def test_processes_that_are_not_started_are_missed():
    with pytest.raises(ValueError, match=r"start them by `torchrun .*init_process_group\('gloo'"):
        solve(*data("squared"), 0.1, distributed=True)
