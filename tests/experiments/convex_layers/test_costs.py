"""Times are those of every program, tolerance and repetition, after a call that does not count."""

from collections import Counter

from convexbn.experiments.convex_layers import costs
from convexbn.experiments.convex_layers.training_programs import Terms

CASES = [Terms("squared", "group", True), Terms("cross_entropy", "nuclear", True)]
SETTINGS = {
    **{"samples": [12, 16], "d": 2, "gates": 2, "classes": 3, "beta": 0.3},
    **{"tolerances": [1e-4, 1e-2], "repeats": 2},
}


def test_each_program_and_tolerance_is_timed_as_often():
    rows = costs.measure(SETTINGS, CASES, seed=0)
    found = Counter((r["loss"], r["penalty"], r["n"], r["tolerance"]) for r in rows)
    assert found == {(*t[:2], n, tol): 2 for t in CASES for n in (12, 16) for tol in (1e-4, 1e-2)}
    assert all(row["forward_s"] > 0 and row["backward_s"] > 0 for row in rows)


def test_each_call_starts_from_zero_weights_and_the_first_does_not_count(monkeypatch):
    layers = []

    def times(program, tol):
        layers.append((len(program.U), program.terms, tol))
        return {"forward_s": len(layers), "backward_s": 0}

    monkeypatch.setattr(costs, "_times", times)
    rows = costs.measure(SETTINGS, CASES, seed=0)
    assert layers[0] == (12, CASES[0], 1e-2)
    assert [row["forward_s"] for row in rows] == list(range(2, 18))
