"""The linearized optimality conditions against dense matrices, and differences of the objective."""

import pytest
import torch
from optima import normal, optimum

from convexbn import solve
from convexbn.programs.instances import make_program
from convexbn.solvers.gated.linearization import NotDifferentiableError, linearized
from convexbn.solvers.gated.passes import Passes


def smooth_objective(program, W):
    """Return the objective for autograd, smooth as long as no block vanishes."""
    F = torch.einsum("na,ni,aic->nc", program.U, program.D.double(), W)
    losses = {
        "squared": 0.5 * (F - program.Y).square().sum(),
        "logistic": torch.nn.functional.softplus(-program.Y * F).sum(),
        "cross_entropy": (F.logsumexp(dim=1) - (program.Y * F).sum(dim=1)).sum(),
    }
    return losses[program.loss.name]


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_solutions_obey_the_hessian_of_the_objective(loss):
    """`H x = g`: the derivative of the objective's gradient along x is g on the active blocks.

    For the group penalty, whose Hessian autograd knows.
    """
    program, W = optimum(0, loss, "group")
    g = normal(*W.shape) * (W != 0)
    x = torch.zeros_like(W)
    for part in linearized(program, Passes(program), W):
        part.add(x, part.solve(part.gather(g), 1e-10))
    active = (W != 0).any(dim=0)

    def objective(blocks):
        full = torch.zeros_like(W).permute(1, 2, 0).clone()
        full[active] = blocks
        full = full.permute(2, 0, 1)
        return smooth_objective(program, full) + program.beta * blocks.norm(dim=1).sum()

    blocks, step = W.permute(1, 2, 0)[active], x.permute(1, 2, 0)[active]
    image = torch.autograd.functional.hvp(objective, blocks, step)[1]
    expected = g.permute(1, 2, 0)[active]
    # The residual asked for, of a system with a condition of some hundred.
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-8 * float(expected.norm()))


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_blocks_are_gathered_and_added_where_they_belong(penalty):
    program, W = optimum(1, "squared", penalty)
    total = torch.zeros_like(W)
    F = torch.zeros_like(program.Y)
    for part in linearized(program, Passes(program), W):
        part.add(total, part.gather(W))
        F[:, part.columns] = part.forward(part.gather(W))
    assert torch.equal(total, W)
    torch.testing.assert_close(F, program.forward(W), rtol=1e-12, atol=1e-12)


def test_directions_without_curvature_are_told():
    """Of two gates with one pattern, more of the one and less of the other changes nothing."""
    program, _ = optimum(0, "squared", "group", C=1)
    twice = make_program(
        *(program.U, torch.cat([program.D] * 2, dim=1), program.Y, program.beta),
        model="gated",
        loss="squared",
        penalty="group",
    )
    W = solve(twice.U, twice.D, twice.Y, twice.beta, tol=1e-10).weights.double()
    (part,) = linearized(twice, Passes(twice), W)
    P = program.D.shape[1]
    i = int((W[:, :P, 0] != 0).any(dim=0).nonzero()[0])
    g = torch.zeros_like(W)
    g[:, i] = W[:, i]
    with pytest.raises(NotDifferentiableError, match="not the only one"):
        part.solve(part.gather(g), 1e-8)
    g[:, i + P] = W[:, i + P] * W[:, i].norm() / W[:, i + P].norm()  # of their sum there is one
    part.solve(part.gather(g), 1e-8)
