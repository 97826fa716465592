"""The line search against lines whose slopes are known."""

import pytest
import torch

from convexbn.solvers.gated.line_search import search


def slopes_of(ends, kinks):
    """Return slopes that rise from -1 to an end, most of it within a hundredth about a kink."""
    ends, kinks = torch.tensor(ends).double(), torch.tensor(kinks).double()

    def slope(x):
        step = ((x - kinks) / 0.01).clamp(-0.5, 0.5) + 0.5
        return -1 + (1 + ends) * (0.1 * x + 0.9 * step)

    return slope, slope(torch.zeros(len(ends)).double())


def test_each_line_ends_where_it_does_alone():
    ends, kinks = [-0.5, 0.05, 3.0, 100.0, 1e6], [0.5, 0.5, 0.9, 0.1, 0.03]
    lengths = search(*slopes_of(ends, kinks))
    for i, length in enumerate(lengths):
        alone = search(*slopes_of(ends[i : i + 1], kinks[i : i + 1]))
        assert float(length) == float(alone)
    slope, first = slopes_of(ends, kinks)
    assert (slope(lengths).abs() <= 0.1 * first.abs()).tolist() == [False, *[True] * 4]
    assert lengths[:2].tolist() == [1, 1]  # the value still falls there, or nearly


def test_a_line_with_nothing_to_gain_does_not_wait_for_a_sign():
    asked = []

    def slope(x):
        asked.append(x)
        return torch.zeros_like(x)

    assert search(slope, torch.zeros(2).double()).tolist() == [1, 1]
    assert len(asked) == 1


@pytest.mark.parametrize("kink", [0.0, 0.3])
def test_where_no_slope_is_small_the_longest_falling_length_is_taken(kink):
    """At a jump of the slope; from 0 on it rises at once, and the shortest length tried is left."""

    def slope(x):
        return torch.where(x < kink, -1.0, 50.0).double()

    (length,) = search(slope, torch.tensor([-1.0]).double()).tolist()
    # 25 tries, each of which leaves at most nine tenths.
    assert kink - 0.1 <= length <= kink if kink else 0 < length <= 0.9**25
