"""Training on minibatches: its steps, its resume, and where it ends."""

import math
import re
import textwrap
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from convexbn.networks.residual import ResidualNetwork
from convexbn.training import checkpoints
from convexbn.training.minibatches import Settings, train
from convexbn.training.samples import Samples, accuracy_of

N = 24


def _samples(shape=(1, 4, 4), dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    X = torch.randn(N, *shape, generator=generator, dtype=dtype)
    return Samples(X, torch.randint(3, (N,), generator=generator))


def _residual():
    return ResidualNetwork(8, 3, width=2, channels=1, generator=torch.Generator().manual_seed(0))


def _sgd(network, rate=0.1):
    return torch.optim.SGD(network.parameters(), rate, momentum=0.9)


def test_full_batch_is_gradient_descent():
    """One batch of all samples: the losses of two epochs are those of two steps by hand."""
    samples = _samples((5,), torch.float64)
    network, by_hand = (nn.Linear(5, 3).double() for _ in range(2))
    by_hand.load_state_dict(network.state_dict())
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    history = train(network, optimizer, samples, Settings(2, N, seed=0, evaluations=2))
    for row in history[1:]:
        loss = cross_entropy(by_hand(samples.X), samples.labels)
        # The order of the samples differs: a few roundings of float64.
        assert row["train_loss"] == pytest.approx(float(loss.detach()), rel=1e-12)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for p, g in zip(by_hand.parameters(), gradients, strict=True):
                p -= 0.5 * g
    for p, q in zip(network.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)


def test_each_epoch_takes_every_sample_of_full_batches_once():
    samples, seen = _samples((1,)), []
    samples.X[:, 0] = torch.arange(N)

    class Watched(nn.Linear):
        def forward(self, X):
            seen.append(X[:, 0].tolist())
            return super().forward(X)

    network = Watched(1, 3)
    train(network, _sgd(network, 1e-6), samples, Settings(2, 7, seed=3))
    assert [len(batch) for batch in seen] == [7] * 6
    epochs = [list(chain(*seen[:3])), list(chain(*seen[3:]))]
    assert all(len(set(epoch)) == 21 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_learning_rates_of_all_groups_follow_the_schedule():
    network, rates = nn.Linear(16, 3), []
    groups = [{"params": [network.weight], "lr": 1.0}, {"params": [network.bias], "lr": 0.5}]
    optimizer = torch.optim.SGD(groups)
    optimizer.register_step_pre_hook(
        lambda optimizer, *_: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    train(network, optimizer, _samples((16,)), Settings(4, N, seed=0, schedule="steps"))
    assert np.allclose(rates, [[1, 0.5], [1, 0.5], [0.1, 0.05], [0.01, 0.005]], rtol=1e-12)


class Killed(Exception):
    pass


def _dropping():
    """Return a network that draws random numbers, from PyTorch's own generator."""
    return nn.Sequential(_residual().stem, nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 3))


@pytest.mark.parametrize("build", [_residual, _dropping])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_killed_training_goes_on_to_the_same_numbers(tmp_path, monkeypatch, optimizer, build):
    monkeypatch.setattr(checkpoints, "EVERY", 0)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)
    path, samples = tmp_path / "state", _samples()
    settings = Settings(6, 8, seed=1, schedule="cosine", flip=True, shift=1, evaluations=6)
    runs: list[int] = []

    def run(checkpoint, killed_in=None):
        torch.manual_seed(0)
        network = build()
        torch.manual_seed(len(runs))  # which does not matter
        runs.append(1)

        def measure(network):
            if killed_in == len(evaluated):
                raise Killed
            evaluated.append(1)
            return {"accuracy": np.float64(accuracy_of(network, samples))}

        evaluated: list[int] = []
        history = train(
            network,
            optimizer(network.parameters(), np.float64(0.05)),
            samples,
            settings,
            measure=measure,
            checkpoint=checkpoint,
        )
        return history, network.state_dict(), len(evaluated)

    expected, state, evaluations = run(None)
    with pytest.raises(Killed):
        run(path, killed_in=4)
    assert path.exists()
    history, resumed, afterwards = run(path)
    assert afterwards < evaluations  # it did not start over
    # What is measured of the network afterwards may be killed, too.
    again, last, afterwards = run(path)
    assert (again[1:], afterwards) == (history[1:], 0)
    assert all(torch.equal(values, last[name]) for name, values in resumed.items())

    def known(rows):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows[1:]]

    assert known(history) == known(expected)
    for name, values in state.items():
        assert torch.equal(values, resumed[name]), name


def test_state_of_another_training_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)
    path, samples = tmp_path / "state", _samples()
    saved = []

    def kept(network):
        if path.exists() and not saved:
            saved.append(path.read_bytes())
        return {}

    network = _residual()
    every = Settings(4, 8, seed=1, evaluations=4)
    train(network, _sgd(network), samples, every, measure=kept, checkpoint=path)
    path.write_bytes(saved[0])
    network = _residual()
    history = train(network, _sgd(network, 0.05), samples, every, checkpoint=path)
    alone = _residual()
    expected = train(alone, _sgd(alone, 0.05), samples, every)
    assert [row["train_loss"] for row in history[1:]] == [row["train_loss"] for row in expected[1:]]


def test_evaluation_is_in_evaluation_mode_and_changes_nothing():
    network, modes = _residual().eval(), []

    def measure(network):
        modes.append({module.training for module in network.modules()})
        return {}

    train(network, _sgd(network), _samples(), Settings(2, 8, seed=0), measure=measure)
    assert modes == [{False}, {False}]
    assert not network.training


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_training_that_diverges_ends_and_says_so(rate):
    network = nn.Linear(16, 3)
    history = train(network, _sgd(network, rate), _samples((16,)), Settings(50, 8, seed=0))
    assert [row["diverged"] for row in history] == [False, True]
    assert history[-1]["epoch"] == 1
    assert math.isnan(history[0]["train_loss"])


def test_negative_loss_is_no_divergence():
    network = nn.Linear(16, 3)
    history = train(
        network,
        _sgd(network),
        _samples((16,)),
        Settings(2, 8, seed=0),
        loss=lambda scores, labels: cross_entropy(scores, labels) - 5,
    )
    assert not history[-1]["diverged"]
    assert history[-1]["epoch"] == 2


def test_batch_of_one_is_not_normalized_by_itself():
    network = nn.Sequential(nn.Linear(16, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="batch_size must be from 2 to 24"):
        train(network, _sgd(network), _samples((16,)), Settings(1, 1, seed=0))


def test_what_does_not_fit_is_refused():
    network = nn.Linear(16, 3)
    with pytest.raises(ValueError, match="batch_size"):
        train(network, _sgd(network), _samples((16,)), Settings(1, N + 1, seed=0))
    with pytest.raises(ValueError, match=r"images \(n, c, H, W\) can be flipped.*\(24, 16\)"):
        train(network, _sgd(network), _samples((16,)), Settings(1, 8, seed=0, flip=True))
    with pytest.raises(ValueError, match="shift"):
        train(_residual(), _sgd(network), _samples(), Settings(1, 8, seed=0, shift=4))
    with pytest.raises(ValueError, match="schedule"):
        Settings(1, 8, seed=0, schedule="linear")
    with pytest.raises(ValueError, match="epochs"):
        Settings(0, 8, seed=0)


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    network = nn.Linear(16, 3)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        train(network, _sgd(network), _samples((16,)), Settings(1, 8, seed=0), checkpoint=path)
    assert path.read_text() == "notes"


def test_example_of_the_docs_learns():
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^    .*\n|^\n)+", page, re.MULTILINE)
    code = max((textwrap.dedent(block) for block in blocks), key=len)
    code = code.replace("accuracy_of(network, test)", "found = accuracy_of(network, test)")
    names: dict = {}
    exec(code, names)
    assert names["found"] > 0.7  # a tenth by chance; 0.9 when it was written
