"""The benchmark: problems, adapters of the peers, the judge, the tables, and the DAG."""

import time
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import yaml
from sweep_features import make_features
from workflow_runs import ROOT, jobs, snakemake

from convexbn import solve, whiten
from convexbn.experiments.benchmark import cases, clocks, engine, figures, peers, race, tables
from convexbn.experiments.benchmark.passes import passes
from convexbn.experiments.benchmark.problems import RaceProblem, build, small
from convexbn.pipeline import artifacts
from convexbn.programs.gated import forward
from convexbn.reporting import plotting

SETTINGS = {"seconds": 20, "memory": 4000, "threads": 1, "repeats": 1}
SETTINGS |= {"target": 1e-4, "tolerance": 1e-6}
ENGINE = {"width": 2, "batch_size": 5, "epochs": 1, "networks": [1, 2]}


def features(n=20, d=6, C=3):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return {"X_train": X, "Y_train": np.eye(C, dtype=np.float32)[rng.integers(C, size=n)]}


def built(**entry) -> RaceProblem:
    data = features()
    return build({"gates": 5, "beta": 0.3} | entry, data, whiten(data["X_train"]).tensors(), 0)


class Judge:
    """Keeps what a solver shows, and lets it go on for some seconds."""

    def __init__(self, patience=2.0):
        self.points, self.until = [], time.monotonic() + patience

    def send(self, message):
        self.points.append(message[1:])

    def recv(self):
        return time.monotonic() < self.until


@pytest.mark.parametrize("entry", [{}, {"n": 12, "rank": 3, "outputs": 2}])
def test_beta_is_a_share_of_the_one_at_which_the_weights_are_zero(entry):
    at_most, below = (built(**entry, beta=share) for share in (1.0001, 0.9))
    for problem, is_zero in ((at_most, True), (below, False)):
        W = solve(problem.U, problem.D, problem.Y, problem.beta).weights
        assert np.allclose(W, 0, atol=1e-9) == is_zero


def test_a_problem_takes_the_first_samples_directions_and_outputs():
    problem, data = built(n=12, rank=3, outputs=2), features()
    assert problem.shape == (12, 4, 5, 2)
    expected = whiten(data["X_train"][:12], rank=3).U
    np.testing.assert_array_equal(problem.U, expected)
    np.testing.assert_array_equal(problem.Y, data["Y_train"][:12, :2])


@pytest.mark.parametrize("entry", [{"n": 21}, {"outputs": 4}, {"rank": 7}])
def test_a_problem_larger_than_its_data_is_refused(entry):
    with pytest.raises(ValueError, match="must be from"):
        built(**entry)


def test_a_problem_survives_its_file(tmp_path):
    problem = built()
    artifacts.save_tensors(tmp_path / "problem.safetensors", problem.tensors(), {})
    again = RaceProblem.read(tmp_path / "problem.safetensors", "gated")
    assert again.beta == problem.beta
    np.testing.assert_array_equal(again.D, problem.D)


def test_the_formed_design_is_that_of_the_program():
    import torch

    problem = built()
    _, p, P, _ = problem.shape
    W = np.random.default_rng(1).standard_normal((p, P, 1))
    expected = forward(*map(torch.as_tensor, (problem.U, problem.D, W))).numpy()
    # A flat vector of blocks, one after the other.
    np.testing.assert_allclose(problem.design() @ W.transpose(1, 0, 2).reshape(-1, 1), expected)


INSTALLED = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            peers.find_spec(peer.module) is None, reason=f"{peer.package} is not installed"
        ),
    )
    for name, peer in peers.SOLVERS.items()
]


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize(("model", "C"), [("gated", 1), ("gated", 3), ("relu", 1)])
def test_every_solver_solves_the_same_problem(name, model, C):
    """Weights come back in our order, and beta goes out in the solver's units."""
    if model == "relu" and name in ("skglm", "celer"):
        pytest.skip("a group lasso has no cones")
    problem, judge = small(model, C), Judge()
    optimum = solve(problem.U, problem.D, problem.Y, problem.beta, model=model).certificate
    run = peers.SOLVERS[name].prepare(problem, 1e-6)
    with suppress(clocks.Stopped):
        run(clocks.Recorder(judge))
    found = [problem.certify(weights, **witness) for *_, weights, witness in judge.points]
    errors = [max(c.objective / optimum.objective - 1, c.violation) for c in found]
    # The tightest of the solvers' own tolerances, or float32: pyscnn's augmented Lagrangian is the
    # least accurate.
    assert min(errors) <= (1e-3 if (name, model) == ("pyscnn", "relu") else 1e-5)
    assert all(c.objective >= optimum.dual_objective * (1 - 1e-9) for c in found if not c.violation)


def test_multipliers_of_cvxpy_certify_its_weights():
    problem, judge = small("relu", 1), Judge()
    peers.SOLVERS["clarabel"].prepare(problem, None)(clocks.Recorder(judge))
    # Its last tolerance is 1e-8; without multipliers the gap is that of a looser program.
    *_, weights, witness = judge.points[-1]
    assert problem.certify(weights, **witness).relative_gap <= 1e-6
    assert problem.certify(weights).relative_gap > 1e-3


def test_a_peer_that_is_not_installed_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda module: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -r requirements-benchmark\.lock"):
        peers.check_installed(["pyscnn"])
    with pytest.raises(ValueError, match="solver must be one of"):
        peers.check_installed(["adam"])


def test_the_clock_stands_still_while_the_judge_works(monkeypatch):
    now, judge = [0.0], Judge()
    monkeypatch.setattr("convexbn.solvers.snapshots.time.perf_counter", lambda: now[0])
    recorder = clocks.Recorder(judge)

    def weights():
        now[0] += 100
        return np.zeros(1)

    for _ in range(3):
        now[0] += 1
        recorder.show(weights)
    assert [point[0] for point in judge.points] == [1, 2, 3]


def test_points_are_as_dense_early_as_late_and_the_last_is_never_left_out(monkeypatch):
    now, judge = [0.0], Judge()
    monkeypatch.setattr("convexbn.solvers.snapshots.time.perf_counter", lambda: now[0])
    recorder = clocks.Recorder(judge)
    for tick in range(1, 10_000):
        now[0] = 0.01 * tick
        recorder.show(lambda: np.zeros(1))
    recorder.show(lambda: np.ones(1), final=True)
    seconds = np.array([point[0] for point in judge.points])
    # Points come at the first tick after the time has grown by 15 %.
    assert (seconds[1:-1] / seconds[:-2] >= 1.15 - 1e-9).all()
    assert len(seconds) < np.log(10_000) / np.log(1.15)
    assert judge.points[-1][2] == 1


@pytest.fixture
def stored(tmp_path):
    problem = built(outputs=1)
    artifacts.save_tensors(tmp_path / "problem.safetensors", problem.tensors(), {})
    return problem, tmp_path / "problem.safetensors"


def measured(stored, solver="convexbn", bound=None, **settings) -> pd.DataFrame:
    return race.measure(*stored, "toy", solver, SETTINGS | settings, bound)


def test_a_race_is_judged_by_the_referee(stored):
    runs = measured(stored, repeats=2)
    assert set(runs["repeat"]) == {0, 1}
    assert set(runs["status"]) == {tables.ENDED}
    last = runs.groupby("repeat").tail(1)
    assert (last["relative_gap"] <= SETTINGS["tolerance"]).all()
    assert (runs["objective"] >= runs["dual_objective"].max()).all()
    assert (runs["peak_memory"] >= 0).all()
    # Above the level before: less than the interpreter with PyTorch, which takes 0.3 GB and more.
    assert (runs["peak_memory"] < 2e8).all()
    # Wide of the target a peer is stopped at once.
    bound = runs["dual_objective"].max()
    assert set(measured(stored, bound=bound, target=1e9)["status"]) == {tables.SOLVED}


def sleeper(words):
    """Return a contestant module that does something else instead of solving."""
    return f"import sys, time; from multiprocessing.connection import Connection; {words}"


CONNECTED = "c = Connection(int(sys.argv[1])); c.send(('start', 0)); "


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (CONNECTED + "time.sleep(60)", r"time limit 0\.5 s$"),
        ("time.sleep(60)", r"time limit 0\.5 s, before it started"),
        (CONNECTED + "x = bytearray(3 * 10**8); time.sleep(60)", r"out of memory \(150 MB\)"),
        (CONNECTED + "raise ArithmeticError('no step')", "failed: ArithmeticError: no step"),
        (CONNECTED + "c.send(('failed', 'out of memory'))", "out of memory"),
        (CONNECTED + "import os; os.kill(os.getpid(), 9)", "out of memory"),
    ],
)
def test_what_goes_wrong_is_in_the_table_and_is_not_repeated(words, status, stored, monkeypatch):
    module = stored[1].parent / "impostor.py"
    module.write_text(sleeper(words))
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    monkeypatch.setattr(race.contestant, "__name__", "impostor")
    limits = {"seconds": 0.5, "memory": 150, "repeats": 3}
    runs = measured(stored, solver="pyscnn", **limits)
    assert len(runs) == 1
    assert pd.Series(runs["status"]).str.match(status).all(), runs["status"]
    assert runs["objective"].isna().all()


def test_a_failure_of_this_library_is_an_error(stored):
    with pytest.raises(RuntimeError, match="failed"):
        measured(stored, tolerance="none")


def runs_of(points) -> pd.DataFrame:
    """Return a table of runs from (solver, repeat, seconds, objective, violation, status)."""
    columns = ["solver", "repeat", "seconds", "objective", "violation", "status"]
    frame = pd.DataFrame(points, columns=columns).assign(problem="toy", peak_memory=3e6)
    frame["dual_objective"] = np.where(frame["solver"] == "convexbn", 100.0, 50.0)
    return frame.reindex(columns=tables.RUNS)


TOY = runs_of(
    [
        ("convexbn", 0, 1.0, 110.0, 0, tables.ENDED),
        ("convexbn", 0, 2.0, 100.05, 0, tables.ENDED),
        ("convexbn", 1, 1.5, 100.05, 0, tables.ENDED),
        ("convexbn", 2, 4.0, 100.05, 0, tables.ENDED),
        ("pyscnn", 0, 6.0, 90.0, 0.5, "time limit 60 s"),  # below the optimum, outside of a cone
        ("pyscnn", 0, 20.0, 100.5, 0.001, "time limit 60 s"),
        ("scs", 0, np.nan, np.nan, np.nan, "out of memory"),
    ]
)


def test_times_are_medians_of_first_times_with_ratios():
    found = tables.times(TOY, [1e-2, 1e-3]).set_index(["solver", "accuracy"])
    ours, peer = found.loc[("convexbn", 1e-2)], found.loc[("pyscnn", 1e-2)]
    assert ours[["seconds", "least", "most", "repeats"]].tolist() == [2.0, 1.5, 4.0, 3]
    assert peer[["seconds", "ratio_to_ours", "ratio_to_fastest"]].tolist() == [20, 10, 10]
    assert found.loc[("pyscnn", 1e-3), "status"] == "time limit 60 s"
    assert np.isnan(found.loc[("pyscnn", 1e-3), "seconds"])
    assert found.loc[("scs", 1e-2), "status"] == "out of memory"
    assert tables.times(TOY, [1e-4]).loc[0, "status"] == "ended above it"


def test_excesses_are_over_the_best_bound_of_any_solver():
    excess = tables.curves(TOY)["relative_excess"]
    np.testing.assert_allclose(excess, [0.1, 5e-4, 5e-4, 5e-4, -0.1, 0.005])


def test_exponents_are_those_of_a_power_law():
    scaling = {"base": {"n": 100, "rank": 5}, "vary": {"n": [100, 200, 400], "rank": [5, 10]}}
    points = cases.scaling_points(scaling)
    assert points["n", 100] == points["rank", 5]
    assert cases.scaling_cases(scaling)[points["rank", 10]] == {"n": 100, "rank": 10}
    seconds = {name: (n / 100) ** 1.5 for (size, n), name in points.items() if size == "n"}
    seconds[points["rank", 10]] = 4.0
    rows = [
        replaced.assign(problem=name)
        for name, time in seconds.items()
        for replaced in [runs_of([("convexbn", 0, time, 100.0, 0, tables.ENDED)])]
    ]
    table = tables.scaling(pd.concat(rows), points, 1e-4)
    exponents = table.groupby("size")["exponent"].first()
    np.testing.assert_allclose(exponents[["n", "rank"]], [1.5, 2.0])


def columns_table() -> pd.DataFrame:
    """Two rounds of column generation and a solve over sampled gates, made by hand."""
    ways = [(tables.GENERATED, 2, 0.1, 1e-2), (tables.GENERATED, 3, 0.2, 0.0)]
    ways += [(tables.SAMPLED, 8, 0.3, 1e-3)]
    table = pd.DataFrame(ways, columns=["method", "gates", "seconds", "relative_excess"])
    last = [False, True, True]
    known = {"n": 20, "rank": 3, "share": 0.1, "neurons": table["gates"]}
    return table.assign(**known, last=last, converged=last)


def test_every_figure_is_drawn_from_its_table(tmp_path):
    points = {("n", 10): "toy", ("n", 20): "other"}
    both = pd.concat([TOY, TOY.assign(problem="other")])
    made = {
        "curves": tables.curves(both),
        "times": tables.times(both, [1e-2, 1e-4]),
        "memory": tables.memory(both),
        "scaling": tables.scaling(both, points, 1e-2),
        "passes": passes({"toy": small("gated", 1)}, repeats=1, seconds=0.001),
        "columns": columns_table(),
        "engine": engine.compare("tiny", ENGINE, make_features(), repeats=1),
    }
    assert made.keys() == figures.FIGURES.keys()
    columns = {"scaling": "size", "passes": "pass", "columns": "method", "engine": "method"}
    for name, table in made.items():
        column = columns.get(name, "solver")
        changed = table.replace({column: {table[column].iloc[0]: "brand-new"}})
        with pytest.raises(ValueError, match="'brand-new'"):
            figures.FIGURES[name](changed)
    for name, table in made.items():
        paths = tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"
        plotting.save(figures.FIGURES[name](table), *paths, {})
        assert all(path.stat().st_size > 1000 for path in paths)


@pytest.mark.slow
def test_the_benchmark_runs_through_the_dag_and_resumes(tmp_path):
    config = ROOT / "config" / "benchmark-smoke.yaml"
    folder = tmp_path / "results/benchmark-smoke/benchmark"
    target = "results/benchmark-smoke/benchmark/times.csv"
    snakemake(target, "--configfile", config, directory=tmp_path)
    times = artifacts.read_table(folder / "times.csv")
    asked = yaml.safe_load(config.read_text())["benchmark"]
    assert len(times) == 2 * len(asked["accuracies"])
    assert (times["status"] == tables.SOLVED).all()
    assert len(artifacts.read_table(folder / "scaling.csv")) == 2
    (folder / "times.csv").unlink()
    left = jobs(snakemake("--dry-run", target, "--configfile", config, directory=tmp_path))
    assert left == {"benchmark_tables": 1, "total": 1}
