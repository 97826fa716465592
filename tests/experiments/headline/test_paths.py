"""Solutions that were found are kept, each by itself, and found again where they still hold."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from headline_runs import SEEDS, make_features, make_run

from convexbn.experiments.headline import paths
from convexbn.experiments.headline.paths import Paths
from convexbn.experiments.headline.stages import solve_run
from convexbn.programs.solutions import NotFiniteError, UncertifiedError
from convexbn.solvers.gated import proximal_point, semismooth
from convexbn.training import checkpoints
from convexbn.training.checkpoints import Checkpoint, Parts


class KilledError(Exception):
    pass


@pytest.fixture
def made(monkeypatch):
    """The solves that are made: (s, beta)."""
    found, take = [], Paths._next

    def recorded(paths, path, s):
        solved = take(paths, path, s)
        found.append((s, solved.solution.beta))
        return solved

    monkeypatch.setattr(Paths, "_next", recorded)
    return found


def assert_same(found, expected):
    """Bit for bit, but for the clock."""
    (solutions, rows), (others, history) = found, expected
    assert solutions.keys() == others.keys()
    for name in solutions.keys() - {"seconds"}:
        np.testing.assert_array_equal(solutions[name], others[name])
    timeless = [[{**row, "seconds": 0} for row in table] for table in (rows, history)]
    assert timeless[0] == timeless[1]
    assert (np.isnan(solutions["seconds"]) == np.isnan(others["seconds"])).all()


@pytest.mark.parametrize("settings", [{}, {"tuning_seeds": 1}])
def test_a_killed_run_solves_nothing_twice_and_gives_the_same(
    settings, made, monkeypatch, tmp_path
):
    """It is killed after each solve in turn. Betas lie far apart."""
    run, folder = make_run(betas=(20.0, 1.0, 0.01), **settings), tmp_path / "run.parts"
    expected = solve_run(run)
    once, save = made.copy(), Parts.save
    made.clear()

    def mortal(parts, work, part):
        save(parts, work, part)
        raise KilledError

    monkeypatch.setattr(Parts, "save", mortal)
    for _ in once:
        with pytest.raises(KilledError):
            solve_run(run, Parts(folder))
    found = solve_run(run, Parts(folder))
    assert made == once
    assert_same(found, expected)
    # Each is on a clock of its own, as long as it took.
    assert {row["seconds"] for row in found[1]}.isdisjoint({row["seconds"] for row in expected[1]})


# Settings of the run, and constants of the solver.
KINDS = {
    "classes side by side": ({}, {}),
    "one class after the other": ({}, {(proximal_point, "columns_at_once"): lambda *_, **__: 1}),
    "iterates in float32 at first": ({}, {(semismooth, "_LARGE"): 0}),
    "Newton systems in float64 at last": ({}, {(proximal_point, "_PATIENCE"): 2}),
    "damped loss": ({"loss": "cross_entropy"}, {}),
    "blocks of all classes": ({"penalty": "nuclear", "tolerance": 1e-4}, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_in_each_round_of_a_solve_gives_the_same(kind, monkeypatch, tmp_path):
    """After each state that is kept it is killed, and makes one more round when started again."""
    settings, constants = KINDS[kind]
    for (module, name), value in constants.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))
    run, folder = make_run(betas=(2.0, 0.3), **settings), tmp_path / "run.parts"
    expected = solve_run(run)
    save, begun = Checkpoint.save, 0

    def mortal(checkpoint, state, last=False):
        save(checkpoint, state, last)
        raise KilledError

    monkeypatch.setattr(Checkpoint, "save", mortal)
    while True:
        begun += 1
        try:
            found = solve_run(run, Parts(folder))
        except KilledError:
            continue
        break
    assert begun == 1 + int(expected[0]["iterations"].sum())
    assert_same(found, expected)
    # The clock of a solve goes on, too.
    for seed in SEEDS:
        for beta in run.settings.betas:
            rows = [r for r in found[1] if (r["seed"], r["beta"]) == (seed, beta)]
            assert sorted(rows, key=lambda row: row["seconds"]) == rows


def test_the_state_of_other_limits_is_not_gone_on_from(monkeypatch, tmp_path):
    """With fewer iterations allowed the solve would have ended before it."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))
    run, parts, save = make_run(betas=(0.3,)), Parts(tmp_path / "parts"), Checkpoint.save
    expected, _ = solve_run(run)

    def mortal(checkpoint, state, last=False):
        save(checkpoint, state, last)
        if state()["solve"]["iterations"] == 3:
            raise KilledError

    monkeypatch.setattr(Checkpoint, "save", mortal)
    with pytest.raises(KilledError):
        solve_run(run, parts)
    monkeypatch.setattr(Checkpoint, "save", save)
    hasty = with_settings(run, max_iterations=2, allow_uncertified=True)
    found, _ = solve_run(hasty, parts)
    assert (found["iterations"] == 2).all()
    assert (expected["iterations"] > 3).all()


def test_one_more_seed_and_a_smaller_beta_cost_no_more_than_themselves(made, tmp_path):
    large, parts = make_run(betas=(2.0, 1.0)), Parts(tmp_path / "parts")
    small = replace(
        large,
        settings=replace(large.settings, betas=(2.0,), max_iterations=50, allow_uncertified=True),
        **{"seeds": SEEDS[:1], "gates": large.gates[:1], "setup_seconds": [1.0]},
    )
    solve_run(small, parts)
    made.clear()
    found = solve_run(large, parts)
    assert made == [(0, 1.0), (1, 2.0), (1, 1.0)]
    assert_same(found, solve_run(large))
    # The clock begins at the setup of now.
    assert (found[0]["seconds"] > large.setup_seconds[:, None]).all()


def of_other_data(run):
    features = {**run.features, "X_test": run.features["X_test"] + np.float32(1e-3)}
    return replace(run, features=features)


OTHERS = {
    "a larger beta before": lambda run: with_settings(run, betas=(3.0, 1.0)),
    "tolerance": lambda run: with_settings(run, tolerance=1e-5),
    "loss": lambda run: with_settings(run, loss="cross_entropy"),
    "gates": lambda run: replace(run, gates=run.gates[:, :, ::-1].copy()),
    "data": of_other_data,
}


def with_settings(run, **changed):
    return replace(run, settings=replace(run.settings, **changed))


@pytest.mark.parametrize("name", OTHERS)
def test_a_solution_that_rests_on_something_else_is_not_taken(name, made, tmp_path):
    run, parts = make_run(betas=(1.0,)), Parts(tmp_path / "parts")
    solve_run(run, parts)
    made.clear()
    solve_run(OTHERS[name](run), parts)
    assert (0, 1.0) in made


def test_code_that_has_changed_solves_anew(made, monkeypatch, tmp_path):
    run, parts = make_run(betas=(1.0,)), Parts(tmp_path / "parts")
    solve_run(run, parts)
    print_of = paths.fingerprint
    monkeypatch.setattr(paths, "fingerprint", lambda *a: "edited " + print_of(*a))
    made.clear()
    solve_run(run, parts)
    assert len(made) == len(SEEDS)


def test_missed_tolerances_are_named_when_all_others_are_solved(made, tmp_path):
    """The last beta misses it, of both seeds: the message names them and what to do."""
    run, parts = make_run(betas=(2.0, 0.1)), Parts(tmp_path / "parts")
    expected, _ = solve_run(run)
    most = int(expected["iterations"][:, 0].max())
    assert most < expected["iterations"][:, 1].min()
    hasty = with_settings(run, max_iterations=most)
    with pytest.raises(UncertifiedError) as caught:
        solve_run(hasty, parts)
    said = re.findall(r"seed (\d), beta (\S+): relative gap .* at most 1e-06", str(caught.value))
    assert said == [("7", "0.1"), ("3", "0.1")]
    made.clear()
    # Solved again they miss it again: that is known.
    with pytest.raises(UncertifiedError, match=r"seed 7, beta 0\.1"):
        solve_run(hasty, parts)
    solve_run(with_settings(hasty, allow_uncertified=True), parts)
    assert not made
    found = solve_run(run, parts)
    assert made == [(0, 0.1), (1, 0.1)]
    np.testing.assert_array_equal(found[0]["weights.1.1"], expected["weights.1.1"])


def test_what_follows_a_missed_tolerance_is_solved_again_with_it(made, tmp_path):
    """It starts from there: the numbers are those of a run without the miss."""
    run, parts = make_run(betas=(2.0, 1.0)), Parts(tmp_path / "parts")
    with pytest.raises(UncertifiedError, match="seed 7, beta 2"):
        solve_run(with_settings(run, max_iterations=2), parts)
    assert_same(solve_run(run, parts), solve_run(run))


@pytest.mark.parametrize("allowed", [True, False])
def test_numbers_that_are_not_finite_are_an_error_of_their_own_and_never_kept(
    allowed, monkeypatch, tmp_path
):
    run, parts = make_run(allow_uncertified=allowed), Parts(tmp_path / "parts")
    solutions = paths.solutions

    def broken(*data, **options):
        for solution in solutions(*data, **options):
            bad = solution.beta == 1.0
            yield replace(solution, weights=solution.weights * np.nan) if bad else solution

    monkeypatch.setattr(paths, "solutions", broken)
    words = r"seed 7, beta 1: expected finite numbers .*, got NaN or infinities .* larger beta"
    with pytest.raises(NotFiniteError, match=words):
        solve_run(run, parts)
    (kept,) = parts.folder.iterdir()
    part = torch.load(kept, weights_only=True)["state"]
    assert part["beta"] == 2.0
    assert part["weights"].isfinite().all()


def test_an_interrupt_ends_a_run_and_what_it_gives_back_is_not_kept(monkeypatch, tmp_path):
    """The library's best so far is no solution of the run."""
    run, parts = make_run(betas=(2.0, 1.0)), Parts(tmp_path / "parts")
    solutions = paths.solutions

    def interrupted(*data, callback, **options):
        def interrupting(snapshot):
            callback(snapshot)
            if snapshot.beta == 1.0:
                raise KeyboardInterrupt

        return solutions(*data, callback=interrupting, **options)

    monkeypatch.setattr(paths, "solutions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solve_run(run, parts)
    (kept,) = parts.folder.iterdir()
    assert torch.load(kept, weights_only=True)["state"]["beta"] == 2.0


def test_a_truncated_part_is_named(tmp_path):
    run, parts = make_run(make_features(), betas=(1.0,)), Parts(tmp_path / "parts")
    solve_run(run, parts)
    for file in parts.folder.iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"parts/\w+ is not a checkpoint, .*; remove it"):
        solve_run(run, parts)
    parts.remove()
    solve_run(run, parts)
