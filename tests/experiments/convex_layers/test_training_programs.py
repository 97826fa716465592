"""The program of CVXPY is that of the layer, and its weight decay a share of the largest."""

import pytest
import torch

from convexbn.experiments.convex_layers.agreement import SCALAR, VECTOR, _by_cvxpylayers
from convexbn.experiments.convex_layers.engine import make_layer
from convexbn.experiments.convex_layers.training_programs import cvxpy_program, draw

SIZES = {"n": 12, "d": 2, "gates": 3, "classes": 3, "beta": 0.3}
of_all = pytest.mark.parametrize(
    "terms", SCALAR + VECTOR, ids=lambda t: f"{t.loss}-{t.penalty}-{t.is_vector}"
)


@of_all
def test_cvxpy_and_the_layer_have_one_solution(terms):
    program = draw(SIZES, terms, seed=1)
    problem, *rest = cvxpy_program(program.shape, len(program.U), terms)
    reference = _by_cvxpylayers(program, make_layer(problem, *rest))
    weights = program.layer(1e-12)(**program.data)
    assert weights.shape == program.shape
    assert weights.any()
    # The solver's tolerance of 1e-10 is one of objectives: weights have some of its square root.
    torch.testing.assert_close(reference(**program.data), weights, rtol=1e-5, atol=1e-5)


@of_all
def test_weights_are_zero_from_the_largest_weight_decay_on(terms):
    for share, has_weights in ((0.95, True), (1.05, False)):
        program = draw({**SIZES, "beta": share}, terms, seed=2)
        assert bool(program.layer(1e-8)(**program.data).any()) == has_weights


def test_a_seed_says_it_all():
    first, again, other = (draw(SIZES, VECTOR[0], seed) for seed in (3, 3, 4))
    for name in first.data:
        assert torch.equal(first.data[name], again.data[name])
        assert not torch.equal(first.data[name], other.data[name])
