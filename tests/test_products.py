"""Float32 products by oneDNN: accurate, only where they are large, and nothing left behind.

And threads: one for small work, and as many as before after it.
"""

import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from pretended_cuda import pretended_cuda

from convexbn import products, solve
from convexbn.products import LARGE, SMALL, are_fast, fast_products, threads_for
from convexbn.solvers import path
from convexbn.training import minibatches
from convexbn.training.samples import Samples


@pytest.fixture
def accurate(monkeypatch):
    monkeypatch.setattr(products, "_is_accurate", lambda: True)


def setting() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


def test_products_within_are_those_of_float32():
    generator = torch.Generator().manual_seed(1)
    A, B = (torch.randn(size, generator=generator) for size in ((500, 3000), (3000, 70)))
    with fast_products(500 * 3000 * 70):
        within = A @ B
    # 3,000 terms of unit variance: float32 is wrong by some 1e-4, bfloat16 by some 1e-1.
    assert (within - A.double() @ B.double()).abs().max() < 2e-3


def test_setting_is_that_of_before_once_the_last_leaves(accurate):
    before = setting()
    outer, inner = fast_products(LARGE), fast_products(LARGE)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert (are_fast(), setting()) == (True, "bf16")
    inner.__exit__(None, None, None)
    assert (are_fast(), setting()) == (False, before)


def test_setting_is_that_of_before_after_an_error(accurate):
    before = setting()
    with pytest.raises(KeyError), fast_products(LARGE):
        raise KeyError
    assert (are_fast(), setting()) == (False, before)


@pytest.mark.parametrize("multiplications", [0, LARGE - 1])
def test_small_products_and_those_of_gpus_stay_with_mkl(accurate, multiplications):
    with fast_products(multiplications):
        assert not are_fast()


def test_nothing_is_set_where_a_trial_product_is_inaccurate(monkeypatch):
    monkeypatch.setattr(products, "_is_accurate", lambda: False)
    with fast_products(LARGE):
        assert not are_fast()


def test_trial_tells_bfloat16_from_float32(monkeypatch):
    multiply = torch.Tensor.__matmul__

    def rounded(A, B):
        single = A.dtype == torch.float32
        return multiply(A.bfloat16(), B.bfloat16()).float() if single else multiply(A, B)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not products._is_accurate.__wrapped__()


@pytest.mark.parametrize(("multiplications", "expected"), [(SMALL, 1), (SMALL + 1, 2)])
def test_small_work_takes_one_thread_and_leaves_as_many_as_there_were(
    two_threads, multiplications, expected
):
    with threads_for(multiplications):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


def test_threads_are_as_many_as_before_after_an_error(two_threads):
    with pytest.raises(KeyError), threads_for(0):
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray, pd.DataFrame])
def test_a_small_solve_takes_one_thread(kind, two_threads, monkeypatch):
    U = torch.linalg.qr(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))[0]
    threads = []
    for name in ("make_program", "warn_of_design", "judged"):
        function = getattr(path, name)

        def spied(*given, function=function, **options):
            threads.append(torch.get_num_threads())
            return function(*given, **options)

        monkeypatch.setattr(path, name, spied)
    callback = lambda _: threads.append(torch.get_num_threads())  # noqa: E731
    solve(kind(U), kind(U >= 0), kind(U[:, :1]), 0.1, callback=callback)
    assert set(threads) == {1}
    assert torch.get_num_threads() == 2


# --- on a GPU -------------------------------------------------------------------------------------


def settings_of_cuda() -> tuple:
    """Return the flags, of the process, which are there without a GPU, too."""
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    return convolutions.deterministic, convolutions.allow_tf32, matrices.allow_tf32


@pytest.fixture
def coarse():
    """Products on a GPU may be rounded, as an environment variable of some containers allows."""
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32 = False


def test_a_gpu_repeats_its_convolutions_and_rounds_to_no_less_than_float32(coarse):
    def fail():
        with products.repeatable("cuda:1"):
            assert settings_of_cuda() == (True, False, False)
            raise KeyError

    before = settings_of_cuda()
    assert before == (False, True, True)
    with pytest.raises(KeyError):
        fail()
    assert settings_of_cuda() == before
    with products.repeatable("cpu"):
        assert settings_of_cuda() == before


ASKED = """
import sys
import torch
from convexbn import products

def value(ask):
    try:
        return ask()
    except RuntimeError:
        return "mixed"

def state():
    backends = torch.backends
    return [
        value(torch.get_float32_matmul_precision),
        value(lambda: backends.cuda.matmul.allow_tf32),
        value(lambda: backends.cudnn.allow_tf32),
        backends.cuda.matmul.fp32_precision,
        backends.cudnn.conv.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,
        backends.cudnn.deterministic,
    ]

exec(sys.argv[1])
before = state()
with products.repeatable("cuda:1"):
    within = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    assert not {"tf32", "bf16"} & set(within), within
    assert torch.backends.cudnn.deterministic
assert state() == before, (before, state())
"""


@pytest.mark.parametrize(
    "setting",
    [
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
        "torch.set_float32_matmul_precision('medium')",
        "torch.set_float32_matmul_precision('high')",
        "torch.backends.cuda.matmul.allow_tf32 = True",
    ],
)
def test_a_gpu_does_however_its_precision_was_set(setting):
    """In a process of its own: some settings cannot be taken back."""
    run = subprocess.run([sys.executable, "-c", ASKED, setting], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_solver_and_a_training_on_a_gpu_do(coarse):
    seen = []
    rows = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pretended_cuda():
        callback = lambda snapshot: seen.append(settings_of_cuda())  # noqa: E731
        solve(rows, rows > 0, rows[:, 0], 0.5, device="cuda", callback=callback)
        samples = Samples(rows.float().to("cuda"), torch.arange(12).to("cuda") % 2)
        network = torch.nn.Linear(2, 2).to("cuda")
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        settings = minibatches.Settings(1, 4, seed=0)
        measure = lambda network: {"flags": seen.append(settings_of_cuda())}  # noqa: E731
        minibatches.train(network, optimizer, samples, settings, measure=measure)
    # The start of a training is evaluated before its first step.
    assert set(seen[:-2] + seen[-1:]) == {(True, False, False)}


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_sums_of_groups_are_those_of_a_loop(kind):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    groups = torch.randint(4, (20,), generator=generator)
    expected = torch.stack([x[groups == g].sum(dim=0) for g in range(5)])  # the last is empty
    with pretended_cuda() if kind == "cuda" else nullcontext():
        found = products.sums_of_groups(groups.to(kind), x.to(kind), 5).cpu()
    # Sums of some five numbers of size one.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_sums_so_far_are_those_of_a_loop(kind):
    x = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([x[: k + 1].sum() for k in range(9)])
    with pretended_cuda() if kind == "cuda" else nullcontext():
        found = products.sums_so_far(x.to(kind)).cpu()
    # Sums of nine numbers of size one.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
