"""What the tables say: the largest stable rate, ratios of sums, slopes, ends of trainings."""

import numpy as np
import pandas as pd

from convexbn.experiments.learning_rates import summaries

KEYS = {"depth": 20, "normalization": "bn", "seed": 0}


def runs(losses, **columns) -> pd.DataFrame:
    rates = 10.0 ** np.arange(-3, len(losses) - 3)
    table = pd.DataFrame({"learning_rate": rates, "relative_loss": losses, "updates": 12})
    return table.assign(**KEYS | columns)


def test_every_smaller_rate_must_be_stable_too():
    table = pd.concat(
        [
            runs([1, 2, 5e3, 3]),
            runs([1, 1, 1, 1000.0], seed=1),
            runs([np.inf, 1, 1, 1], normalization="plain"),
        ]
    ).sample(frac=1, random_state=0)
    found = summaries.largest_stable(table)
    assert found.to_dict("records") == [
        {**KEYS, "learning_rate": 0.01, "at_edge": False},
        {**KEYS, "seed": 1, "learning_rate": 1.0, "at_edge": True},
        {**KEYS, "normalization": "plain", "learning_rate": 0.0, "at_edge": False},
    ]


def test_slopes_are_those_of_powers_of_the_batch_size():
    sizes = np.array([2, 4, 8, 32])
    parts = [
        pd.DataFrame({"batch_size": sizes, "distance": 3.0 / sizes**power}).assign(
            normalization="plain", seed=seed
        )
        for seed, power in enumerate((1, 2))
    ]
    np.testing.assert_allclose(summaries.slopes(pd.concat(parts), "plain"), [1, 2])


def test_the_last_epoch_is_a_trainings_end():
    table = pd.DataFrame(
        {"epoch": [0, 3, 1, 0], "value": [1, 2, 3, 4], "seed": [0, 0, 0, 1], "learning_rate": 0.1}
    ).assign(normalization="bn")
    assert summaries.ends(table).set_index("seed")["value"].to_dict() == {0: 2, 1: 4}
    table.loc[1, "value"] = np.nan  # it diverged, and has not gone back
    assert np.isnan(summaries.ends(table).set_index("seed")["value"][0])
