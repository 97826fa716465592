"""Errors of statistics, against what the layers of a small network give."""

import copy

import pytest
import torch

from convexbn.experiments.cross_iteration import statistics
from convexbn.experiments.cross_iteration.networks import network_of
from convexbn.experiments.cross_iteration.settings import Settings, Statistics
from convexbn.networks.batch_statistics import batch_statistics
from convexbn.networks.cross_iteration import cross_iteration
from convexbn.training.samples import Samples

SETTINGS = Settings(
    depth=8,
    width=2,
    window=4,
    burn_in=0.1,
    learning_rate=0.5,
    statistics=Statistics(
        batch_size=4, iterations=12, points=2, ages=[1, 3], windows=[1, 4], images=30
    ),
)


@pytest.fixture(scope="module")
def samples():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(40, 1, 8, 8, generator=generator).contiguous(memory_format=torch.channels_last)
    return Samples(X, torch.arange(40) % 3)


def by_case(rows):
    return {
        tuple(row[key] for key in ("step", "layer", "x", "statistic", "method")): row["error"]
        for row in rows
    }


def test_compensation_is_exact_in_the_first_layer_and_helps_above(samples):
    errors = by_case(statistics.old_statistics(samples, SETTINGS, seed=0))
    assert len(errors) == 2 * 7 * 2 * 2 * 2
    first = {case: e for case, e in errors.items() if case[1] == 1 and case[3] == "mean"}
    for (*case, method), error in first.items():
        if method == "compensated":
            assert error < 1e-6  # rounding in float32
            assert first[*case, "as they were"] > 1e-3
    total = {
        method: sum(e for case, e in errors.items() if case[-1] == method)
        for method in ("compensated", "as they were")
    }
    assert total["compensated"] < total["as they were"]


def test_a_window_of_one_is_the_batch_and_a_longer_one_is_nearer_to_all(samples):
    errors = by_case(statistics.windows(samples, SETTINGS, seed=0))
    for (step, layer, x, statistic, method), error in errors.items():
        if x == 1 and method == "compensated":  # a batch has nothing to compensate
            naive = errors[step, layer, x, statistic, "as they were"]
            assert error == pytest.approx(naive, rel=1e-4)  # rounding in float32
    total = {x: sum(e for case, e in errors.items() if case[2] == x) for x in (1, 4)}
    assert total[4] < total[1]


def test_the_truth_is_what_every_layer_gets_when_all_normalize_by_the_batch(samples):
    network = network_of(cross_iteration(3), samples, SETTINGS, seed=0)
    before = copy.deepcopy(network.state_dict())
    first, *_ = found = statistics.statistics_of(network, samples.X)
    assert len(found) == 7
    expected = batch_statistics(network.stem(samples.X), 2)
    torch.testing.assert_close(first.mean, expected.mean)
    torch.testing.assert_close(first.variance, expected.variance)
    assert torch.equal(before["stem_normalization.past_mean"], network.stem_normalization.past_mean)


def test_too_few_steps_are_refused(samples):
    short = Settings(**{**vars(SETTINGS), "statistics": Statistics(4, 3, 2, [3], [1], 30)})
    with pytest.raises(ValueError, match=r"from step 4 on.*got 3 steps"):
        list(statistics.old_statistics(samples, short, seed=0))
