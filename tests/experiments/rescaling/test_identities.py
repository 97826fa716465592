"""The identities of SGD hold, and a training that breaks one is seen."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from convexbn.experiments.rescaling import identities
from convexbn.experiments.rescaling.identities import trajectory
from convexbn.experiments.rescaling.settings import Identities

SETTINGS = Identities(
    samples=10,
    widths=[6, 5],
    batch_size=5,
    learning_rates=[0.1],
    time=2.0,
    weight_decay=0.3,
    seeds=1,
)
X = torch.randn(10, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 3


def train(decay, settings=SETTINGS, rate=0.1) -> pd.DataFrame:
    return pd.DataFrame(trajectory(X, LABELS, settings, rate, decay, seed=0))


def test_norms_grow_by_the_gradients_and_nothing_beside_the_span_changes():
    table = train(0.0)
    assert set(table["step"]) >= {0, 1, 20}
    assert set(table["layer"]) == {1, 2}
    # Rounding in float64 over the size of one step's growth, a ten-thousandth of the norm.
    assert table["growth_error"].max() < 1e-9
    assert table["falls"].sum() == 0
    last = table[table["step"] == 20]
    assert (last["growth"] > 1e-3).all()
    assert last["growth"].to_numpy() == pytest.approx(last["predicted_growth"].to_numpy())
    first = table[table["layer"] == 1]
    assert first["beside"].to_numpy() == pytest.approx(1, abs=1e-12)
    assert table.loc[table["layer"] == 2, "beside"].isna().all()


def test_weight_decay_shrinks_the_part_beside_and_breaks_the_identity_of_norms():
    table = train(0.3)
    first = table[(table["layer"] == 1) & (table["step"] == 20)].iloc[0]
    assert first["beside"] == pytest.approx((1 - 0.1 * 0.3) ** 20, rel=1e-12)
    assert first["beside_error"] < 1e-12
    assert first["growth_error"] > 0.1
    assert first["falls"] > 0


def test_a_network_that_is_not_invariant_breaks_the_identity(monkeypatch):
    """With an eps of the size of the variance the gradient is not orthogonal to the filter."""
    monkeypatch.setattr(identities, "NO_EPS", 1.0)
    assert train(0.0)["growth_error"].max() > 0.01


def test_a_gradient_beside_the_span_is_seen(monkeypatch):
    """Here the span is said to be that of the first half of the inputs."""
    basis_of = identities.basis_of
    monkeypatch.setattr(identities, "basis_of", lambda X: basis_of(X[:5]))
    assert train(0.0)["beside_error"].max() > 1e-4


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_a_training_ends_at_the_same_time_at_every_rate(rate):
    table = train(0.0, rate=rate)
    assert table["step"].max() * rate == pytest.approx(2)


def test_batches_are_full_and_go_on_over_epochs():
    settings = replace(SETTINGS, batch_size=4, time=0.5)  # two of the ten samples are left over
    assert train(0.0, settings)["step"].max() == 5
    batches = list(identities._batches(10, 4, 5, torch.Generator().manual_seed(0)))
    assert [len(index) for index in batches] == [4] * 5
    assert not set(batches[0].tolist()) & set(batches[1].tolist())
    assert not math.isnan(float(batches[4].sum()))
