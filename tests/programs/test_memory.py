"""Formulas of memory against the peak of real solves, and messages about programs too large."""

import os

import numpy as np
import pytest
import torch
from footprints import run_alone
from hypothesis import given
from hypothesis import strategies as st

from convexbn import activation, solve
from convexbn.programs import memory
from convexbn.programs.memory import available, check, columns_at_once, exact_bytes, gated_bytes

GROUP = {"model": "gated", "loss": "squared", "penalty": "group"}

# Measures by how many bytes a solve raises the peak above what its inputs take.
SOLVE = """
import numpy as np, torch
from convexbn import solve
from convexbn.arrangements.gates import activation
from footprints import held, mb

torch.set_num_threads(1)
n, p, P, C, patches, terms, beta, tol, iterations = {case}
rng = np.random.default_rng(0)
U = np.linalg.qr(rng.standard_normal((patches * n, p)))[0].reshape(patches, n, p)
D, Y = activation(U, rng.standard_normal((p, P))), rng.standard_normal((n, C))
U, D = (U[0], D[0]) if patches == 1 else (U, D)
targets = dict(squared=Y, logistic=np.sign(Y), cross_entropy=np.eye(C)[Y.argmax(axis=1)])
Y = targets[terms["loss"]]
before = held()
solution = solve(U, D, Y, beta, tol=tol, max_iterations=iterations, **terms)
taken, reason = 1e6 * (mb() - before), solution.certificate.reason
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("terms", "case"),
    [
        # With these weight decays all blocks, or most, are active at first.
        (GROUP, (3000, 257, 300, 1, 1, 1.0, 1e-9, 12)),
        (GROUP, (3000, 257, 400, 1, 1, 1.0, 1e-3, 12)),  # with the products of oneDNN
        # The last two have outputs side by side.
        pytest.param(GROUP, (300, 257, 100, 20, 1, 0.1, 1e-9, 8), marks=pytest.mark.slow),
        pytest.param(GROUP, (1000, 65, 400, 10, 1, 0.1, 1e-9, 8), marks=pytest.mark.slow),
        pytest.param(
            GROUP | {"loss": "logistic"},
            (1000, 65, 400, 10, 1, 0.1, 1e-9, 8),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            GROUP | {"loss": "logistic"},
            (1500, 129, 600, 1, 2, 0.1, 1e-9, 8),
            marks=pytest.mark.slow,
        ),
        (GROUP | {"loss": "cross_entropy"}, (1500, 129, 300, 4, 1, 0.1, 1e-9, 6)),
        (GROUP | {"penalty": "nuclear"}, (400, 33, 300, 4, 1, 0.3, 1e-9, 8)),
        (GROUP | {"model": "relu"}, (200, 9, 600, 1, 1, 0.3, 1e-6, 100)),
        pytest.param(
            GROUP | {"model": "relu_bn"}, (200, 7, 600, 1, 1, 0.3, 1e-6, 40), marks=pytest.mark.slow
        ),
    ],
)
def test_formula_bounds_the_peak_of_a_solve(terms, case):
    n, p, P, C, patches, *rest = case
    program = SOLVE.format(case=(n, p, P, C, patches, terms, *rest))
    measured, reason = run_alone(program, "taken", "reason")
    formula = _needed(n, p, P, C, patches, **terms)
    assert measured <= formula, reason
    # The memory of the libraries does not grow with the problem, and what they compile with its
    # steps, of which these are few: both are in both bounds.
    is_compiled = memory.compiled_multiplications(n * patches, p, P) > 0
    libraries = memory.OVERHEAD + is_compiled * memory.COMPILED_BYTES
    # Faces of cones turn out to have few dimensions only when an exact program is solved.
    factor = 3 if terms["model"] == "gated" else 5
    assert formula <= factor * measured + libraries, reason


@given(
    st.tuples(*[st.integers(1, 60) for _ in range(5)]),
    st.integers(0, 4),
    st.sampled_from(["gated", "relu", "relu_bn"]),
)
def test_sizes_named_as_fitting_are_the_largest_that_fit(sizes, share, model):
    n, p, P, C, patches = sizes

    def fits(n, P, budget):
        try:
            check(n, p, P, C, patches, model=model, budget=budget)
        except ValueError as error:
            return str(error)
        return True

    whole = _needed(n, p, P, C, patches, model)
    assert fits(n, P, whole) is True
    budget = memory.OVERHEAD + share * (whole - memory.OVERHEAD - 1) // 4
    message = fits(n, P, budget)
    assert "need up to" in message
    advice = message.split("; ")[1]
    for name, value in _said(advice).items():
        small, one_more = (
            ((n, value), (n, value + 1)) if name == "P" else ((value, P), (value + 1, P))
        )
        assert fits(*small, budget) is True
        assert fits(*one_more, budget) is not True
    if "P =" not in advice:
        assert fits(n, 1, budget) is not True


def test_small_problems_have_their_outputs_side_by_side_on_a_cpu():
    assert columns_at_once(300, 21, 30, 10) == 10
    assert columns_at_once(4000, 257, 500, 10) == 1


@pytest.mark.parametrize("fitting", [1, 3, 10])
def test_outputs_are_side_by_side_on_a_gpu_as_far_as_they_fit(monkeypatch, fitting):
    sizes = 4000, 257, 500, 10
    free = gated_bytes(*sizes, device="cuda", together=fitting)
    monkeypatch.setattr(memory, "available", lambda device: free)
    assert columns_at_once(*sizes, device="cuda") == fitting
    monkeypatch.setattr(memory, "available", lambda device: None)
    assert columns_at_once(*sizes, device="cuda") == 10


def _needed(n, p, P, C, patches, model, **terms):
    if model == "gated":
        return gated_bytes(n, p, P, C, patches, **terms)
    return exact_bytes(n, p, P, patches, model=model)


def _said(advice) -> dict:
    """Return the sizes named by advice such as "P = 3 gates or n = 5 samples would fit"."""
    words = advice.split()
    return {words[i - 1]: int(words[i + 1]) for i, word in enumerate(words) if word == "="}


def test_message_names_the_memory_needed_and_the_memory_free():
    with pytest.raises(ValueError, match=r"r \+ 1 = 3073, P = 4096, C = 10 need up to \d+\.\d GB"):
        check(50_000, 3073, 4096, 10, budget=2 * 10**9)
    with pytest.raises(ValueError, match=r"1\.0 GB are free on cpu; P = \d+ gates"):
        check(50_000, 513, 4096, 10, budget=10**9)
    with pytest.raises(ValueError, match=r"10 bytes are free on cpu; lower r, or take a device"):
        check(2, 2, 2, 1, budget=10)


def test_budget_is_what_is_free_on_the_device(monkeypatch):
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available("cpu") is None or 0 < available("cpu") <= total
    for name, value in [("mem_get_info", (7, 10)), ("memory_reserved", 5), ("memory_allocated", 2)]:
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert available(torch.device("cuda:1")) == 7 + 5 - 2
    with pytest.raises(ValueError, match="10 bytes are free on cuda:1"):
        check(4, 2, 3, 1, device=torch.device("cuda:1"))
    monkeypatch.setattr(memory, "available", lambda device: None)
    check(10**6, 10**4, 10**6, 10)  # nobody knows


def test_terms_and_patches_count():
    """Patches are rows; terms that couple classes, or make more directions, take more."""
    sizes = (4000, 257, 500, 10)
    plain = gated_bytes(*sizes)
    assert gated_bytes(*sizes, loss="logistic") > plain
    assert gated_bytes(*sizes, loss="cross_entropy") > gated_bytes(*sizes, loss="logistic")
    assert gated_bytes(*sizes, penalty="nuclear") > plain
    predictions = 8 * memory.PREDICTION_VECTORS * 10 * (4000 - 1000)
    assert gated_bytes(1000, *sizes[1:], patches=4) == plain - predictions


@pytest.mark.parametrize("model", ["gated", "relu", "relu_bn"])
def test_solving_too_large_a_problem_is_refused_before_it_begins(monkeypatch, model):
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((60, 4)))[0]
    D, y = activation(U, rng.standard_normal((4, 30))), rng.standard_normal(60)
    needed = _needed(60, 4, 30, 1, 1, model)
    monkeypatch.setattr(memory, "available", lambda device: needed - 1)
    # NaN would be refused too, but only after a search for it in float64, which takes memory.
    with pytest.raises(ValueError, match=r"are free on cpu; P = 29 gates or n = 59 samples would"):
        solve(U * np.nan, D, y, 1.0, model=model)
    assert solve(U, D[:, :29], y, 1.0, model=model).certificate.converged
    assert solve(U[:59], D[:59], y[:59], 1.0, model=model).certificate.converged


def test_patches_and_outputs_of_a_problem_are_counted(monkeypatch):
    rng = np.random.default_rng(0)
    U, Y = rng.standard_normal((3, 20, 4)), rng.standard_normal((20, 2))
    D = activation(U, rng.standard_normal((4, 10)))
    terms = {"loss": "squared", "penalty": "nuclear"}
    needed = gated_bytes(20, 4, 10, 2, 3, **terms)
    monkeypatch.setattr(memory, "available", lambda device: needed - 1)
    with pytest.raises(ValueError, match=r"n = 20, r \+ 1 = 4, P = 10, C = 2, 3 patches need"):
        solve(U, D, Y, 1.0, **terms)
    monkeypatch.setattr(memory, "available", lambda device: needed)
    assert solve(U, D, Y, 1.0, **terms).certificate.converged
