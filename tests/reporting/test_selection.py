"""Selection by validation, last epochs, means and spreads, and what is written for readers."""

import digits_like
import numpy as np
import pandas as pd
import pytest

from convexbn.pipeline import artifacts
from convexbn.reporting import histories, methods, pages, selection


@pytest.fixture(scope="module")
def written():
    """The histories of the convex and of the SGD runs."""
    return digits_like.convex_history(), digits_like.sgd_history()


@pytest.fixture(scope="module")
def runs(written):
    convex, sgd = written
    return selection.collect(digits_like.evaluations(convex), sgd)


def sgd_rows(*settings) -> pd.DataFrame:
    """Rows of one SGD run; a setting is (beta, learning rate, validation, test, objective)."""
    rows = [
        {
            **{"dataset": "d", "run": "r", "method": "SGD", "seed": seed, "beta": beta},
            **{"learning_rate": rate, "validation_accuracy": validation[seed]},
            **{"test_accuracy": test[seed], "train_accuracy": 1.0, "objective": objective[seed]},
            **{"neurons": 8, "seconds": 1.0},
        }
        for beta, rate, validation, test, objective in settings
        for seed in range(len(validation))
    ]
    return pd.DataFrame(rows).reindex(columns=selection.RUNS).assign(filter_kind="")


def chosen_setting(runs):
    (setting,) = {(row.beta, row.learning_rate) for row in selection.select(runs).itertuples()}
    return setting


def test_collect_keeps_the_last_epoch_not_the_best():
    history = digits_like.sgd_history(seeds=1, rates=(0.01,), epochs=3)
    history.loc[history["epoch"] == 1, "test_accuracy"] = 1.0
    runs = selection.collect(pd.DataFrame(), history)
    last = history[history["epoch"] == 3]
    assert sorted(runs["test_accuracy"]) == sorted(last["test_accuracy"])
    assert (runs["test_accuracy"] < 1).all()


def test_collect_has_one_row_per_network_and_keeps_diverged_ones(runs):
    keys = ["dataset", "method", "run", "seed", "beta", "learning_rate"]
    assert list(runs.columns) == selection.RUNS
    assert not runs.duplicated(keys).any()
    assert len(runs) == 7 * 3 * 3 + 5 * 3 * 3 * 3  # convex + SGD: runs, settings, seeds
    assert runs["objective"].isna().sum() == 5 * 3  # by SGD, one diverging setting each


def test_collect_refuses_no_runs_and_unknown_methods(runs):
    with pytest.raises(ValueError, match="at least one run"):
        selection.collect(pd.DataFrame(), pd.DataFrame())
    with pytest.raises(ValueError, match="Adam"):
        selection.collect(runs.assign(method="Adam"), pd.DataFrame())


@pytest.mark.parametrize("by", [["method"], ["method", "beta"], ["method", "rank"]])
def test_selection_never_looks_at_test_accuracy(runs, by):
    columns = [*by, "run", "beta", "learning_rate", "seed"]
    columns = list(dict.fromkeys(columns))
    shuffled = runs.assign(
        test_accuracy=runs["test_accuracy"].sample(frac=1, random_state=3).values
    )
    expected, chosen = selection.select(runs, by), selection.select(shuffled, by)
    pd.testing.assert_frame_equal(expected[columns], chosen[columns])


def test_selection_takes_the_best_mean_over_seeds_not_the_best_seed():
    steady = (0.1, 0.1, [0.8, 0.8], [0.1, 0.1], [1, 1])
    lucky = (0.2, 0.1, [0.99, 0.5], [0.9, 0.9], [1, 1])
    assert chosen_setting(sgd_rows(steady, lucky)) == (0.1, 0.1)


def test_a_run_that_is_no_candidate_is_kept_and_never_chosen():
    best = sgd_rows((0.5, 0.5, [0.99, 0.99], [0.9, 0.9], [1, 1])).assign(run="s", candidate=False)
    other = sgd_rows((0.1, 0.1, [0.2, 0.2], [0.2, 0.2], [1, 1]))
    runs = selection.collect(pd.concat([best, other]), pd.DataFrame())
    assert runs.groupby("run")["candidate"].unique().explode().to_dict() == {"r": True, "s": False}
    assert chosen_setting(runs) == (0.1, 0.1)
    (row,) = selection.methods(runs).itertuples()
    assert row.run == "r"
    # With no other setting there is nothing to choose, and nothing is wrong with that.
    assert selection.methods(runs[runs["run"] == "s"]).empty


def test_methods_says_what_is_at_an_end_of_what_was_tried():
    def settings(*accuracies):
        grid = zip((2.0, 1.0, 0.5), accuracies, strict=True)
        rates = (0.2, 0.1, 0.05)
        rows = [
            (beta, rate, [value - (rate != 0.1)], [value], [1.0])
            for beta, value in grid
            for rate in rates
        ]
        return sgd_rows(*rows)

    def edges(*parts):
        return selection.methods(pd.concat(parts))["edges"].tolist()

    def fixed(*parts):
        return selection.methods(pd.concat(parts))["fixed"].tolist()

    assert edges(settings(0.2, 0.3, 0.1)) == [""]
    assert fixed(settings(0.2, 0.3, 0.1)) == [""]
    assert edges(settings(0.2, 0.1, 0.3)) == ["beta"]
    assert edges(settings(0.3, 0.1, 0.2)) == ["beta"]
    # One value is no grid that could end too early, and is said to be the only one.
    alone = sgd_rows((1.0, 0.1, [0.5], [0.5], [1.0]))
    assert (edges(alone), fixed(alone)) == ([""], ["beta, learning_rate"])
    one_beta = settings(0.2, 0.3, 0.1).query("beta == 1.0")
    assert (edges(one_beta), fixed(one_beta)) == ([""], ["beta"])
    solved = alone.assign(method="convex", learning_rate=np.nan)
    assert (edges(solved), fixed(solved)) == ([""], ["beta"])
    # A run of another size makes no grid of it; a run alike extends it, also if it is no candidate.
    other = settings(0.1, 0.1, 0.1).assign(run="s")
    assert fixed(alone, other.assign(batch_size=999)) == ["beta, learning_rate"]
    assert fixed(alone, other.assign(recipe="width 9")) == ["beta, learning_rate"]
    assert fixed(alone, other.assign(loss="logistic")) == ["beta, learning_rate"]
    assert fixed(alone, other) == fixed(alone, other.assign(candidate=False)) == [""]
    weaker = sgd_rows((0.05, 0.1, [0.05], [0.05], [1.0])).assign(run="weaker")
    assert edges(settings(0.1, 0.2, 0.3), weaker) == [""]
    assert edges(settings(0.1, 0.2, 0.3), weaker.assign(rank=7)) == ["beta"]
    ranks = {f"k{k}": settings(0.2, 0.3 + k / 100, 0.1).assign(rank=k) for k in (10, 20, 30)}
    parts = [rows.assign(run=run, method="convex-truncated") for run, rows in ranks.items()]
    assert edges(*parts) == ["rank"]
    assert edges(*parts, parts[0].assign(rank=40, run="k40")) == [""]


def test_methods_says_whether_a_filter_is_at_an_end_of_its_kind():
    def filtered(run, kind, value, accuracy):
        known = {"run": run, "method": "convex-filtered", "filter_kind": kind}
        rows = [(beta, 0.1, [accuracy - (beta != 0.2)], [0.1], [1.0]) for beta in (0.1, 0.2, 0.3)]
        return sgd_rows(*rows).assign(**known, filter_value=value)

    ridges = [filtered(f"r{c}", "ridge", c, 0.5 + (c == 0.02)) for c in (0.01, 0.02, 0.03)]
    power = filtered("p", "power", 0.5, 0.4)

    def edges(*parts):
        return selection.methods(pd.concat(parts))["edges"].tolist()

    assert edges(*ridges, power) == [""]
    assert edges(*ridges[:2], power) == ["filter_value"]
    assert edges(ridges[1], power) == [""]  # the only one of its kind


def test_a_run_without_a_filter_has_an_empty_kind_on_disk_too(runs, tmp_path):
    artifacts.write_table(tmp_path / "runs.csv", runs, {})
    again = artifacts.read_table(tmp_path / "runs.csv")
    assert again["filter_kind"].tolist() == runs["filter_kind"].tolist()
    none = again["filter_kind"] == ""
    assert again["filter_value"].isna().tolist() == none.tolist()
    assert 0 < none.sum() < len(again)


def test_a_setting_that_only_tuning_seeds_have_is_no_run_s_setting():
    lucky = (1.0, 0.1, [0.9], [0.9], [1.0])
    tuned = (0.5, 0.1, [0.7, 0.7], [0.7, 0.7], [1.0, 1.0])
    runs = sgd_rows(lucky, tuned)
    assert chosen_setting(runs) == (0.5, 0.1)
    # It is drawn where settings of one beta are compared.
    by_beta = selection.select(runs, ["method", "beta"])
    assert by_beta.groupby("beta")["seed"].nunique().to_dict() == {0.5: 2, 1.0: 1}
    # Another run may have fewer seeds.
    other = sgd_rows(lucky).assign(run="other")
    assert set(selection.select(pd.concat([runs, other]))["run"]) == {"other"}


def test_candidates_are_known_after_a_round_trip(runs, tmp_path):
    mixed = runs.assign(candidate=runs["run"] != "k5")
    artifacts.write_table(tmp_path / "runs.csv", mixed, {})
    again = selection.candidates(artifacts.read_all([tmp_path / "runs.csv"]))
    assert set(runs["run"]) - set(again["run"]) == {"k5"}


def test_ties_go_to_the_larger_beta_and_then_the_smaller_learning_rate():
    # The sums of these three differ in the last bit with their order, and are equal all the same.
    same, reordered = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    rest = ([0.5] * 3, [1] * 3)
    runs = sgd_rows((0.1, 0.1, same, *rest), (0.2, 0.3, same, *rest), (0.2, 0.1, reordered, *rest))
    assert chosen_setting(runs) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("validation", "objective"),
    [([0.99, 0.99], [1, np.nan]), ([0.99, np.nan], [1, 1]), ([0.99, 0.99], [1, np.inf])],
)
def test_a_setting_with_one_diverged_seed_is_never_chosen(validation, objective):
    diverged = (0.5, 0.9, validation, [0.9, 0.9], objective)
    stable = (0.1, 0.1, [0.2, 0.2], [0.2, 0.2], [1, 1])
    assert chosen_setting(sgd_rows(diverged, stable)) == (0.1, 0.1)


def test_without_validation_data_nothing_is_chosen():
    runs = sgd_rows((0.1, 0.1, [np.nan, np.nan], [0.9, 0.9], [1, 1]))
    with pytest.raises(ValueError, match="validation"):
        selection.methods(runs)


def test_a_method_that_always_diverged_is_an_error_not_a_gap():
    runs = sgd_rows((0.1, 0.1, [np.nan, np.nan], [0.1, 0.1], [np.nan, np.nan]))
    with pytest.raises(ValueError, match="smaller learning rates"):
        selection.methods(runs)


def test_methods_has_the_mean_and_standard_deviation_over_seeds():
    runs = sgd_rows((0.1, 0.1, [0.5] * 3, [0.4, 0.5, 0.6], [1, 2, 6]))
    (row,) = selection.methods(runs).itertuples()
    assert row.seeds == 3
    assert row.test_accuracy_mean == pytest.approx(0.5)
    assert row.test_accuracy_std == pytest.approx(0.1)  # sqrt((.01 + 0 + .01) / 2)
    assert row.objective_mean == pytest.approx(3)
    assert row.objective_std == pytest.approx(7**0.5)  # sqrt((4 + 1 + 9) / 2)


def test_methods_says_whether_all_solves_are_certified(written):
    convex, sgd = written
    evaluations = digits_like.evaluations(convex, uncertified={("full", 1, 0.1)})
    methods = selection.methods(selection.collect(evaluations, sgd)).set_index("method")
    assert methods.loc["convex", "certified"] is False
    assert methods.loc["convex-truncated", "certified"] is True
    assert np.isnan(methods.loc["SGD", "certified"])


def test_methods_are_listed_in_their_order(runs):
    assert tuple(selection.methods(runs)["method"]) == tuple(methods.METHODS)


def test_tables_survive_the_disk(runs, tmp_path):
    artifacts.write_table(tmp_path / "runs.csv", runs, {})
    again = artifacts.read_all([tmp_path / "runs.csv"])
    # Words that were read have a type of their own, and so have those that are missing.
    expected, found = (selection.methods(some).fillna({"optimizer": ""}) for some in (runs, again))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_over_time_of_straight_lines_is_their_mean():
    # Two seeds, both linear in log time: 0 + log10(t) and 1 + log10(t).
    first = pd.DataFrame({"seed": 0, "seconds": [0.0, 1, 100], "test_accuracy": [9.0, 0, 2]})
    second = pd.DataFrame({"seed": 1, "seconds": [0.0, 10, 1000], "test_accuracy": [9.0, 2, 4]})
    curve = histories.over_time(pd.concat([first, second]), ["test_accuracy"])
    assert list(curve["seconds"]) == [10, 100, 1000]
    # At 1000 s the first seed has stopped and keeps its last value, 2.
    np.testing.assert_allclose(curve["test_accuracy_mean"], [1.5, 2.5, 3.0], atol=1e-12)
    np.testing.assert_allclose(curve["test_accuracy_std"], np.array([1, 1, 2]) / 2**0.5, atol=1e-12)


def test_over_time_of_one_seed_has_no_spread():
    history = pd.DataFrame({"seed": 0, "seconds": [1.0, 2], "test_accuracy": [0.1, 0.2]})
    assert histories.over_time(history, ["test_accuracy"])["test_accuracy_std"].isna().all()


def test_over_time_of_few_evaluations_lies_on_the_whole_curve(written):
    convex, _ = written
    measures = ["test_accuracy", "train_loss"]
    rows = convex[(convex["run"] == "k5")]
    whole, few = histories.over_time(rows, measures), histories.over_time(rows, measures, kept=7)
    assert len(few) == 7
    assert few["seconds"].iloc[[0, -1]].tolist() == whole["seconds"].iloc[[0, -1]].tolist()
    pd.testing.assert_frame_equal(few.merge(whole), few)


def test_a_setting_s_history_is_its_own(runs, written):
    for setting in selection.methods(runs).itertuples():
        rows = histories.leading_to(setting, *written)
        assert set(rows["run"]) == {setting.run}
        assert rows["beta"].min() == pytest.approx(setting.beta)
        if setting.method in methods.SOLVED:
            assert rows["beta"].max() == 1  # the start of the path
        else:
            assert set(rows["learning_rate"]) == {setting.learning_rate}
            assert rows["beta"].nunique() == 1


def test_a_tuned_setting_s_history_leaves_out_the_path_of_the_tuning_seeds(runs, written):
    convex, sgd = written
    (setting,) = (row for row in selection.methods(runs).itertuples() if row.method == "convex")
    tuned = convex[np.isclose(convex["beta"], setting.beta) | (convex["seed"] == 0)]
    rows = histories.leading_to(setting, tuned, sgd)
    assert set(rows["beta"]) == {setting.beta}
    assert set(rows["seed"]) == set(convex["seed"]) - {0} != set()
    assert (convex["beta"] > setting.beta).any()  # or the test could not fail


@pytest.mark.parametrize(
    ("count", "most", "kept"), [(3, 5, 3), (100, 7, 7), (5, 5, 5), (9, None, 9)]
)
def test_thinning_keeps_both_ends_and_spreads(count, most, kept):
    rows = np.arange(count)
    some = histories.thinned(rows, most)
    assert len(some) == kept
    assert (some[0], some[-1]) == (0, count - 1)
    steps = np.diff(some)
    assert steps.max() - steps.min() <= 1
    frame = histories.thinned(pd.DataFrame({"a": rows}, index=rows[::-1]), most)
    np.testing.assert_array_equal(frame["a"], some)


def test_rounding_keeps_six_digits_and_everything_else():
    frame = pd.DataFrame({"x": [1 / 3, 1e-9 / 7, np.nan], "n": [1, 2, 3], "words": ["a", "b", ""]})
    again = artifacts.rounded(frame)
    assert again["x"].tolist()[:2] == [0.333333, 1.42857e-10]
    assert np.isnan(again["x"][2])
    pd.testing.assert_frame_equal(again[["n", "words"]], frame[["n", "words"]])


def test_the_repository_publishes_no_value_of_its_own(request):
    frame = artifacts.read_table(request.config.rootpath / "config" / "published.csv")
    assert list(frame.columns) == ["dataset", "method", "test_accuracy", "source"]
    assert methods.published(frame, "cifar10").empty


@pytest.mark.parametrize(
    ("field", "value"), [("test_accuracy", 43.2), ("method", "Adam"), ("source", np.nan)]
)
def test_published_values_are_checked(field, value):
    row = {"dataset": "d", "method": "SGD", "test_accuracy": 0.4, "source": "Some et al."}
    assert len(methods.published(digits_like.published(**row), "d")) == 1
    with pytest.raises(ValueError, match="published values"):
        methods.published(digits_like.published(**{**row, field: value}), "d")


def test_the_rendered_table_is_in_percent_and_stands_alone():
    runs = sgd_rows((0.1, 0.1, [0.5] * 3, [0.4, 0.5, 0.6], [1, 2, 6]))
    page = pages.methods_page(selection.methods(runs))
    assert "50.0 ± 10.0" in page
    assert "†" not in page
    assert "http" not in page


def test_the_rendered_table_marks_uncertified_solves(written):
    convex, sgd = written
    evaluations = digits_like.evaluations(convex, uncertified={("full", 1, 0.1)})
    page = pages.methods_page(selection.methods(selection.collect(evaluations, sgd)))
    assert "convex †" in page
    assert "convex-truncated †" not in page
    assert "not certified" in page


def test_pages_escape_what_they_print():
    page = pages.page(pd.DataFrame({"a": ["x < y"]}), "t", "b > 5")
    assert "x &lt; y" in page
    assert "b &gt; 5" in page


def test_best_rows_are_those_of_the_setting_without_a_diverged_seed():
    """The second does best, but one of its seeds diverged with a finite accuracy."""
    rows = pd.DataFrame(
        {
            "learning_rate": [0.1, 0.1, 0.2, 0.2, 0.3, 0.3],
            "seed": [0, 1] * 3,
            "validation_accuracy": [0.6, 0.4, 0.9, 0.9, 0.3, 0.5],
            "diverged": [False, False, False, True, False, False],
        }
    )
    found = selection.best_rows(rows, ["learning_rate"])
    assert found.equals(rows.iloc[:2])
    assert selection.best_rows(rows.assign(diverged=True), ["learning_rate"]).empty


def test_sgd_runs_that_are_aside_are_no_candidates(written):
    convex, sgd = written
    runs = selection.collect(digits_like.evaluations(convex), sgd, aside=["bn"])
    assert set(runs.loc[~runs["candidate"], "run"]) == {"bn"}
