"""Networks of every depth come down to one closed form."""

import numpy as np
from theory_cases import TRAINED, check_seed, formula

from convexbn.experiments.theory import data
from convexbn.experiments.theory.depth import depths

DEPTH = {"n": 5, "d": 6, "width": 20, "depths": [2, 4], "beta": 0.1, "evaluations": 5}


def test_every_depth_comes_down_to_the_closed_form():
    found = depths(DEPTH | {"descent": TRAINED}, seed=2)
    optimum = formula(data.regression(5, 6, seed=2)[1], 0.1)
    np.testing.assert_allclose(found["optimum"], optimum, rtol=1e-12)
    assert found["relative_excess"].min() >= -1e-12
    ends = found[found["iteration"] == 400]
    assert ends.groupby("depth")["relative_excess"].min().max() <= 0.02
    assert len(ends) == 2 * 3
    for _, trial in found.groupby(["depth", "trial"]):
        assert trial["iteration"].tolist() == [0, 1, 4, 20, 89, 400]  # five, log-spaced
    # The same seed draws other networks at another depth.
    shallow, deep = (found[found["depth"] == depth]["objective"] for depth in (2, 4))
    assert (shallow.to_numpy() != deep.to_numpy()).all()


def test_the_seed_fixes_the_numbers():
    check_seed(lambda seed: depths(DEPTH | {"descent": TRAINED | {"iterations": 3}}, seed))
