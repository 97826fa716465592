"""Weights compared class by class, against whole weights (r + 1, P, C)."""

from dataclasses import replace

import pytest
import torch

from convexbn.solvers.gated.primal import Primal

P, C = 4, 3


def make(objective, columns, seed):
    """Return weights of which each class has a block at gate 1 and one at gate 3."""
    generator = torch.Generator().manual_seed(seed)
    c = len(columns)
    blocks = torch.randn(2, 2 * c, 1, generator=generator, dtype=torch.float64)
    F = torch.randn(5, c, generator=generator, dtype=torch.float64)
    gates, each = torch.tensor([1, 3]).repeat(c), torch.arange(c).repeat_interleave(2)
    return Primal(torch.tensor(objective).double(), F, gates, each, blocks)


def whole(primal, columns=(0, 1, 2)):
    W = torch.zeros(2, P, C, dtype=torch.float64)
    primal.put(W, torch.tensor(columns))
    return W


@pytest.mark.parametrize("other", [[2.0, 1, 1], [0.0, 0, 0], [2.0, 2, 2], [torch.nan, 1, 3]])
def test_the_better_of_two_is_taken_for_each_class(other):
    a, b = make([1.0, 2, 1], range(C), 0), make(other, range(C), 1)
    best = a.best(b)
    better = [y < x for x, y in zip([1.0, 2, 1], other, strict=True)]
    for c, taken in enumerate(b if flag else a for flag in better):
        assert best.objective[c] == taken.objective[c]
        assert torch.equal(best.F[:, c], taken.F[:, c])
        assert torch.equal(whole(best)[:, :, c], whole(taken)[:, :, c])


def test_those_of_some_classes():
    a = make([1.0, 2, 3], range(C), 0)
    some = a.of(torch.tensor([0, 2]))
    assert some.objective.tolist() == [1, 3]
    assert torch.equal(some.F, a.F[:, [0, 2]])
    expected = whole(a)
    expected[:, :, 1] = 0
    assert torch.equal(whole(some, (0, 2)), expected)


def test_blocks_of_all_classes_are_compared_as_one():
    a = Primal(
        *(torch.tensor([1.0]), torch.zeros(5, C), torch.tensor([2]), torch.tensor([0])),
        blocks=torch.ones(2, 1, C).double(),
    )
    b = replace(a, objective=torch.tensor([0.5]))
    assert a.best(b) is b
    assert b.best(a) is b
    assert torch.equal(whole(a)[:, 2], torch.ones(2, C).double())
    assert whole(a).sum() == 2 * C
