"""All ways to canonicalize make the same program; what is not installed is listed."""

import numpy as np
import pytest
import scs
from cvxpy.reductions.solvers.conic_solvers.scs_conif import dims_to_solver_dict

from convexbn.experiments.convex_layers import canonicalization
from convexbn.experiments.convex_layers.canonicalization import BACKENDS, PROGRAMS, SOLVERS

SETTINGS = {"tolerance": 1e-6, "repeats": 3}


def optimum(data) -> float:
    cone = {name: data[name] for name in ("A", "b", "c")}
    options = {"verbose": False, "eps_abs": 1e-9, "eps_rel": 1e-9}
    return scs.solve(cone, dims_to_solver_dict(data["dims"]), **options)["info"]["pobj"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("backend", ["CPP", "SCIPY", "COO"])
def test_every_way_makes_the_same_program(program, backend):
    """Also after other values were in the cached one."""
    rng, make = np.random.default_rng(0), PROGRAMS[program]
    ways = canonicalization._canonical_ways(make, backend)
    shapes = [parameter.shape for parameter in make()[1]]
    for _ in range(2):
        values = [rng.normal(size=shape) for shape in shapes]
        found = {way: optimum(prepare(values)()[0]) for way, prepare in ways.items()}
        assert found["cached"] == pytest.approx(found["without"], abs=1e-6)
        assert found["cached"] == pytest.approx(found["fresh"], abs=1e-6)


def test_every_backend_and_solver_has_its_rows():
    table = canonicalization.measure(SETTINGS, seed=0)
    assert list(table.columns) == canonicalization.COLUMNS
    for _, rows in table.groupby("program"):
        assert set(rows["backend"]) - {""} == set(BACKENDS)
        assert set(rows["solver"]) - {""} == set(SOLVERS)
    timed = table[table["installed"]]
    assert {"CPP", "SCIPY", "COO"} <= set(timed["backend"])
    assert "DIFFCP" in set(timed["solver"])
    assert (timed["ms"] > 0).all()
    assert table.loc[~table["installed"], "ms"].isna().all()
    keys = ["program", "stage", "backend", "solver", "way"]
    assert timed.groupby(keys)["repetition"].apply(list).map(lambda r: r == [0, 1, 2]).all()


def test_without_any_backend_nothing_is_timed(monkeypatch):
    monkeypatch.setattr(canonicalization, "_are_installed", lambda packages: False)
    table = canonicalization.measure(SETTINGS, seed=0)
    assert len(table) == len(PROGRAMS) * (len(BACKENDS) + len(SOLVERS))
    assert not table["installed"].any()
