"""Verdicts of the statements on convex layers, at their boundaries."""

import numpy as np
import pandas as pd
import pytest

from convexbn.experiments.convex_layers.statements import costs, layers, ratios
from convexbn.reporting import claims


def gradients(error=1e-3, closed=1e-3) -> pd.DataFrame:
    row = {"layer": "ridge", "seed": 0, "step": 1e-4, "judged": True, "residual": 1e-10}
    row |= {"relative_error": error, "closed_form_error": closed}
    other = row | {"step": 1e-2, "judged": False, "relative_error": 1.0}  # not judged
    unknown = row | {"layer": "cone", "closed_form_error": np.nan, "relative_error": 0.0}
    return pd.DataFrame([row, other, unknown])


def poisoning(*ratio, points=30, radius=0.01) -> pd.DataFrame:
    rows = [
        {"seed": seed, "point": point, "predicted": 2.0, "realised": 2 * r, "radius": radius}
        for seed, r in enumerate(ratio)
        for point in range(points)
    ]
    return pd.DataFrame(rows)


def control(*saved, iterations=100, horizon=25, rate=0.02) -> pd.DataFrame:
    rows = [
        {
            **{"seed": seed, "iteration": iteration, "cost": cost, "uncontrolled_cost": 1.0},
            **{"horizon": horizon, "batch": 8, "learning_rate": rate, "momentum": 0.9},
        }
        for seed, share in enumerate(saved)
        for iteration, cost in ((iterations, 4 * (1 - share)), (0, 4.0))
    ]
    return pd.DataFrame(rows)


def times(without=(4.0, 4.0, 4.0), fresh=(9.0, 9.0, 9.0), layer=1.5) -> pd.DataFrame:
    base = {"program": "logistic regression", "installed": True, "cvxpy": "1.9"}
    rows = []
    for i, pair in enumerate(zip(without, fresh, strict=True)):
        for way, ms in zip(("cached", "without", "fresh"), (1.0, *pair), strict=True):
            stage = {"stage": "canonicalization", "backend": "CPP", "solver": np.nan}
            rows.append({**base, **stage, "way": way, "repetition": i, "ms": (i + 1) * ms})
        for way, ms in (("cached", 1.0), ("fresh", layer)):
            stage = {"stage": "derivative", "backend": np.nan, "solver": "DIFFCP"}
            rows.append({**base, **stage, "way": way, "repetition": i, "ms": ms})
    absent = {**rows[0], "backend": "RUST", "way": np.nan, "ms": np.nan, "installed": False}
    return pd.DataFrame([*rows, absent])


def other_program(table) -> pd.DataFrame:
    return table.assign(program="ridge")


def agreement(a=1e-4, b=1e-4, ratios=(0.5, 0.5, 0.5), kink=False) -> pd.DataFrame:
    terms = {"loss": "squared", "penalty": "group", "C": 3, "n": 1000, "seed": 0, "step": 1e-5}
    rows = [
        {**terms, "part": part, "variable": name, "relative_error": error, "is_at_kink": off}
        for part, error in (("cvxpylayers", a), ("differences", b))
        for name, error, off in (("U", 1e-9, False), ("beta", error, kink))
    ]
    rows += [{**terms, "part": "cost", "forward_s": 2.0, "backward_s": 2 * r} for r in ratios]
    return pd.DataFrame(rows).assign(tolerance=1e-8)


def verdict(**tables) -> str | list[str]:
    found = layers(**tables)["verdict"].tolist()
    return found[0] if len(found) == 1 else found


def measured(**tables) -> str:
    return layers(**tables)["measured"].iloc[0]


def test_statements_are_those_of_the_experiments_that_ran():
    table = layers(gradients=gradients(), control=control(0.4, 0.4, 0.4))
    assert list(table.columns) == claims.COLUMNS
    assert table["id"].tolist() == ["C1a", "C1b", "C3"]
    assert layers().empty
    assert list(layers().columns) == claims.COLUMNS


def test_every_program_must_have_its_quartiles_above():
    """Not that of the smallest median alone."""
    steady = times((4.9, 5.0, 5.1))
    wide = other_program(times((2.0, 5.5, 5.6)))
    assert verdict(canonicalization=steady) == "reproduced"
    assert verdict(canonicalization=pd.concat([steady, wide])) == "not resolved"


def test_gradients():
    assert verdict(gradients=gradients()) == ["reproduced"] * 2
    assert verdict(gradients=gradients(error=1.1e-3)) == ["not reproduced", "reproduced"]
    assert verdict(gradients=gradients(closed=1.1e-3)) == ["reproduced", "not reproduced"]
    assert verdict(gradients=gradients(np.nan, np.inf)) == ["not reproduced"] * 2
    assert "1.0e-03 at most (ridge), 2 layers, 1 seed(s), step 1e-04" in measured(
        gradients=gradients()
    )


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ((0.9, 1.0, 1.1), "reproduced"),
        ((1.0, 1.0, 1.2), "not resolved"),  # a seed outside, the mean inside
        ((1.1, 1.2, 1.2), "not reproduced"),
        ((1.0, 1.0), "not resolved"),  # two seeds
    ],
)
def test_poisoning(ratio, expected):
    assert verdict(poisoning=poisoning(*ratio)) == expected
    for other in ({"points": 6}, {"radius": 0.02}):
        assert verdict(poisoning=poisoning(*ratio, **other)) == "not run"


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ((0.31, 0.4, 0.49), "reproduced"),
        ((0.29, 0.4, 0.4), "not resolved"),
        ((0.6, 0.6, 0.4), "not reproduced"),
        ((0.4, 0.4), "not resolved"),
    ],
)
def test_control(saved, expected):
    """Whatever the order of the rows is."""
    assert verdict(control=control(*saved)) == expected
    assert verdict(control=control(*saved, iterations=99)) == "not run"
    assert "iterations 99" in measured(control=control(*saved, iterations=99))
    assert "horizon 5" in measured(control=control(*saved, horizon=5))
    assert "learning_rate 0.03" in measured(control=control(*saved, rate=0.03))


def test_a_policy_that_diverged_has_not_learned():
    lost = control(0.4, 0.4, 0.4)
    lost.loc[lost["seed"].eq(1) & lost["iteration"].eq(100), "cost"] = float("nan")
    lost = pd.concat([lost, lost[lost["iteration"].eq(0)].assign(iteration=99, cost=2.4)])
    assert verdict(control=lost) == "not reproduced"
    assert measured(control=lost).endswith("; 1 policies diverged")


def test_canonicalization():
    """By ratios within a repetition: that later ones take longer plays no part."""
    assert verdict(canonicalization=times()) == "reproduced"
    assert verdict(canonicalization=times(without=(3.0, 4.0, 9.0))) == "not resolved"
    assert verdict(canonicalization=times(without=(3.9, 3.9, 9.0))) == "not reproduced"
    assert verdict(canonicalization=times(fresh=(3.9, 3.9, 3.9))) == "not reproduced"
    assert verdict(canonicalization=times(layer=1.0)) == "reproduced"  # shown, not judged
    assert verdict(canonicalization=times((9.0, 9.0), (9.0, 9.0))) == "not resolved"  # too few
    words = measured(canonicalization=times())
    assert words.startswith("4.0x [4.0, 4.0] at least (logistic regression, CPP, against no DPP)")
    assert words.endswith("not installed: RUST")


def test_ratios_are_those_of_one_repetition():
    found = ratios(times(without=(2.0, 4.0, 8.0))).set_index(["stage", "way"])
    assert found.loc[("canonicalization", "without"), ["low", "median", "high"]].tolist() == [
        3,
        4,
        6,
    ]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((1e-4, 1e-4), ["reproduced", "reproduced"]),
        ((1.1e-4, 1e-4), ["not reproduced", "reproduced"]),
        ((1e-4, np.inf), ["reproduced", "not reproduced"]),
    ],
)
def test_agreement(errors, expected):
    assert verdict(agreement=agreement(*errors))[:2] == expected


def test_kinks_are_counted_and_not_judged():
    table = agreement(1.0, 1.0, kink=True)
    assert verdict(agreement=table)[:2] == ["reproduced"] * 2
    assert "1.0e-09 at most (U, squared, group, C = 3)" in measured(agreement=table)
    assert "1 of 2 comparisons at a kink, not judged" in measured(agreement=table)
    nothing_left = table[table["variable"] != "U"]
    assert verdict(agreement=nothing_left)[:2] == ["not resolved"] * 2


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1.0, 1.0, 1.0), "reproduced"),
        ((0.5, 0.5, 3.0), "not resolved"),  # a quartile above, the median below
        ((0.5, 1.1, 1.2), "not reproduced"),
        ((0.5, 0.5), "not resolved"),  # too few
    ],
)
def test_cost(ratios, expected):
    assert verdict(agreement=agreement(ratios=ratios))[2] == expected


def test_costs_are_medians_of_ratios_of_one_repetition():
    table = agreement(ratios=(0.25, 0.5, 3.0))
    (found,) = costs(table).to_dict("records")
    assert (found["forward_s"], found["backward_s"]) == (2.0, 1.0)
    assert (found["low"], found["ratio"], found["high"]) == (0.375, 0.5, 1.75)
    words = layers(agreement=table)["measured"].iloc[2]
    assert words.startswith("squared, group, n = 1,000, tolerance 1e-08: 1 s / 2 s = 0.50")


def test_statements_come_in_the_order_of_their_ids():
    found = layers(poisoning=poisoning(1.0, 1.0), gradients=gradients())["id"]
    assert found.tolist() == ["C1a", "C1b", "C2"]
