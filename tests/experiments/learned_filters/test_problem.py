"""The program on filtered designs: its gates, its designs and its measures."""

import numpy as np
import pytest
import torch
from learned_cases import features, problem

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.evaluation import accuracy
from convexbn.experiments.learned_filters.filters import soft_step
from convexbn.whitening import whiten

SPLITS = "train", "validation", "test"


@pytest.mark.parametrize("split", SPLITS)
def test_the_patterns_are_those_of_gates_in_the_coordinates_of_any_filter(split):
    made, whitening = problem(), whiten(features()["X_train"])
    G = sample_gates(whitening.filtered("power", 1.0).U, 4, 0)
    ratios = made.ratios
    gains = soft_step(ratios, torch.tensor(0.01), torch.tensor(2.0))
    rescaled = torch.as_tensor(G) * torch.cat([ratios / gains, torch.ones(1)])[:, None]
    part = getattr(made, split)
    # Rounding decides only where a pre-activation is zero, which happens for no continuous data.
    assert torch.equal(part.D, activation(part.filtered(gains), rescaled))


def test_a_filtered_design_is_that_of_the_whitening():
    data = features()
    whitening = whiten(data["X_train"])
    expected = whitening.filtered("ridge", 0.1)
    made = problem()
    gains = torch.as_tensor(expected.gains)
    np.testing.assert_allclose(made.train.filtered(gains), expected.U, atol=1e-14)
    new = expected.transform(data["X_test"])
    np.testing.assert_allclose(made.test.filtered(gains), new, atol=1e-12)


def test_a_truncation_keeps_leading_columns_and_all_patterns():
    full, part = problem(), problem().truncated(2)
    expected = whiten(features()["X_train"], rank=2)
    np.testing.assert_allclose(part.train.U, expected.U, atol=1e-14)
    for split in SPLITS:
        assert torch.equal(getattr(part, split).D, getattr(full, split).D)
    assert len(part.ratios) == 2


def test_a_truncation_beyond_the_rank_is_refused():
    with pytest.raises(ValueError, match="rank must be from 1 to 6, got 7"):
        problem().truncated(7)


def test_measures_are_those_of_the_sum_over_gates():
    made = problem()
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(7, 4, 3, generator=generator, dtype=torch.float64)
    gains = torch.linspace(1, 0.1, 6, dtype=torch.float64)
    found = made.measures(gains, W)
    for split in SPLITS:
        part = getattr(made, split)
        scores = sum(
            part.D[:, i, None] * (part.filtered(gains) @ W[:, i]) for i in range(W.shape[1])
        )
        assert found[f"{split}_accuracy"] == accuracy(scores, part.labels)
        if split == "validation":
            loss = ((scores - part.Y) ** 2).sum().item() / 2 / len(part.labels)
            assert found["validation_loss"] == pytest.approx(loss, rel=1e-12)
