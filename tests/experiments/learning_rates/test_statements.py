"""The verdicts on batch normalization and learning rates, on made-up tables."""

import numpy as np
import pytest
from learning_rates_tables import gradients, landscape, matrices, noise, stability, training

from convexbn.experiments.learning_rates.statements import learning_rates
from convexbn.reporting.claims import COLUMNS

CIFAR = {"images": {"source": "cifar10", "n": 4000}}
DIGITS = {"images": {"source": "digits", "n": 1000}}


def verdicts(datasets=CIFAR, **tables) -> dict:
    named = {f"learning_rates_{name}": table for name, table in tables.items()}
    return learning_rates(datasets, **named).set_index("id")["verdict"].to_dict()


def words(name, **tables) -> str:
    named = {f"learning_rates_{key}": table for key, table in tables.items()}
    return learning_rates(CIFAR, **named).set_index("id")["measured"][name]


@pytest.mark.parametrize(
    ("plain", "bn", "verdict"),
    [
        ((1e-3, 1e-3), (0.1, 1.0), "reproduced"),
        ((1e-2, 1e-3), (0.1, 1.0), "not resolved"),
        ((1e-2, 1e-2), (0.1, 0.1), "not reproduced"),
        ((0.0, 0.0), (0.1, 0.1), "reproduced"),  # nothing is stable without BN: 100 or more
        ((0.0, 0.0), (1e-3, 1e-3), "not resolved"),  # 10 or more
        ((0.0, 1e-3), (1e-3, 0.1), "not resolved"),
        ((1.0, 1.0), (10.0, 10.0), "not resolved"),  # the largest one tried: 10 or more
        ((0.0, 0.0), (0.0, 0.0), "not reproduced"),
    ],
)
def test_every_seed_must_have_the_ratio(plain, bn, verdict):
    assert verdicts(stability=stability(plain, bn)) == {"B1": verdict}


def test_learning_rates_are_named_by_depth_and_a_bound_as_such():
    assert words("B1", stability=stability((1e-3, 1e-2), (10.0, 10.0))) == (
        "depth 20: 0.001 to 0.01 without, 10 with BN; depth 110: 0.001 to 0.01 without, 10 with "
        "BN; ratio at 110 1,000 to 10,000 or more; 2 seed(s)"
    )


def test_other_depths_and_other_images_are_measured_and_not_run():
    assert verdicts(stability=stability(depth=56)) == {"B1": "not run"}
    assert set(verdicts(landscape=landscape().assign(depth=56)).values()) == {"not run"}
    tables = {"stability": stability(), "landscape": landscape(), "gradients": gradients()}
    tables["training"] = training([0.5] * 5, [0.4] * 5)
    assert set(verdicts(DIGITS, **tables).values()) == {"not run"}
    # These two are not about CIFAR.
    assert set(verdicts(DIGITS, noise=noise(), matrices=matrices()).values()) == {"reproduced"}


def test_the_landscape_is_judged_at_its_steps():
    every = dict.fromkeys(("B2a", "B2b", "B2c", "B2d"), "reproduced")
    assert verdicts(landscape=landscape()) == every
    later = landscape(plain=(1, 1, 500, 2e3, np.inf, np.inf))
    assert verdicts(landscape=later) == every | {"B2a": "not reproduced"}
    never = landscape(plain=(1, 1, 2e3, 500, np.inf, np.inf), bn=(1, 1, 1, 1, 11, 40))
    expected = {"B2b": "not reproduced", "B2c": "not reproduced"}
    assert verdicts(landscape=never) == every | expected
    flat = landscape().assign(variance=1.0)
    assert verdicts(landscape=flat) == every | {"B2d": "not reproduced"}
    assert "overflow at 1" in words("B2b", landscape=landscape())


def test_without_the_step_nothing_was_run():
    table = landscape()
    assert verdicts(landscape=table[table["step"] != 1e-3])["B2a"] == "not run"


def test_every_layer_must_cancel_or_add_up():
    assert verdicts(gradients=gradients()) == {"B3a": "reproduced", "B3b": "reproduced"}
    found = verdicts(gradients=gradients(plain=(3, 6, 2), bn=(100, 40, 15)))
    assert found == {"B3a": "not reproduced", "B3b": "not reproduced"}
    assert "15 (layer 91)" in words("B3a", gradients=gradients(bn=(100, 40, 15)))


@pytest.mark.parametrize(("excess", "second", "verdict"), [(0.04, 1.01, ""), (-0.06, 0.97, "not ")])
def test_matrices_are_judged_within_tolerances(excess, second, verdict):
    found = verdicts(matrices=matrices(excess, second))
    assert found == dict.fromkeys(("B4a", "B4b"), f"{verdict}reproduced")


@pytest.mark.parametrize(("power", "verdict"), [(1.03, "reproduced"), (0.9, "not reproduced")])
def test_noise_is_judged_by_its_slope_without_bn(power, verdict):
    assert verdicts(noise=noise(power)) == {"B6": verdict}


PLAIN = [0.30, 0.31, 0.32, 0.33, 0.34]


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ([0.1, 0.11, 0.09, 0.1, 0.1], "reproduced"),
        ([0.06, 0.02, 0.06, 0.1, 0.0], "not resolved"),
        ([0.02, 0.021, 0.019, 0.02, 0.02], "not reproduced"),
        ([0.1, 0.11, 0.09, 0.1], "not resolved"),  # four seeds
    ],
)
def test_training_is_judged_by_the_interval_of_paired_differences(difference, verdict):
    plain = PLAIN[: len(difference)]
    bn = [a + b for a, b in zip(plain, difference, strict=True)]
    assert verdicts(training=training(bn, plain)) == {"B5": verdict}


def test_learning_rates_are_chosen_among_stable_ones_by_validation_images():
    table = training([0.5] * 5, [0.4] * 5)
    best = (table["learning_rate"] == 0.003) & (table["normalization"] == "bn")
    table.loc[best & (table["epoch"] == 2), ["validation_accuracy", "test_accuracy"]] = 0.6, 0.45
    measured = words("B5", training=table)
    assert measured == (
        "+5.0 points [+5.0, +5.0], 5 paired seeds: 45.0 % with BN at 0.003, 40.0 % without at "
        "0.01, 0.1 diverged; depth 32, learning rates 0.003, 0.01, 0.1"
    )
    table.loc[table["normalization"] == "plain", "diverged"] = True
    assert "every learning rate without diverges" in words("B5", training=table)


def test_without_tables_there_is_no_row():
    table = learning_rates(CIFAR)
    assert table.empty
    assert list(table.columns) == COLUMNS
