"""Strong duality, for every architecture."""

import numpy as np
import pytest
from theory_cases import COMMON, PROBLEMS, SAME, check_refusal, check_seed

from convexbn.experiments.theory.duality import different_neurons, duality


@pytest.mark.parametrize("name", ["relu", "cnn", "bn_after_relu", "nuclear"])
def test_trained_networks_stay_above_and_come_near(name):
    settings = COMMON | PROBLEMS[name] | {"widths": [1, 20]}
    found = duality(settings, seed=1, name="it")
    assert found["relative_excess"].min() >= -SAME
    best = found.groupby("width")["relative_excess"].min()
    assert best[20] <= 0.02
    assert best[20] <= best[1] + SAME
    excess = (found["objective"] - found["optimum"]) / found["optimum"]
    np.testing.assert_allclose(found["relative_excess"], excess, atol=1e-15)
    assert found["seed"].tolist() == [1, 2, 3] * 2


def test_different_neurons_are_counted_once():
    blocks = np.zeros((2, 2, 5))
    blocks[0, :, 0] = [3, 4]
    blocks[0, :, 1] = [0.6, 0.8]  # the same neuron, from the next cone
    blocks[0, :, 2] = [4, -3]
    blocks[1, :, 0] = [3, 4]  # with the other sign
    blocks[1, :, 3] = [1e-4, 0]  # what is left of zero
    assert different_neurons(blocks) == 3


def test_nothing_is_drawn_from_an_uncertified_solve():
    check_refusal(duality, COMMON | PROBLEMS["relu"] | {"widths": [1]})


def test_the_seed_fixes_the_numbers():
    check_seed(lambda seed: duality(COMMON | PROBLEMS["relu"] | {"widths": [2]}, seed))
