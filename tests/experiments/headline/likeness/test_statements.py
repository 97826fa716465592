"""Statements over test images, on made-up comparisons."""

import numpy as np
import pandas as pd
import pytest
from claim_rows import CIFAR

from convexbn.experiments.headline.likeness.comparisons import ALL, COLUMNS, WITHOUT_LIKE
from convexbn.experiments.headline.likeness.statements import likeness
from convexbn.reporting.claims import COLUMNS as CLAIMED

TRUNCATED, FILTERED = "convex-truncated", "convex-filtered"
LUCK = 0.001 * np.array([-1, 0, 1, 1, -1])


def rows_of(dataset, better, bounds, gain, error, images=1000, seeds=5, certified=True):
    """Rows of a method that is better than SGD by a gain."""
    return [
        {
            **{"dataset": dataset, "better": better, "worse": "SGD", "images": images},
            **{"low": bounds[0], "high": bounds[1], "seed": seed, "certified": certified},
            **{"better_accuracy": 0.5 + gain + LUCK[seed], "worse_accuracy": 0.5, "error": error},
        }
        for seed in range(seeds)
    ]


def table_of(*parts) -> pd.DataFrame:
    return pd.DataFrame([row for rows in parts for row in rows], columns=COLUMNS)


def verdicts(table, draws=None, **entries) -> dict[str, str]:
    datasets = {name: CIFAR | entries for name in ("d", "d1", "d2")}
    claims = likeness(table, datasets, draws or {})
    assert list(claims.columns) == CLAIMED
    return dict(zip(claims["id"], claims["verdict"], strict=True))


def test_few_test_images_can_undo_what_seeds_resolve():
    known = rows_of("d", TRUNCATED, ALL, 0.01, error=0.002)
    few = rows_of("d", TRUNCATED, WITHOUT_LIKE, 0.01, error=0.006)
    found = verdicts(table_of(known, few))
    assert (found["E3h"], found["E3i"]) == ("reproduced", "not resolved")
    assert found["E4m"] == found["E4n"] == "not run"
    below = rows_of("d", TRUNCATED, WITHOUT_LIKE, -0.01, error=0.002)
    assert verdicts(table_of(known, below))["E3i"] == "not reproduced"


def test_what_was_measured_is_in_the_words():
    known = rows_of("d", TRUNCATED, ALL, 0.01, error=0.002)
    some = rows_of("d", TRUNCATED, WITHOUT_LIKE, 0.01, error=0.002, images=950, seeds=3)
    claims = likeness(table_of(known, some), {"d": CIFAR}, {}).set_index("id")
    assert claims.loc["E3h", "measured"].startswith("+1.0 points, 95% interval +0.6 to +1.4, p = ")
    assert claims.loc["E3h", "measured"].endswith(", 5 paired seeds, 1,000 test images")
    assert "3 paired seeds of the 5 that it takes, 950 test images" in claims.loc["E3i", "measured"]
    assert claims.loc["E3i", "verdict"] == "not resolved"


def test_nothing_is_resolved_on_solves_without_certificates():
    rows = rows_of("d", TRUNCATED, ALL, 0.01, error=0.002, certified=False)
    assert verdicts(table_of(rows))["E3h"] == "not resolved"


def test_statements_are_about_cifar():
    rows = rows_of("d", TRUNCATED, ALL, 0.01, error=0.002)
    assert set(verdicts(table_of(rows), source="digits").values()) == {"not run"}


def test_a_subset_without_images_is_not_run():
    rows = rows_of("d", TRUNCATED, ALL, 0.01, error=0.002)
    claims = likeness(table_of(rows), {"d": CIFAR}, {}).set_index("id")
    assert claims.loc["E3i", ["measured", "verdict"]].tolist() == [
        "no run of convex-truncated and SGD, no seed that both have, or no such image",
        "not run",
    ]


@pytest.mark.parametrize(("error", "verdict"), [(0.002, "reproduced"), (0.02, "not resolved")])
def test_draws_share_their_test_images(error, verdict):
    draws = {"study": {"d": 0, "d1": 1, "d2": 2}}
    rows = [
        rows_of(name, method, bounds, gain, error, seeds=3)
        for name, gain in (("d", 0.019), ("d1", 0.020), ("d2", 0.021))
        for method in (TRUNCATED, FILTERED)
        for bounds in (ALL, WITHOUT_LIKE)
    ]
    found = verdicts(table_of(*rows), draws)
    assert [found[name] for name in ("E4i", "E4j", "E4k", "E4l")] == [verdict] * 4


def test_draws_without_a_method_are_named():
    draws = {"study": {"d": 0, "d1": 4, "d2": 7}}
    rows = [rows_of("d", method, ALL, 0.02, 0.002) for method in (TRUNCATED, FILTERED)]
    datasets = dict.fromkeys(("d", "d1", "d2"), CIFAR)
    claims = likeness(table_of(*rows), datasets, draws).set_index("id")
    assert claims.loc["E4k", "verdict"] == "not run"
    assert "on draw 4, 7 no run of convex-filtered and SGD" in claims.loc["E4k", "measured"]
