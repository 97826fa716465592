"""Verdicts of the statements on studies, at their boundaries."""

import numpy as np
import pandas as pd
import pytest
from claim_rows import CIFAR, rows_of, runs_of, table_of

from convexbn.experiments.studies.statements import studies


def ranked(n: int, ranks, best) -> pd.DataFrame:
    """Truncated runs on n images; each seed's validation accuracy is best at its own rank."""
    return table_of(
        *(
            rows_of(
                "convex-truncated",
                [0.4] * len(best),
                dataset=f"n{n}",
                rank=rank,
                run=f"k{rank}",
            )
            for rank in ranks
        )
    ).assign(
        validation_accuracy=lambda rows: [
            0.5 - abs(np.log(row.rank / best[row.seed])) for row in rows.itertuples()
        ]
    )


def study(runs, kind, values, **changes) -> pd.Series:
    entry = CIFAR | changes
    datasets = dict.fromkeys(values, entry)
    ((_, row),) = studies(runs, {kind: {"s": values}}, datasets).iterrows()
    return row


def test_the_best_rank_of_a_power_law_has_its_exponent():
    ranks = (10, 20, 40, 80)
    # k = sqrt(n) / 5 with every seed, but for one that is off by a step at each n.
    runs = pd.concat(
        [
            ranked(2500, ranks, [10] * 5),
            ranked(10000, ranks, [20] * 4 + [40]),
            ranked(40000, ranks, [40] * 5),
        ]
    )
    values = {"n2500": 2500, "n10000": 10000, "n40000": 40000}
    row = study(runs, "samples", values)
    assert (row["id"], row["verdict"]) == ("E4c", "reproduced")
    # Each log k is known to half a step, log(2) / 2, and log n moves by 2 log(4) from end to end.
    assert "exponent +0.50, 95% interval +0.25 to +0.75" in row["measured"]
    assert "to the 0.25 that the steps between ranks hide" in row["measured"]
    assert "best k 10 (n = 2,500), 23 (n = 10,000), 40 (n = 40,000)" in row["measured"]
    missed = study(runs.assign(certified=False), "samples", values)
    assert missed["verdict"] == "not resolved"
    assert "not certified" in missed["measured"]


def test_a_data_set_without_ranks_has_no_best_one():
    runs = pd.concat([ranked(100, (10, 20), [10] * 5), ranked(400, (10, 20), [20] * 5)])
    row = study(runs, "samples", {"n100": 100, "n400": 400, "n900": 900})
    assert row["verdict"] == "not run"
    assert "n = 900" in row["measured"]


def test_a_best_rank_that_stays_or_falls():
    ranks, values = (10, 20, 40), {"n100": 100, "n400": 400}
    same = pd.concat([ranked(100, ranks, [10, 20, 20, 20, 40]), ranked(400, ranks, [20] * 5)])
    assert study(same, "samples", values)["verdict"] == "not resolved"
    falls = pd.concat([ranked(100, ranks, [40] * 5), ranked(400, ranks, [10, 10, 20, 10, 10])])
    assert study(falls, "samples", values)["verdict"] == "not reproduced"
    # One step of the grid, even with every seed, may be a small one between the ranks.
    step = pd.concat([ranked(100, ranks, [10] * 5), ranked(400, ranks, [20] * 5)])
    row = study(step, "samples", values)
    assert row["verdict"] == "not resolved"
    assert "exponent +0.50, 95% interval -0.00 to +1.00, p = 1" in row["measured"]
    # So may any step from one rank, the only one that was tried, to another.
    lonely = pd.concat([ranked(100, [10], [10] * 5), ranked(400, ranks, [40] * 5)])
    assert study(lonely, "samples", values)["verdict"] == "not resolved"


def noisy(gains) -> tuple[pd.DataFrame, dict]:
    """Data sets with label noise, at each of which truncation gains so much over SGD."""
    seeds = np.linspace(0.3, 0.5, 5)
    wobble = 1e-3 * np.array([0, 1, -1, 2, -2])
    parts = [
        runs_of(seeds, seeds, seeds + gain * (1 + wobble), dataset=f"x{noise}")
        for noise, gain in gains.items()
    ]
    return pd.concat(parts), {f"x{noise}": noise for noise in gains}


def test_the_advantage_that_grows_with_noise_has_its_slope():
    runs, values = noisy({0.0: 0.01, 0.2: 0.03, 0.4: 0.05})
    row = study(runs, "noise", values)
    assert (row["id"], row["verdict"]) == ("E4d", "reproduced")
    assert "+1.0 (0%), +3.0 (20%), +5.0 (40%); per 10 % of noise +1.00 points" in row["measured"]
    runs, values = noisy({0.0: 0.05, 0.2: 0.03})
    assert study(runs, "noise", values)["verdict"] == "not reproduced"


def over_draws(gains, method="convex-truncated", **columns) -> tuple[pd.DataFrame, dict]:
    """Draws on which a method gains so much over SGD, by five seeds that differ far more."""
    seeds = np.linspace(0.3, 0.5, 5)
    parts = [
        table_of(
            rows_of("SGD", seeds, dataset=f"d{draw}"),
            rows_of(method, seeds + gain, dataset=f"d{draw}", **columns),
        )
        for draw, gain in enumerate(gains)
    ]
    return pd.concat(parts), {f"d{draw}": draw for draw in range(len(gains))}


def judged_draws(runs, values, **changes) -> pd.DataFrame:
    datasets = dict.fromkeys(values, CIFAR | changes)
    return studies(runs, {"draws": {"s": values}}, datasets).set_index("id")


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        # Mean 1 point; the interval is 2.48 deviations to each side, of .3 and of .5 points.
        ((0.007, 0.010, 0.013), "reproduced"),
        ((0.005, 0.010, 0.015), "not resolved"),
        ((-0.007, -0.010, -0.013), "not reproduced"),
        # Two draws do not resolve anything, even if they agree.
        ((0.010, 0.010), "not resolved"),
    ],
)
def test_a_difference_over_draws_is_resolved_by_the_draws(gains, verdict):
    table = judged_draws(*over_draws(gains))
    assert table.loc["E4f", "verdict"] == verdict
    assert table.loc[["E4g", "E4h"], "verdict"].tolist() == ["not run", "not run"]
    assert "on draw 0 no run of convex-filtered" in table.loc["E4g", "measured"]


def test_a_difference_over_draws_names_each_draw():
    runs, values = over_draws((0.007, 0.010, 0.013))
    row = judged_draws(runs, values).loc["E4f"]
    assert row["dataset"] == "s (d0, d1, d2)"
    assert row["measured"] == (
        "+1.0 points, 95% interval +0.3 to +1.7, p = 0.029, 3 draws: +0.7 = 40.7 - 40.0 % "
        "(draw 0, 5 seeds), +1.0 = 41.0 - 40.0 % (draw 1, 5 seeds), +1.3 = 41.3 - 40.0 % (draw 2, "
        "5 seeds); truncated (k = 9, P = 8, beta 1) - SGD (beta 1)"
    )
    assert "of the means over seeds, one for each of at least 3 draws" in row["expected"]
    # A setting that is another on one draw is named, too.
    runs.loc[(runs["dataset"] == "d1") & (runs["method"] == "SGD"), "beta"] = 2.0
    assert judged_draws(runs, values)["measured"]["E4f"].endswith("SGD (beta 1) or SGD (beta 2)")


def test_each_comparison_over_draws_is_of_its_two_methods():
    filters = {"filter_kind": "ridge", "filter_value": 0.01}
    runs, values = over_draws((0.02, 0.021, 0.019), "convex-filtered", **filters)
    full, _ = over_draws((-0.05, -0.051, -0.049), "convex")
    table = judged_draws(pd.concat([runs, full[full["method"] == "convex"]]), values)
    assert table["verdict"].to_dict() == {
        "E4f": "not run",
        "E4g": "reproduced",
        "E4h": "reproduced",
    }
    assert "filtered (ridge 0.01, P = 8, beta 1) - SGD (beta 1)" in table.loc["E4g", "measured"]
    assert table.loc["E4h", "measured"].startswith("+5.0 points")


def test_draws_of_several_data_sets_are_corrected_and_uncertified_ones_resolve_nothing():
    runs, values = over_draws((0.007, 0.010, 0.013))  # p = .029
    others = {f"e{draw}": draw for draw in range(3)}
    both = pd.concat([runs, runs.assign(dataset=runs["dataset"].str.replace("d", "e"))])
    datasets = dict.fromkeys([*values, *others], CIFAR)
    table = studies(both, {"draws": {"s": values, "t": others}}, datasets)
    rows = table[table["id"] == "E4f"]
    assert rows["verdict"].tolist() == ["not resolved"] * 2
    assert rows["measured"].str.contains("Holm's correction for 2 tests").all()
    row = judged_draws(*over_draws((0.007, 0.010, 0.013), certified=False)).loc["E4f"]
    assert row["verdict"] == "not resolved"
    assert "15 solve(s) not certified" in row["measured"]


def test_draws_that_cannot_be_judged_say_why():
    runs, values = over_draws((0.01, 0.01, 0.01))
    missing = runs[(runs["method"] != "SGD") | (runs["dataset"] != "d1")]
    row = judged_draws(missing, values).loc["E4f"]
    assert (row["verdict"], row["measured"][:24]) == ("not run", "on draw 1 no run of SGD,")
    assert set(judged_draws(runs, values, source="digits")["verdict"]) == {"not run"}


def test_studies_that_cannot_be_judged_say_why():
    runs, values = noisy({0.0: 0.01, 0.2: 0.03})
    row = study(runs[runs["method"] != "SGD"], "noise", values)
    assert row["verdict"] == "not run"
    assert "SGD" in row["measured"]
    assert study(runs, "noise", values, source="digits")["verdict"] == "not run"
    assert studies(runs, {}, {}).empty


def test_a_kind_of_study_without_a_statement_is_refused_by_name():
    with pytest.raises(ValueError, match="'depth'"):
        studies(runs_of([0.4], [0.3], [0.5]), {"depth": {}}, {})
