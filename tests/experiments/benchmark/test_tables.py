"""The tables that the races are summed up in."""

import numpy as np
import pandas as pd
from benchmark_cases import TOY, runs_of

from convexbn.experiments.benchmark import cases, tables


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
