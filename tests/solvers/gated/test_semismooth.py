"""The proximal point method's parts against dense matrices, differences and theorems."""

import math
from dataclasses import replace
from itertools import pairwise

import instances
import numpy as np
import pytest
import torch
from loss_draws import draw, inside
from sklearn.datasets import load_digits

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.data.patches import patches
from convexbn.programs.design import pooled
from convexbn.programs.instances import make_program
from convexbn.programs.losses import LOSSES
from convexbn.programs.penalties import PENALTIES
from convexbn.solvers import solve
from convexbn.solvers.gated import mean_field, semismooth, stages
from convexbn.solvers.gated.loss_prox import LOSS_PROX
from convexbn.solvers.gated.mean_field import MeanField, Spectrum, conjugate_gradients
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.semismooth import System
from convexbn.whitening import whiten

ALL = list(LOSSES)
DAMPED = [name for name in ALL if LOSS_PROX[name].damped]
ROUNDING = 1e-12  # float64, sums of up to some hundred terms of size one


def normal(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


# --- proximal maps of the losses ------------------------------------------------------------------


def drawn(name, rho, seed=0, n=40, C=3, size=1.0):
    """Return targets, centre, and a dual variable; outside of the loss's own domain if damped."""
    center, Y = draw(name, seed, n, C, size=size)
    outside = min(rho, 1.0) * size * normal(n, C, seed=(seed, 5))
    return Y, center, LOSS_PROX[name].project(inside(name, seed, Y) + outside)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rho", [1e-7, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("cold", [True, False])
def test_predictions_obey_the_gradient_condition(name, rho, size, cold):
    """`grad L(F) + V + rho (F - F0) = 0`, whatever the start."""
    prox, (Y, center, V) = LOSS_PROX[name], drawn(name, rho, size=size)
    start = 50 * normal(*Y.shape, seed=9) if cold else center
    F = prox.predictions(V, Y, center, rho, start)
    pull = rho * prox.project(F - center)
    left = V + pull - LOSSES[name].negative_gradient(F, Y)
    # Newton's steps end at 1e-12 of F, whose slope is at most 2 + rho.
    terms = 1 + size + float(pull.abs().max()) + 3 * float(F.abs().max())
    assert float(left.abs().max()) <= 2e-12 * (1 + rho) * terms


def test_squared_loss_needs_no_damping():
    Y, center, V = drawn("squared", 1.0)
    F = LOSS_PROX["squared"].predictions(V, Y, center, 0.0, center)
    torch.testing.assert_close(LOSSES["squared"].negative_gradient(F, Y), V, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rho", [0.01, 1.0])
def test_inverse_hessian_is_the_derivative_of_the_predictions(name, rho):
    """`dF = -(L'' + rho)^{-1} dV`."""
    loss, prox, (Y, center, V) = LOSSES[name], LOSS_PROX[name], drawn(name, rho)
    step = prox.project(normal(*Y.shape, seed=6))
    h = 1e-6
    ahead, back = (prox.predictions(V + t * step, Y, center, rho, center) for t in (h, -h))
    F = prox.predictions(V, Y, center, rho, center)
    ours = prox.project(prox.inverse_hessian(loss, F, Y, rho)(step))
    # Rounding of 1e-14 over h; a third derivative of the order of 1 / rho^3, times h squared.
    torch.testing.assert_close(ours, (back - ahead) / (2 * h), rtol=1e-5, atol=1e-5)
    single = prox.inverse_hessian(loss, F, Y, rho)(step.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(prox.project(single).double(), ours, rtol=1e-4, atol=1e-4 / rho)


@pytest.mark.parametrize("rho", [1e-6, 0.1, 10.0])
def test_inverse_hessian_of_shares_is_the_inverse_matrix(rho):
    """On rows that sum to zero: `(diag(s) - s s^T + rho)` times it is the identity."""
    share = (3 * normal(30, 4)).softmax(dim=1)
    x = LOSS_PROX["cross_entropy"].project(normal(30, 4, seed=1))
    loss, F = LOSSES["cross_entropy"], share.log()
    inverse_hessian = LOSS_PROX["cross_entropy"].inverse_hessian(loss, F, None, rho)
    for s, ours, row in zip(share, inverse_hessian(x), x, strict=True):
        hessian = torch.diag(s) - torch.outer(s, s) + rho * torch.eye(4, dtype=s.dtype)
        expected = torch.linalg.solve(hessian, row)
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)
    # Its diagonal stands for the curvature's mean over the three directions that sum to zero.
    basis = torch.linalg.svd(torch.ones(1, 4, dtype=torch.float64)).Vh[1:]
    for s, diagonal in zip(share, inverse_hessian.diagonal, strict=True):
        mean = torch.trace(basis @ (torch.diag(s) - torch.outer(s, s)) @ basis.T) / 3
        torch.testing.assert_close(diagonal, (1 / (mean + rho)).expand(4), rtol=1e-12, atol=0)


def test_entropy_does_not_see_constants():
    """A constant added to the rows of centre or start changes nothing; rows of F sum to zero."""
    prox, (Y, center, V) = LOSS_PROX["cross_entropy"], drawn("cross_entropy", 0.1)
    shift = normal(len(Y), 1, seed=8)
    F = prox.predictions(V, Y, center, 0.1, center)
    moved = prox.predictions(V, Y, center + shift, 0.1, center - shift)
    torch.testing.assert_close(F, moved, rtol=0, atol=1e-11)
    torch.testing.assert_close(F.sum(dim=1), torch.zeros(len(Y)).double(), rtol=0, atol=1e-11)


# --- conjugate gradients --------------------------------------------------------------------------


def positive(size, seed=0, weight=1.0):
    A = normal(size, size, seed=seed)
    return weight * A @ A.T / size + torch.eye(size)


@pytest.mark.parametrize("kind", ["none", "diagonal", "inverse"])
def test_conjugate_gradients_solve(kind):
    H, b = positive(30, weight=100.0), normal(10, 3, seed=1)
    H = H * torch.outer(*[torch.logspace(-1, 1, 30).double()] * 2)  # badly scaled
    inverses = {"none": torch.eye(30).double(), "diagonal": torch.diag(1 / H.diag())}
    inverse = inverses.get(kind, torch.linalg.inv(H))
    calls = []

    def apply(x):
        calls.append(x)
        return (H @ x.flatten()).reshape(10, 3)

    def precondition(r):
        return (inverse @ r.flatten()).reshape(10, 3)

    x, left, iterations = conjugate_gradients(apply, precondition, b, 1e-10, 300)
    assert iterations == len(calls) < 300
    torch.testing.assert_close(left, b - apply(x), rtol=0, atol=1e-12 * float(b.norm()))  # rounding
    residual = apply(x) - b
    # The residual is updated rather than computed: rounding times the condition number.
    assert float(residual.norm()) <= 1.1e-10 * float(b.norm())
    exact = torch.linalg.solve(H, b.flatten()).reshape(10, 3)
    torch.testing.assert_close(x, exact, rtol=1e-6, atol=1e-6)
    if kind == "inverse":
        assert iterations == 1


def test_conjugate_gradients_stop_early():
    H, b = positive(30, weight=100.0), normal(30, 1)
    errors = []
    exact = torch.linalg.solve(H, b)
    for limit in range(1, 12):
        x, _, iterations = conjugate_gradients(lambda x: H @ x, lambda r: r, b, 1e-14, limit)
        assert iterations == limit
        errors.append(float(((x - exact) * (H @ (x - exact))).sum()))
    assert errors == sorted(errors, reverse=True)  # each minimizes the energy over more


def test_systems_side_by_side_stop_one_by_one():
    """Each is solved as it is alone, whatever the others need; of no right-hand side is nothing."""
    weights = [0.0, 1.0, 10.0, 10.0]
    H = torch.stack([positive(30, seed=c, weight=w) for c, w in enumerate(weights)])
    b = normal(30, 4)
    b[:, 3] = 0

    def solved(columns):
        terms = (lambda x: torch.einsum("cij,jc->ic", H[columns], x)), lambda r: r
        return conjugate_gradients(*terms, b[:, columns], 1e-3, 100, apart=True)

    x, left, iterations = solved([0, 1, 2, 3])
    alone = [solved([c]) for c in range(4)]
    assert len({count for _, _, count in alone}) == 3
    assert iterations == max(count for _, _, count in alone)
    for found, i in ((x, 0), (left, 1)):
        # Roundings grow from iteration to iteration.
        expected = torch.cat([a[i] for a in alone], dim=1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1000 * ROUNDING)
    assert not x[:, 3].any()


# --- the preconditioner ---------------------------------------------------------------------------


def make(seed=0, n=12, d=3, P=5, C=3, K=1, share=0.1, whitened=True, **terms):
    """Return a program; of K patches per sample, and of a design that is not orthonormal."""
    terms = {"model": "gated", "loss": "squared", "penalty": "group"} | terms
    problem = instances.make(seed, K * n, d, P, C, share)
    problem = instances.with_targets(problem, terms["loss"])
    U = problem.U if whitened else problem.U @ np.diag(np.linspace(0.5, 2, problem.U.shape[1]))
    U, D = U.reshape(K, n, -1), problem.D.reshape(K, n, -1)
    program = make_program(U, D, problem.Y[:n], 1.0, **terms)
    return replace(program, beta=share * program.beta_max())


def as_matrix(apply, n, c):
    units = torch.eye(n * c, dtype=torch.float64).reshape(-1, n, c)
    return torch.stack([apply(unit).flatten() for unit in units], dim=1)


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("whitened", [True, False])
def test_spectrum_is_that_of_the_pooled_design(K, whitened):
    program = make(K=K, whitened=whitened)
    spectrum, U = Spectrum.of(program), pooled(program.U, K)
    basis = spectrum.basis
    torch.testing.assert_close((basis * spectrum.values) @ basis.T, U @ U.T)
    unit = torch.eye(basis.shape[1], dtype=torch.float64)
    torch.testing.assert_close(basis.T @ basis, unit, rtol=0, atol=1e-10)
    rows = program.U.square().sum(dim=1).reshape(K, -1).sum(dim=0)
    assert spectrum.leverage == pytest.approx(float(rows.mean()), rel=ROUNDING)


def test_spectrum_leaves_out_what_the_design_does_not_span(monkeypatch):
    program = make()
    twice = replace(program, U=torch.cat([program.U, program.U], dim=1))
    spectrum, U = Spectrum.of(twice), program.U
    assert spectrum.basis.shape == U.shape
    torch.testing.assert_close((spectrum.basis * spectrum.values) @ spectrum.basis.T, 2 * U @ U.T)
    monkeypatch.setattr(mean_field, "LARGEST", 3)
    assert Spectrum.of(twice).basis.shape == (len(U), 0)  # too dear


def preconditioner(spectrum, inverse_hessian, shares, open_share, left, right):
    """Return the preconditioner for gates of these shares; left (n, m) and right (c, m)."""
    sums = (shares * open_share * share for share in (open_share, 1 - open_share))
    mean, rest = (x.sum().reshape(1).to(left) for x in sums)
    return MeanField(spectrum, inverse_hessian, mean, rest, left.T[None].clone(), right)


def expected_hessian(program, inverse_hessian, shares, open_share, left, right):
    """Return the mean of the Hessian over masks that are open at random, without directions.

    `E[D_k D_l] = p^2`, and p for the same patch of the same sample.
    """
    U, K, (n, c) = program.U, program.patches, inverse_hessian.shape
    blocks = U.unflatten(0, (K, n))
    own = torch.diag(blocks.square().sum(dim=(0, 2)))
    summed = blocks.sum(dim=0)
    H = sum(
        a * (p**2 * summed @ summed.T + p * (1 - p) * own)
        for a, p in zip(shares, open_share, strict=True)
    )
    H = torch.diag(inverse_hessian.flatten()) + torch.kron(H, torch.eye(c, dtype=torch.float64))
    F = (left[:, None] * right[None]).flatten(0, 1)  # (n c, m)
    return H + F @ F.T


def equal_rows(program):
    """Return the program with rows of length one."""
    return replace(program, U=program.U / program.U.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("c", "varying"), [(1, False), (1, True), (3, False)], ids=["one", "varying", "several"]
)
@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("m", [0, 4])
def test_preconditioner_inverts_the_mean_field(c, varying, K, m):
    """For rows of the same length, the mean Hessian over random masks is inverted exactly."""
    program, rng = equal_rows(make(K=K)), np.random.default_rng(0)
    n = len(program.Y)
    inverse_hessian = torch.full((n, c), 0.7, dtype=torch.float64)
    if varying:
        inverse_hessian = torch.as_tensor(rng.uniform(0.1, 5, (n, c)))
    shares, open_share = torch.as_tensor(rng.random((2, 6)))
    left, right = 3 * normal(n, m), normal(c, m, seed=1)
    terms = inverse_hessian, 8 * shares, open_share, left, right
    ours = preconditioner(Spectrum.of(program), *terms)
    H = expected_hessian(program, *terms)
    # The jitter of the directions, among them the mean field itself if C varies.
    atol = 1e-3 if m or varying else 1e-10
    product = as_matrix(ours, n, c) @ H
    torch.testing.assert_close(product, torch.eye(n * c).double(), rtol=0, atol=atol)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("whitened", [True, False])
@pytest.mark.parametrize("sigma", [1e-3, 1.0, 1e6])
def test_preconditioner_is_symmetric_and_positive_definite(c, whitened, sigma):
    program, rng = make(whitened=whitened, K=2), np.random.default_rng(1)
    n = len(program.Y)
    inverse_hessian = torch.as_tensor(rng.uniform(0.01, 10, (n, c)))
    shares, open_share = torch.as_tensor(rng.random((2, 6)))
    left, right = np.sqrt(sigma) * normal(n, 5), normal(c, 5, seed=1)
    left[:, 4], right[:, 4] = left[:, 3], right[:, 3]  # a gate twice
    terms = inverse_hessian, sigma * shares, open_share, left, right
    ours = preconditioner(Spectrum.of(program), *terms)
    matrix = as_matrix(ours, n, c)
    # Woodbury's identity subtracts what is left of 1 / inverse_hessian, from numbers of that size.
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-8)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0


@pytest.mark.parametrize("sigma", [1e6, 1e12])
def test_repeated_directions_are_handled_in_float32(sigma):
    """Their Gram matrix has rank one; beside sigma its 1 is far below the rounding of float32."""
    program = make(n=200, d=20)
    n, spectrum = 200, Spectrum.of(replace(program, U=program.U.float()))
    shares = torch.zeros(0)
    left = np.float32(np.sqrt(sigma)) * normal(n, 1).float() * torch.linspace(0.5, 1.5, 5)
    right = torch.ones(1, 5)
    r = normal(n, 1, seed=3).float()
    z = preconditioner(spectrum, torch.ones(n, 1), shares, shares, left, right)(r)
    assert z.dtype == torch.float32
    # Across the direction nothing changes; along it almost nothing remains.
    unit = left[:, :1] / left[:, :1].norm()
    across = r - unit * (unit.T @ r)
    torch.testing.assert_close(z, across, rtol=0, atol=2e-3)


# --- passes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("whitened", [True, False])
def test_norm_is_reached_by_no_block_but_that_of_equal_patches(K, whitened):
    program = make(K=K, whitened=whitened)
    passes, blocks = Passes(program), program.U.unflatten(0, (K, -1))
    for D in np.random.default_rng(0).random((20, K, len(program.Y))) < 0.7:
        A = (blocks * torch.as_tensor(D)[:, :, None]).sum(dim=0)
        assert float(torch.linalg.matrix_norm(A, 2)) <= passes.norm * (1 + ROUNDING)
    same = replace(program, U=blocks[:1].repeat(K, 1, 1).flatten(0, 1))
    reached = float(torch.linalg.matrix_norm(K * blocks[0], 2))
    # A design counts as orthonormal, and all its singular values as equal, up to 1e-6.
    assert reached <= Passes(same).norm * (1 + ROUNDING) <= reached * 1.00001


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_bounds_of_the_dual_norms(penalty, size):
    """Never below, and above by no more than float32 warrants; also beyond its range."""
    program = make(n=60, d=8, P=20, penalty=penalty)
    passes, V = Passes(program), size * normal(60, 3)
    norms = program.penalty.block_norms(program.adjoint(V)).T
    bounds = passes.bounds(V)
    assert (bounds >= norms).all()
    sizes = V.norm(dim=0)[:, None] if program.penalty.by_column else V.norm()
    assert (bounds <= norms + 1e-4 * passes.norm * sizes).all()


# --- the subproblem -------------------------------------------------------------------------------

CASES = [
    *[(loss, penalty, 1) for loss in ALL for penalty in PENALTIES],
    ("squared", "group", 2),
    ("cross_entropy", "nuclear", 2),
]
cases = pytest.mark.parametrize(("loss", "penalty", "K"), CASES)


def begin(program, W=None, sigma=5.0):
    """Return the System of all classes, from weights W or zero, in float64."""
    W = torch.zeros(program.shape, dtype=torch.float64) if W is None else W
    system = System.starting(program, Passes(program), torch.arange(program.shape[2]), W, sigma)
    system.dtype = torch.float64
    return system


def spread(system, program, name) -> torch.Tensor:
    """Return the blocks of a System's candidates as weights (r + 1, P, C)."""
    W = torch.zeros(program.shape, dtype=torch.float64)
    W[where(system.pairs, program)] = getattr(system, name).flatten(1)
    return W


def where(pairs, program):
    """Return the index of blocks in weights (r + 1, P, C), as columns of one number per weight."""
    wide = pairs.parts < program.shape[2]
    each = torch.arange(program.shape[2])
    gates = pairs.gates.repeat_interleave(len(each)) if wide else pairs.gates
    return slice(None), gates, each.repeat(len(pairs)) if wide else pairs.columns


def psi(system, program, V) -> float:
    """Return the subproblem's value at V, of all gates and with the conjugate by its definition."""
    W, sigma, rho = spread(system, program, "center"), system.sigma, system.rho
    center = program.forward(W)
    F = system.loss_prox.predictions(V, program.Y, center, rho, center)
    moved = system.loss_prox.project(F - center) if system.loss_prox.damped else F - center
    conjugate = program.loss.value(F, program.Y) + (V * F).sum() + (rho / 2 * moved.square()).sum()
    blocks = program.penalty.prox(W + sigma * program.adjoint(V), sigma * program.beta)
    return float((blocks.square() / (2 * sigma)).sum() - conjugate)


@cases
@pytest.mark.parametrize("share", [0.01, 0.3, 0.8])
def test_it_starts_at_the_edge_of_what_is_feasible(loss, penalty, K, share):
    """At zero weights' own dual point the largest norm is 1 / share times beta."""
    program = make(loss=loss, penalty=penalty, K=K)
    program = replace(program, beta=share * program.beta_max())
    T = program.adjoint(begin(program).V)
    largest = float(program.penalty.block_norms(T).max()) / program.beta
    # 1.1; the secants end within 5 % of it.
    assert 1.04 <= largest <= 1.16


def test_near_the_largest_beta_it_starts_from_zero_weights_own_dual_point():
    program = make()
    program = replace(program, beta=0.95 * program.beta_max())
    assert torch.equal(begin(program).V, program.Y)


def steps(system, count=12, every=4):
    """Make Newton steps, with a proximal step now and then; yield after each."""
    for step in range(count):
        if step % every == 0:
            system.recentre(3.0)
        system.newton_step()
        yield step


@cases
def test_gradient_is_that_of_the_subproblem(loss, penalty, K):
    program = make(3, loss=loss, penalty=penalty, K=K)
    system = begin(program)
    for step in steps(system, 6, every=3):
        S = system.loss_prox.project(normal(*program.Y.shape, seed=step))
        h = 1e-5
        ahead, back = (psi(system, program, system.V + t * S) for t in (h, -h))
        # Rounding of 1e-14 over h; where a block vanishes, or a hinge has its kink, h times a jump.
        slope = float((system.gradient * S).sum())
        assert slope == pytest.approx((ahead - back) / (2 * h), rel=1e-4, abs=1e-4)


@cases
def test_newton_steps_never_raise_the_subproblem(loss, penalty, K):
    program = make(4, loss=loss, penalty=penalty, K=K, share=0.03)
    system = begin(program, normal(*program.shape))
    system.recentre(3.0)
    value = psi(system, program, system.V)
    for step in range(10):
        before, value = value, None
        system.newton_step()
        value = psi(system, program, system.V)
        assert value <= before + ROUNDING * (1 + abs(before))
        if step % 4 == 3:
            system.recentre(3.0)
            value = psi(system, program, system.V)


@cases
def test_candidates_give_the_results_of_all_gates(loss, penalty, K):
    """T, F, blocks and gradient of the candidates are those of the whole program; bounds hold."""
    program = make(5, n=30, P=25, loss=loss, penalty=penalty, K=K, share=0.3)
    system = begin(program, 0.1 * normal(program.shape[0], 25, 3))
    for _ in steps(system):
        T = program.adjoint(system.V)
        norms = program.penalty.block_norms(T)
        pairs = torch.stack([system.pairs.columns, system.pairs.gates])
        assert torch.equal(pairs.unique(dim=1), pairs)  # each once, and in order
        assert (system.bounds >= norms.T * (1 - ROUNDING)).all()
        expected = T[where(system.pairs, program)]
        torch.testing.assert_close(system.T.flatten(1), expected, rtol=0, atol=1e-11)
        W = spread(system, program, "center")
        Z = W + system.sigma * T
        blocks = program.penalty.prox(Z, system.sigma * program.beta)
        torch.testing.assert_close(spread(system, program, "blocks"), blocks, rtol=0, atol=1e-9)
        torch.testing.assert_close(system.F, program.forward(blocks), rtol=0, atol=1e-9)
        assert norms.max() > 0
        value = program.objective(blocks, system.F)
        assert float(system.primal().objective.sum()) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("idle", [0.0, 0.2, 1.0])
def test_candidates_leave_and_return(monkeypatch, idle):
    """A run that lets gates go and takes them in again ends where a run with all gates does."""
    monkeypatch.setattr("convexbn.solvers.gated.candidates._IDLE", idle)
    program = make(6, n=60, d=5, P=60, C=1, share=0.4)
    system = begin(program, 0.3 * normal(program.shape[0], 60, 1), sigma=1.0)
    history = [set(system.pairs.gates.tolist())]
    for _ in steps(system, 24, every=4):
        history.append(set(system.pairs.gates.tolist()))
        T = program.adjoint(system.V)
        torch.testing.assert_close(system.T, T[:, system.pairs.gates], rtol=0, atol=1e-11)
        assert (system.bounds >= program.penalty.block_norms(T).T * (1 - ROUNDING)).all()
    left = set().union(*(a - b for a, b in pairwise(history)))
    assert left  # some gates were let go of
    dual, _ = system.dual_bound(exact=True)
    assert system.primal().objective - dual <= 1e-6 * system.primal().objective
    if idle < 1:
        assert len(system.pairs) < 60


@cases
def test_solved_subproblem_is_the_proximal_step(loss, penalty, K):
    """Its blocks minimize `L + beta R + |W - W^k|^2 / (2 sigma) + rho/2 |A W - A W^k|^2`.

    By the condition of optimality: they are the prox of W^k less sigma times the slope of the rest.
    """
    program = make(7, loss=loss, penalty=penalty, K=K)
    system = begin(program, 0.2 * normal(*program.shape), sigma=2.0)
    for growth in (1.0, 3.0):
        sigma, rho = system.sigma, system.rho
        before = spread(system, program, "blocks")
        system.recentre(growth)
        torch.testing.assert_close(system.sigma, growth * sigma)
        assert system.rho == pytest.approx(rho / growth)
        torch.testing.assert_close(spread(system, program, "center"), before, rtol=0, atol=0)
        for _ in range(40):
            system.newton_step()
            if (system.residual < 1e-11).all():
                break
        W, center = spread(system, program, "blocks"), spread(system, program, "center")
        F, F0 = program.forward(W), program.forward(center)
        V = program.loss.negative_gradient(F, program.Y)
        V = V - system.rho * system.loss_prox.project(F - F0)
        Z = center + system.sigma * program.adjoint(V)
        expected = program.penalty.prox(Z, system.sigma * program.beta)
        torch.testing.assert_close(W, expected, rtol=0, atol=1e-8)
        assert W.any()


@cases
def test_dual_bounds_are_below_the_optimum(loss, penalty, K):
    program = make(8, n=20, P=15, loss=loss, penalty=penalty, K=K)
    U, D = (a.unflatten(0, (K, -1)).numpy() for a in (program.U, program.D))
    terms = {"loss": loss, "penalty": penalty}
    optimum = solve(U, D, program.Y.numpy(), program.beta, tol=1e-9, **terms).certificate
    assert optimum.converged
    system, best = begin(program), 0.0
    for _ in steps(system, 24, every=3):
        rough, point = system.dual_bound(exact=False)
        exact, same = system.dual_bound(exact=True)
        rough, exact = float(rough.sum()), float(exact.sum())
        assert torch.equal(point, same)
        # Bounds of the norms give a smaller dual value than the norms themselves.
        whole = program.dual_objective(point)
        assert rough <= exact * (1 + ROUNDING)
        assert exact <= whole * (1 + ROUNDING) <= optimum.objective * (1 + 2 * ROUNDING)
        assert float(system.primal().objective.sum()) >= optimum.dual_objective
        best = max(best, exact)
    assert best >= optimum.objective * 0.99


# --- the method -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "penalty"), [(loss, "group") for loss in ALL] + [("squared", "nuclear")]
)
def test_few_rounds_are_enough(loss, penalty):
    """Down to a beta at which the digits are fitted, from nothing."""
    X, labels = load_digits(return_X_y=True)
    U = whiten(X[:300]).U
    D = activation(U, sample_gates(U, 20, 0))
    Y = np.eye(10)[labels[:300]]
    Y = Y if loss in ("squared", "cross_entropy") else 2 * Y - 1
    certificate = solve(U, D, Y, 0.01, loss=loss, penalty=penalty).certificate
    assert certificate.converged
    assert certificate.iterations < 60  # a first-order method takes thousands


def test_few_rounds_are_enough_for_patches():
    """The pooled design of the patches of images is far from orthonormal."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((60, 1, 6, 6)) + np.linspace(0, 3, 6)
    U = whiten(patches(images, 3, stride=3).reshape(-1, 9)).U
    D = activation(U, sample_gates(U, 30, 0))
    U, D = U.reshape(4, 60, -1), D.reshape(4, 60, -1)
    certificate = solve(U, D, rng.choice([-1.0, 1.0], 60), 1e-2, loss="logistic").certificate
    assert certificate.converged
    assert certificate.iterations < 60


@pytest.mark.parametrize("share", [1e-10, 1e-6, 1e-3])
@pytest.mark.parametrize("P", [1, 3])
def test_open_gates_are_certified_at_small_beta(share, P):
    """Where every gate is open, the mean field is exact and its start has nothing to look for."""
    U, y = np.ones((4, 1)), np.array([1.0, -1, 1, 1])
    found = solve(U, np.ones((4, P), bool), y, 2 * share).certificate
    assert found.converged
    assert found.objective == pytest.approx(1.5 + share, rel=2e-6)  # the mean of y is 1/2


@pytest.mark.parametrize("share", [1e-10, 1e-7, 1e-5])
def test_few_gates_are_certified_at_small_beta(share):
    for seed, P in ((0, 1), (1, 4), (2, 6)):
        problem = instances.make(seed, n=20, d=3, P=P, C=1, share=share)
        assert solve(*problem.data).certificate.converged


@pytest.mark.parametrize("unit", [1e-100, 1e-20, 1e20, 1e150])
def test_units_of_design_and_targets_change_nothing(unit):
    problem = instances.make(4, C=1)
    expected = solve(*problem.data).certificate.objective
    U, D, Y, beta = problem.data
    found = solve(unit * U, D, Y, unit * beta).certificate
    assert found.converged
    assert found.objective == pytest.approx(expected, rel=2e-6)
    found = solve(U, D, unit * Y, unit * beta).certificate
    assert found.converged
    assert found.objective / unit / unit == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_design_of_zeros_has_zero_weights(loss):
    U, D = np.zeros((4, 2)), np.ones((4, 3), bool)
    solution = solve(U, D, np.array([1.0, -1, 1, -1]), 0.1, loss=loss)
    assert solution.certificate.converged
    assert not solution.weights.any()


# --- precision, starts, and weights from a Newton system ------------------------------------------


@pytest.fixture
def in_float32(monkeypatch):
    """Iterates of every program begin in float32, as those of large ones do."""
    monkeypatch.setattr(semismooth, "_LARGE", 0)


def refinements(monkeypatch) -> list:
    """Return a list that grows with every System that goes on in float64."""
    found, refine = [], System.refine
    monkeypatch.setattr(System, "refine", lambda system: found.append(1) or refine(system))
    return found


@cases
def test_iterates_in_float32_end_at_the_same_optimum(loss, penalty, K, in_float32, monkeypatch):
    """At a rough tolerance they stay there; at a fine one they go on in float64."""
    program = make(9, n=40, P=15, loss=loss, penalty=penalty, K=K)
    U, D = (a.unflatten(0, (K, -1)).numpy() for a in (program.U, program.D))
    data, terms = (U, D, program.Y.numpy(), program.beta), {"loss": loss, "penalty": penalty}
    refined = refinements(monkeypatch)
    rough = solve(*data, tol=1e-2, **terms).certificate
    assert rough.converged
    assert not refined
    fine = solve(*data, tol=1e-8, **terms).certificate
    assert fine.converged
    assert refined
    monkeypatch.setattr(semismooth, "_LARGE", math.inf)
    expected = solve(*data, tol=1e-8, **terms).certificate
    # Both are within 1e-8 of the optimum, the rough one within 1e-2.
    assert fine.objective == pytest.approx(expected.objective, rel=2e-8)
    assert expected.dual_objective <= rough.objective <= expected.objective * (1 + 1e-2)


def test_float32_is_left_where_it_does_not_help(in_float32, monkeypatch):
    """Rounds without progress end it, also far from the gap at which it ends anyway."""
    monkeypatch.setattr(stages, "_ROUNDED", 0.0)
    # Early: on some processors float32 soon finds, by its rounding, that nothing is left to gain.
    monkeypatch.setattr(stages, "_STALE", 1)
    refined = refinements(monkeypatch)
    program = make(10, C=1)
    data = program.U.numpy(), program.D.numpy(), program.Y.numpy(), program.beta
    assert solve(*data, tol=1e-10).certificate.converged
    assert refined


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("K", [1, 2])
def test_linearized_weights_have_the_predictions_they_say(loss, K):
    program = make(11, loss=loss, K=K)
    system, checked = begin(program, 0.1 * normal(*program.shape)), 0
    for _ in steps(system, 6, every=3):
        linear, residual = system.linear, float(system.residual.amax())
        if linear is None or residual < 1e-9:
            continue
        exact = system.checked(linear)
        apart = system.loss_prox.project(exact.F - linear.F)
        # The Newton systems are in float64, where only sums are in another order.
        assert float(apart.abs().max()) <= 1e-9 * float(exact.F.abs().max())
        torch.testing.assert_close(exact.objective, linear.objective, rtol=1e-9, atol=0)
        checked += 1
    assert checked >= 2


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_warm_starts_begin_at_a_dual_point_that_is_nearly_feasible(loss):
    """Weights for a larger beta are far from optimal, those for this one are not."""
    program = make(12, n=60, P=20, loss=loss, share=0.2)
    data = program.U.numpy(), program.D.numpy(), program.Y.numpy()
    weights = torch.as_tensor(solve(*data, program.beta, loss=loss, tol=1e-6).weights).double()
    lower = replace(program, beta=program.beta / 4)
    near, far = begin(program, weights), begin(lower, weights)
    assert near.near.all()
    assert not far.near.any()
    own = program.loss.negative_gradient(program.forward(weights), program.Y)
    # The same numbers, but for the order of the sums in the predictions.
    torch.testing.assert_close(near.V, own, rtol=1e-12, atol=1e-14)
    # The largest dual norm is 4 beta at the weights; the start is sought at 1.1 beta, roughly.
    norms = program.penalty.block_norms(program.adjoint(own)).amax(dim=0)
    reached = program.penalty.block_norms(program.adjoint(far.V)).amax(dim=0)
    assert (norms > 3.5 * lower.beta).all()
    assert (reached < 1.5 * lower.beta).all()
