"""The README's commands and snippets work."""

import re
import textwrap

import numpy as np
import pytest
from workflow_runs import ROOT

TEXT = (ROOT / "README.md").read_text()


def test_the_example_runs():
    rng = np.random.default_rng(0)
    names = {
        "X_train": rng.standard_normal((300, 100)),
        "Y_train": np.eye(3)[rng.integers(0, 3, 300)],
        "X_new": rng.standard_normal((7, 100)),
    }
    block = TEXT.split("with NumPy and PyTorch.")[1].split("`import convexbn`")[0]
    exec(textwrap.dedent(block), names)
    assert names["scores"].shape == (7, 3)
    assert names["solution"].certificate.converged


def test_the_exact_example_runs():
    rng = np.random.default_rng(0)
    names = {"X": rng.standard_normal((20, 2)), "y": rng.standard_normal(20)}
    names["X_new"] = rng.standard_normal((7, 2))
    block = TEXT.split("over all its activation patterns:")[1].split("`solve_path` also")[0]
    exec(textwrap.dedent(block), names)
    objective = eval("network_objective(network, X, y, beta=0.1)", names)
    assert objective == pytest.approx(names["solution"].certificate.objective, rel=1e-9)
    assert names["solution"].certificate.converged
    assert names["D"].shape == (20, 382)
    scores = eval("network.predict(X_new)", names)
    same = eval("solution.predict(whitening.transform(X_new))", names)
    np.testing.assert_allclose(scores, same, rtol=1e-11, atol=1e-12)


def test_every_make_target_and_file_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)\b", TEXT)) - {"and", "it"}:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"\(([\w./-]+\.(?:md|png))\)|`(config/[\w.-]+)`", TEXT):
        assert (ROOT / (path[0] or path[1])).exists(), path
    assert len(TEXT.splitlines()) < 130
