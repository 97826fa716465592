"""Classes solved side by side against each by itself."""

from dataclasses import replace

import instances
import pytest
import torch

from convexbn import solve_path
from convexbn.programs import memory
from convexbn.programs.instances import make_program
from convexbn.solvers.gated.passes import Passes
from convexbn.solvers.gated.proximal_point import Stage
from convexbn.solvers.gated.semismooth import System

C = 3
# Newton systems are solved in float64, by the same iterations but with sums in another order; the
# dual point to start from is found in float32, though, and its roundings are carried along (with
# the squared hinge, through predictions on either side of its kink).
ROUNDING = 1e-5

losses = pytest.mark.parametrize(
    ("loss", "K"), [("squared", 1), ("logistic", 1), ("squared_hinge", 1), ("squared", 2)]
)


def make(loss="squared", K=1, share=0.05, easy=None):
    """Return a program of three classes, one of which can have so little to it that it is zero."""
    problem = instances.with_targets(instances.make(3, K * 40, 5, 12, C), loss)
    U, D = problem.U.reshape(K, 40, -1), problem.D.reshape(K, 40, -1)
    program = make_program(U, D, problem.Y[:40], 1.0, model="gated", loss=loss, penalty="group")
    program = replace(program, beta=share * program.beta_max())
    if easy is not None:
        program.Y[:, easy] *= 0.5 * share
    return program


def systems(program, W=None):
    """Return the System of all classes and that of each, in float64."""
    passes = Passes(program)
    W = torch.zeros(program.shape, dtype=torch.float64) if W is None else W
    columns = [torch.arange(C), *torch.arange(C).split(1)]
    found = [System.starting(program, passes, c, W, 3.0) for c in columns]
    for system in found:
        system.dtype = torch.float64
    return found[0], found[1:]


def same(together, alone):
    """Assert that numbers (..., c) are those of each class by itself."""
    expected = torch.cat(alone, dim=-1)
    size = float(expected.abs().max())
    torch.testing.assert_close(together, expected, rtol=ROUNDING, atol=ROUNDING * size)


def blocks_of(system):
    """Return the blocks prox(Z) as weights (r + 1, P, c)."""
    W = torch.zeros(system.T.shape[0], system.bounds.shape[1], len(system.columns)).double()
    system.primal().put(W, torch.arange(len(system.columns)))
    return W


@losses
@pytest.mark.parametrize("warm", [False, True])
def test_classes_side_by_side_make_the_steps_of_each_alone(loss, K, warm):
    program = make(loss, K)
    W = torch.zeros(program.shape, dtype=torch.float64)
    W[:, ::2, 1] = 0.1 if warm else 0
    together, alone = systems(program, W)
    for step in range(9):
        for system in (together, *alone):
            if step % 3 == 0:
                system.recentre(3.0)
            system.newton_step()
        for name in ("V", "F", "sigma", "gradient"):
            same(getattr(together, name), [getattr(system, name) for system in alone])
        same(blocks_of(together), [blocks_of(system) for system in alone])
        for exact in (False, True):
            bounds = [system.dual_bound(exact)[0] for system in alone]
            same(together.dual_bound(exact)[0], bounds)
        same(together.primal().objective, [system.primal().objective for system in alone])
        same(together.linear.objective, [system.linear.objective for system in alone])


def test_a_new_centre_of_some_classes_leaves_the_others():
    together, alone = systems(make())
    for system in (together, *alone):
        system.recentre(3.0)
        system.newton_step()
    which = torch.tensor([True, False, True])
    together.recentre(5.0, which)
    for flag, system in zip(which, alone, strict=True):
        if flag:
            system.recentre(5.0)
    same(together.sigma, [system.sigma for system in alone])
    same(together.residual, [system.residual for system in alone])
    same(blocks_of(together), [blocks_of(system) for system in alone])


def test_a_solved_class_stays_as_it_is_and_holds_back_no_other():
    program = make(easy=1)
    together, alone = (
        [Stage.starting(system) for system in found]
        for found in ([systems(program)[0]], systems(program)[1])
    )
    rounds = [0] * C
    for c, stage in enumerate(alone):
        stage.take_stock(1e-6)
        while not stage.done:
            stage.advance()
            stage.take_stock(1e-6)
            rounds[c] += 1
    (stage,), seen = together, {}
    for count in range(max(rounds) + 1):
        stage.take_stock(1e-6)
        for found in stage.solved:
            for c in found.columns.tolist():
                seen.setdefault(c, (count, found.V.clone(), found.primal.blocks.clone()))
                assert torch.equal(found.V, seen[c][1])
                assert torch.equal(found.primal.blocks, seen[c][2])
        if not stage.done:
            # It is no longer part of any product.
            left = [c for c in range(C) if c not in seen]
            assert stage.system.columns.tolist() == left
            assert stage.system.V.shape[1] == len(left)
            assert stage.system.linear is None or stage.system.linear.F.shape[1] == len(left)
        stage.advance()
    assert stage.done
    assert [seen[c][0] for c in range(C)] == rounds
    assert rounds[1] == 0 < rounds[0]
    for found in stage.found:
        for i, c in enumerate(found.columns.tolist()):
            (other,) = alone[c].found
            assert float(found.primal.objective[i]) == pytest.approx(
                float(other.primal.objective), rel=ROUNDING
            )
            assert float(found.dual[i]) == pytest.approx(float(other.dual), rel=ROUNDING)


@losses
def test_a_path_side_by_side_is_that_of_one_class_after_the_other(monkeypatch, loss, K):
    """Also from the weights for a larger beta, and in as many rounds."""
    program = make(loss, K)
    U, D = (a.unflatten(0, (K, -1)) for a in (program.U, program.D))
    betas = [2 * program.beta, program.beta]

    def path():
        return list(solve_path(U, D, program.Y, betas, loss=loss, tol=1e-8))

    together = path()
    monkeypatch.setattr(memory, "SIDE_BY_SIDE", 0)
    for one, other in zip(together, path(), strict=True):
        a, b = one.certificate, other.certificate
        assert a.converged
        assert b.converged
        # Newton systems are solved in float32, and both objectives are within the tolerance.
        assert a.objective == pytest.approx(b.objective, rel=2e-8)
        assert abs(a.iterations - b.iterations) <= 2
