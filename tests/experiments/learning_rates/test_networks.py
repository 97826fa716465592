"""Networks at initialization: what a seed draws, and that an interrupted job goes on."""

import math

import pytest
import torch
from small_images import features

from convexbn.experiments.learning_rates.networks import Case, of_each, overflowed
from convexbn.training.checkpoints import Parts


def test_a_seed_draws_the_same_weights_with_bn_and_without():
    with_bn, without = (Case(features(), 8, 2, name, seed=3).network() for name in ("bn", "plain"))
    weights = dict(without.named_parameters())
    for name, values in with_bn.named_parameters():
        if "norm" not in name:
            torch.testing.assert_close(values, weights[name], rtol=0, atol=0)
    other = Case(features(), 8, 2, "plain", seed=4).network()
    assert not torch.equal(other.stem.weight, without.stem.weight)


def test_batches_are_training_samples_none_twice():
    case = Case(features(), 8, 2, "bn", seed=0)
    samples = case.samples()
    batches = list(case.batches(10, 3))
    assert [X.shape for X, _ in batches] == [(10, 1, 8, 8)] * 3
    for X, labels in batches:
        found = [int((image == samples.X).all((1, 2, 3)).nonzero()) for image in X]
        assert len(set(found)) == 10
        assert samples.labels[found].tolist() == labels.tolist()
    with pytest.raises(ValueError, match="batch_size"):
        next(case.batches(25, 1))


def interrupted(case, settings, path):
    if case.normalization == settings["killed"]:
        raise KeyboardInterrupt
    return [{"rate": settings["rate"], "width": case.width}]


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    parts, rates = Parts(tmp_path / "x.parts"), [{"rate": 0.1}, {"rate": 1.0}]
    arguments = [8], features(), {"width": 2, "killed": "plain"}, 5, "cpu", parts, rates
    with pytest.raises(KeyboardInterrupt):
        of_each(interrupted, *arguments)
    assert any(parts.folder.iterdir())
    ran = []

    def measurement(case, settings, path):
        ran.append(case.normalization)
        return [{"rate": settings["rate"], "width": case.width}]

    table = of_each(measurement, *arguments)
    assert ran == ["plain", "plain"]
    assert table.to_dict("list") == {
        **{"depth": [8] * 4, "normalization": ["bn", "bn", "plain", "plain"], "seed": [5] * 4},
        **{"rate": [0.1, 1.0] * 2, "width": [2] * 4},
    }


def test_what_overflows_is_infinite():
    assert [overflowed(value) for value in (1.0, math.inf, math.nan)] == [1, math.inf, math.inf]
