import numpy as np
import pytest

from convexbn import choices


@pytest.mark.parametrize("value", [1, 5, np.int32(3)])
def test_between(value):
    choices.check_between("rank", value, 1, 5)


@pytest.mark.parametrize("value", [0, 6, -1, 2.0, True, "2", None])
def test_not_between(value):
    with pytest.raises(ValueError, match=r"rank must be .*from 1 to 5.*got"):
        choices.check_between("rank", value, 1, 5)


def test_choice():
    choices.check_choice("loss", "a", {"a": 1})
    with pytest.raises(ValueError, match="loss must be one of 'a', 'b', got 'c'"):
        choices.check_choice("loss", "c", ["a", "b"])
    with pytest.raises(ValueError, match=r"loss must be 'a', got \['a'\]"):
        choices.check_choice("loss", ["a"], {"a": 1})


def test_a_bound_of_any_size_is_compared():
    """Python writes no number of more than 4,300 digits, which full-rank CIFAR has of patterns."""
    choices.check_between("P", 5, 1, 10**5000)
