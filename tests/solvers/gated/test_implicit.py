"""Implicit derivatives against differences of re-solved programs, and polished weights."""

from dataclasses import replace

import pytest
import torch
from optima import TERMS, normal, optimum

from convexbn.solvers.gated.implicit import differentiate, on_the_edge, polish
from convexbn.solvers.gated.passes import Passes

STEP = 1e-5  # relative; weights are known to 1e-12, so differences to 1e-7


def polished(program, W):
    return polish(program, Passes(program), W, 8)


def distance(program, W):
    """Return how far a step of the proximal gradient method moves W, relative to its size."""
    V = program.loss.negative_gradient(program.forward(W), program.Y)
    moved = program.penalty.prox(W + program.adjoint(V), program.beta)
    return float((moved - W).norm() / W.norm())


@pytest.mark.parametrize(("loss", "penalty"), TERMS)
@pytest.mark.parametrize("seed", [0, 3])
def test_polished_weights_are_optimal_to_rounding(loss, penalty, seed):
    program, W = optimum(seed, loss, penalty)
    better, moved = polished(program, W)
    assert distance(program, better) < 1e-12
    assert moved < 1e-12
    far = W * (1 + 1e-3 * normal(*W.shape))  # its zeros stay
    assert distance(program, polished(program, far)[0]) < 1e-12


def test_weights_of_zero_stay_as_they_are():
    program, W = optimum(0, "squared", "group")
    found, moved = polished(replace(program, beta=1e9), torch.zeros_like(W))
    assert not found.any()
    assert moved == 0.0


@pytest.mark.parametrize(("loss", "penalty"), TERMS)
@pytest.mark.parametrize("seed", [0, 3])
def test_derivatives_are_those_of_polished_optima_beside(loss, penalty, seed):
    program, W = optimum(seed, loss, penalty)
    W, _ = polished(program, W)
    assert not on_the_edge(program, W, 1e-4)  # no kink within the step
    g, dU, dY = normal(*W.shape), normal(*program.U.shape, seed=1), normal(*program.Y.shape, seed=2)
    found = differentiate(program, Passes(program), W, g, 1e-10)
    moves = {
        "beta": (found.beta * program.beta, lambda h: {"beta": program.beta * (1 + h)}),
        "U": (float((found.U * dU).sum()), lambda h: {"U": program.U + h * dU}),
        "Y": (float((found.Y * dY).sum()), lambda h: {"Y": program.Y + h * dY}),
    }
    for name, (analytic, move) in moves.items():
        if name == "Y" and loss != "squared":
            continue  # labels do not move
        ends = [polished(replace(program, **move(h)), W)[0] for h in (STEP, -STEP)]
        numeric = float((g * (ends[0] - ends[1])).sum()) / (2 * STEP)
        size = float(g.norm() * (ends[0] - ends[1]).norm()) / (2 * STEP)
        # Curvature in the step, and a rounding of 1e-12 over it.
        assert abs(numeric - analytic) <= 1e-5 * size, name


def test_edges_are_of_dual_norms_and_of_weights():
    program, W = optimum(0, "squared", "group", share=0.3)
    W, _ = polished(program, W)
    V = program.loss.negative_gradient(program.forward(W), program.Y)
    norms = program.penalty.sizes(program.adjoint(V)) / program.beta
    idle = norms[~(W != 0).any(dim=0)]
    assert len(idle) > 0
    nearest = 1 - float(idle.max())
    assert on_the_edge(program, W, 1.01 * nearest)
    assert not on_the_edge(program, W, 0.99 * nearest)
