"""The form that the statements of all experiments share."""

import pytest

from convexbn.reporting.claims import (
    COLUMNS,
    Finding,
    Statement,
    about_cifar,
    corrected,
    joined,
    judged,
    unless_uncertified,
    worst,
)
from convexbn.reporting.significance import Interval

STATEMENTS = [Statement(name, f"{name} holds", "always", judge=lambda: None) for name in "ab"]


def test_a_table_has_a_row_for_each_statement_and_data_set():
    table = judged(STATEMENTS, lambda statement: {d: Finding(d, "not run") for d in "xy"})
    assert list(table.columns) == COLUMNS
    assert table[["id", "dataset", "measured"]].agg("".join, axis=1).tolist() == [
        *("axx", "ayy", "bxx", "byy")
    ]


def test_no_statements_make_an_empty_table():
    table = judged([], lambda statement: {})
    assert table.empty
    assert list(table.columns) == COLUMNS


def test_pairs_too_few_to_resolve_anything_are_no_tests():
    clear = Finding("1 point", "reproduced", Interval(1.0, 0.1, 1.9, 0.04, 5))
    few = Finding("1 point", "not resolved", Interval(1.0, 0.1, 1.9, 0.04, 3))
    assert corrected({"d": clear, "e": few}) == {"d": clear, "e": few}


def test_correction_leaves_its_input_as_it_was():
    barely = Finding("1 point", "reproduced", Interval(1.0, 0.01, 1.99, 0.049, 6))
    findings = {"d": barely, "e": barely, "f": Finding("no runs", "not run")}
    adjusted = corrected(findings)
    assert [found.verdict for found in adjusted.values()] == [
        *("not resolved", "not resolved", "not run")
    ]
    assert findings["d"] is barely
    assert corrected({"d": barely}) == {"d": barely}


@pytest.mark.parametrize("verdict", ["reproduced", "not reproduced", "not resolved"])
def test_nothing_is_resolved_on_uncertified_solves(verdict):
    finding = Finding("3 points", verdict)
    assert unless_uncertified(finding, 0) is finding
    doubtful = unless_uncertified(finding, 2, "row(s)")
    assert doubtful == Finding("3 points; 2 row(s) not certified", "not resolved")


def test_what_was_not_run_stays_so():
    assert unless_uncertified(Finding("no runs", "not run"), 2) == Finding("no runs", "not run")


def test_statements_about_cifar_name_other_sources():
    finding = Finding("3 points", "reproduced")
    of_cifar = [{"source": name} for name in ("cifar10", "cifar100", "cifar10_sample")]
    assert about_cifar(finding, of_cifar) is finding
    other = about_cifar(finding, [{"source": "digits"}, *of_cifar])
    words = "the statement is about CIFAR, these data are digits; here: 3 points"
    assert other == Finding(words, "not run")


def test_two_experiments_do_not_share_an_id():
    first, second = (
        judged([Statement(name, "holds", "always", judge=None)], lambda _: {"x": Finding("", "")})
        for name in ("E1", "E2")
    )
    assert joined({"one": first, "two": second})["id"].tolist() == ["E1", "E2"]
    with pytest.raises(ValueError, match="'E1' is used by one and by two"):
        joined({"one": first, "two": first})


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "not resolved"], "not resolved"),
        (["not resolved", "not reproduced", "reproduced"], "not reproduced"),
    ],
)
def test_statement_of_several_parts_is_as_good_as_the_worst(verdicts, expected):
    assert worst(verdicts) == expected
