"""The comparison of two runs: what counts as the same, and what each difference is called."""

import numpy as np
import pandas as pd
import pytest
from claim_rows import runs_of

from convexbn.reporting import comparison, selection
from convexbn.reporting.claims import COLUMNS


def claims_of(**verdicts) -> pd.DataFrame:
    rows = [(name, "d", "words", "> 0", f"{name} here", v) for name, v in verdicts.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def outcomes(compared, key="id") -> dict:
    return dict(zip(compared[key], compared["outcome"], strict=True))


def test_claims_are_the_same_changed_missing_or_new():
    recorded = claims_of(A="reproduced", B="reproduced", C="not run")
    found = claims_of(A="reproduced", B="not resolved", D="not run")
    compared = comparison.claims(recorded, found)
    assert outcomes(compared) == {"A": "same", "B": "changed", "C": "missing", "D": "new"}
    assert list(compared["measured"]) == ["", "B here -> B here", "", ""]
    said = comparison.claims_words(compared)
    assert "B on d: B here -> B here" in said
    assert "4 claims: same 1, changed 1, missing 1, new 1." in said


def test_a_verdict_on_what_the_record_has_not_run_is_new():
    verdicts = ("reproduced", "not resolved", "not reproduced", "not run")
    found = [comparison.claims(claims_of(A="not run"), claims_of(A=v)) for v in verdicts]
    assert [compared["outcome"].item() for compared in found] == ["new"] * 3 + ["same"]
    compared = comparison.claims(claims_of(A="reproduced"), claims_of(A="not run"))
    assert compared["outcome"].item() == "changed"


def test_a_statement_judged_twice_on_one_data_set_is_two_claims():
    recorded = pd.concat([claims_of(A="reproduced"), claims_of(A="not resolved")])
    assert list(comparison.claims(recorded, recorded)["outcome"]) == ["same", "same"]
    turned = recorded.iloc[::-1]
    assert list(comparison.claims(recorded, turned)["outcome"]) == ["changed", "changed"]


def methods_of(truncated, sgd=(0.4, 0.41, 0.42), **columns) -> pd.DataFrame:
    runs = runs_of(sgd, (0.3, 0.31, 0.32), truncated)
    return selection.methods(runs).assign(**columns)


RECORDED = methods_of((0.5, 0.51, 0.52))  # standard deviation 0.01 over three seeds
UNIT = 0.01 * np.sqrt(2 / 3)  # the standard deviation of the difference of two such means


@pytest.mark.parametrize(
    ("shift", "outcome"), [(0.0, "agrees"), (2.9, "agrees"), (-2.9, "agrees"), (3.1, "differs")]
)
def test_methods_agree_up_to_three_standard_deviations_of_the_difference(shift, outcome):
    found = methods_of(np.array([0.5, 0.51, 0.52]) + shift * UNIT)
    compared = comparison.methods(RECORDED, found).set_index("method")
    assert compared.loc["convex-truncated", "outcome"] == outcome
    # The accuracies above are three numbers near 0.5, exact to 1e-16, of a spread of 0.01.
    assert compared.loc["convex-truncated", "deviations"] == pytest.approx(abs(shift), abs=1e-9)
    assert list(compared.drop(index="convex-truncated")["outcome"]) == ["agrees", "agrees"]


def test_seeds_that_are_all_equal_agree_to_the_last_digit_shown():
    still = methods_of((0.5, 0.5, 0.5))
    near, far = (methods_of((0.5 + by,) * 3) for by in (0.0009, 0.0011))
    compared = [comparison.methods(still, found).set_index("method") for found in (near, far)]
    assert [table.loc["convex-truncated", "outcome"] for table in compared] == ["agrees", "differs"]


def test_one_seed_has_the_standard_deviation_of_the_other_run():
    compared = comparison.methods(RECORDED, methods_of((0.53,))).set_index("method")
    unit = 0.01 * np.sqrt(1 / 3 + 1)
    assert compared.loc["convex-truncated", "deviations"] == pytest.approx(0.02 / unit, rel=1e-9)


def test_two_runs_of_one_seed_neither_agree_nor_differ():
    one = methods_of((0.5,))
    both = comparison.methods(one, methods_of((0.53,))).set_index("method")
    assert both.loc["convex-truncated", "outcome"] == "one seed"
    assert np.isnan(both.loc["convex-truncated", "deviations"])
    same = comparison.methods(one, methods_of((0.5 + 0.0009,))).set_index("method")
    assert same.loc["convex-truncated", "outcome"] == "agrees"  # to the last digit shown


def test_methods_may_be_missing_or_new():
    fewer = RECORDED[RECORDED["method"] != "SGD"]
    assert outcomes(comparison.methods(RECORDED, fewer), "method")["SGD"] == "missing"
    compared = comparison.methods(fewer, RECORDED)
    assert outcomes(compared, "method")["SGD"] == "new"
    said = comparison.methods_words(compared)
    assert "nan" not in said
    assert "3 methods: agrees 2, new 1." in said
    assert "41.0%" in said


def test_settings_that_differ_are_named():
    found = methods_of((0.5, 0.51, 0.52), run="k40", beta=0.5)
    compared = comparison.methods(RECORDED, found).set_index("method")
    assert compared.loc["convex-truncated", "setting"] == (
        "convex-truncated, beta 1 -> k40, beta 0.5"
    )
    assert compared.loc["SGD", "setting"].endswith("k40, beta 0.5, learning rate 0.1")
    assert set(comparison.methods(RECORDED, RECORDED)["setting"]) == {""}
