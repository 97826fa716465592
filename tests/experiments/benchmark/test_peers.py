"""The adapters of the peers solve the problem that they are given."""

from contextlib import suppress

import pytest
from benchmark_cases import Judge

from convexbn import solve
from convexbn.experiments.benchmark import clocks, peers
from convexbn.experiments.benchmark.problems import small

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
    if model == "relu" and name in ("fista", "skglm", "celer", "adelie"):
        pytest.skip("a group lasso has no cones")
    problem = small(model, C)
    optimum = solve(problem.U, problem.D, problem.Y, problem.beta, model=model).certificate
    run = peers.SOLVERS[name].prepare(problem, 1e-6)
    # After the imports of the peers, which take seconds and would use up its patience.
    judge = Judge()
    with suppress(clocks.Stopped):
        run(clocks.Recorder(judge))
    found = [problem.certify(weights, **witness) for *_, weights, witness in judge.points]
    errors = [max(c.objective / optimum.objective - 1, c.violation) for c in found]
    # The tightest of the solvers' own tolerances, or float32: pyscnn's augmented Lagrangian is the
    # least accurate.
    assert min(errors) <= (1e-3 if (name, model) == ("pyscnn", "relu") else 1e-5)
    assert all(c.objective >= optimum.dual_objective * (1 - 1e-9) for c in found if not c.violation)


def test_plain_proximal_gradient_is_for_the_gated_program():
    with pytest.raises(ValueError, match="fista is for model 'gated', got 'relu'"):
        peers.SOLVERS["fista"].prepare(small("relu", 1), 1e-6)


def test_multipliers_of_cvxpy_certify_its_weights():
    problem, judge = small("relu", 1), Judge()
    peers.SOLVERS["clarabel"].prepare(problem, None)(clocks.Recorder(judge))
    # Its last tolerance is 1e-8; without multipliers the gap is that of a looser program.
    *_, weights, witness = judge.points[-1]
    assert problem.certify(weights, **witness).relative_gap <= 1e-6
    assert problem.certify(weights).relative_gap > 1e-3


def test_a_peer_that_is_not_installed_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda module: None)
    with pytest.raises(ModuleNotFoundError, match=r"--no-deps -r requirements-benchmark\.lock"):
        peers.check_installed(["pyscnn"])
    with pytest.raises(ValueError, match="solver must be one of"):
        peers.check_installed(["adam"])
