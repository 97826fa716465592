"""The benchmark's section of the config: what cannot be raced is refused before the first job."""

import pytest

from convexbn.experiments.benchmark import cases

PROBLEM = {"dataset": "d", "gates": 8, "beta": 0.1, "peers": ["fista", "pyscnn"]}
RELU = PROBLEM | {"model": "relu", "peers": ["pyscnn", "clarabel", "scs"]}
SCALING = {"base": PROBLEM | {"rank": 4}, "vary": {"rank": [4, 8]}}
BENCHMARK = {"problems": {"gated": PROBLEM, "exact": RELU}, "scaling": SCALING}


def test_passes_are_those_of_problems():
    cases.check(BENCHMARK | {"passes": ["gated"]})
    with pytest.raises(ValueError, match="'nosuch', which is no problem; the problems are gated"):
        cases.check(BENCHMARK | {"passes": ["gated", "nosuch"]})


@pytest.mark.parametrize("peer", ["fista", "skglm", "celer", "adelie"])
def test_solvers_of_the_gated_program_are_not_raced_on_another(peer):
    problems = {"exact": RELU | {"peers": ["scs", peer]}}
    with pytest.raises(ValueError, match=f"'exact' is of model 'relu', and its peers {peer} solve"):
        cases.check(BENCHMARK | {"problems": problems})
