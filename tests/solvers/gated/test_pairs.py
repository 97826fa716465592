"""Blocks by gate and class against loops over the classes."""

import pytest
import torch

from convexbn.solvers.gated.pairs import Pairs

COLUMNS = [0, 0, 0, 2, 2]  # none of the second class


def make(columns=COLUMNS, parts=3):
    generator = torch.Generator().manual_seed(0)
    columns = torch.tensor(columns)
    masks = torch.rand(len(columns), 6, generator=generator) < 0.5
    return Pairs(torch.arange(len(columns)) + 10, columns, masks, parts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_are_those_of_each_class(dtype):
    x = torch.arange(1, 6).to(dtype)
    assert make().totals(x).tolist() == [6, 0, 9]
    assert make().totals(x).dtype == dtype
    assert make([0] * 5, 1).totals(x).tolist() == [15]


def test_numbers_of_a_class_go_to_each_of_its_blocks():
    assert make().spread(torch.tensor([1, 2, 3])).tolist() == [[1], [1], [1], [3], [3]]
    assert make().spread(torch.tensor([7])).tolist() == [[7]]  # one for all


def test_rows_are_filled_up_with_zeros():
    rows = torch.arange(10.0).reshape(5, 2)
    padded = make().padded(rows)
    assert padded.shape == (3, 3, 2)
    assert torch.equal(padded[0], rows[:3])
    assert not padded[1].any()
    assert torch.equal(padded[2, :2], rows[3:])
    assert not padded[2, 2].any()
    assert torch.equal(make([0] * 5, 1).padded(rows), rows[None])


def test_some_are_taken_with_all_that_is_theirs():
    pairs, index = make(), torch.tensor([1, 4])
    some = pairs.take(index)
    assert some.gates.tolist() == [11, 14]
    assert some.columns.tolist() == [0, 2]
    assert torch.equal(some.masks, pairs.masks[index])
    assert some.parts == 3
    assert len(some) == 2
