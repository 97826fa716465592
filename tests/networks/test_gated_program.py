"""The gated program trained by minibatches: against autograd, the referee and the optimum."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sweep_features import K, P, design_of, make_features, make_patches, n, whitened_features

from convexbn import activation, certify, sample_gates, solve
from convexbn.networks.gated_program import ConvexNetwork
from convexbn.training import gradients
from convexbn.training.engine import train
from convexbn.training.sweeps import Sweep

SWEEP = Sweep(
    network="convex",
    width=None,
    epochs=3,
    batch_size=16,
    learning_rates=(0.05, 0.02),
    betas=(0.5, 0.1),
    seeds=(0, 1),
)


def program(features, seed):
    """Return the design and the patterns of the program, (n, p) and (n, P) or one per patch."""
    design = design_of(features)
    D = activation(design.U, sample_gates(design.U, P, seed))
    if features["X_train"].ndim == 2:
        return design.U, D
    return design.U.reshape(K, n, -1) / K, D.reshape(K, n, P)  # average pooling


def torch_training(Z, Y, gates, sweep, member):
    """Train one member by autograd, its objective written out, with torch's own optimizer."""
    Z = Z if Z.ndim == 3 else Z[None]  # (K, n, p)
    rows = len(Z) * n
    W = torch.zeros(Z.shape[-1], P, Y.shape[1], dtype=Z.dtype, requires_grad=True)
    rate = member.learning_rate
    optimizer = (
        torch.optim.Adam([W], rate, betas=(sweep.momentum, 0.999))
        if sweep.optimizer == "adam"
        else torch.optim.SGD([W], rate, momentum=sweep.momentum)
    )
    generator = torch.Generator().manual_seed(member.seed)
    for _ in range(sweep.epochs):
        order = torch.randperm(n, generator=generator)
        for index in order[: n // sweep.batch_size * sweep.batch_size].split(sweep.batch_size):
            optimizer.zero_grad()
            X = Z[:, index]
            D = (X @ gates >= 0).to(X)
            F = torch.einsum("kni,kna,aic->nc", D, X, W) / len(Z)
            norms = torch.linalg.vector_norm(W, dim=0).sum()
            penalty = member.beta * math.sqrt(rows) / n * norms
            (0.5 * (F - Y[index]).square().sum(dim=1).mean() + penalty).backward()
            optimizer.step()
    return W.detach() * math.sqrt(rows)


@pytest.mark.parametrize("make", [make_features, make_patches])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_member_is_trained_as_torch_trains_it(make, optimizer):
    features, sweep = make(np.float64), replace(SWEEP, optimizer=optimizer, epochs=15)
    data = whitened_features(features)
    Z, Y = (torch.as_tensor(data[name]) for name in ("X_train", "Y_train"))
    _, parameters = train(data, sweep)
    for index, member in enumerate(sweep.members):
        gates = torch.as_tensor(data["gates"][sweep.seeds.index(member.seed)])
        expected = torch_training(Z, Y, gates, sweep, member)
        # 60 steps in float64; at a kink of a norm Adam divides rounding errors by themselves.
        torch.testing.assert_close(parameters["weights"][index], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("make", [make_features, make_patches])
def test_a_batch_in_blocks_that_fit_the_cache_is_the_same_batch(make, monkeypatch):
    data = whitened_features(make(np.float64))
    _, whole = train(data, SWEEP)
    # 16 samples: one block, or 4 of them.
    monkeypatch.setattr(gradients, "pass_rows", lambda *sizes, device: 20)
    _, in_blocks = train(data, SWEEP)
    monkeypatch.setattr(gradients, "pass_rows", lambda *sizes, device: 1)
    _, one_by_one = train(data, SWEEP)
    for found in (in_blocks, one_by_one):
        # The order of the sums, in float64 and over 12 steps.
        torch.testing.assert_close(found["weights"], whole["weights"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("make", [make_features, make_patches])
def test_the_objective_is_the_programs_so_that_its_optimum_is_a_lower_bound(make):
    features = make(np.float64)
    sweep = replace(SWEEP, epochs=200, schedule="cosine", learning_rates=(0.05,), betas=(0.5, 2.0))
    history, parameters = train(whitened_features(features), sweep)
    final = history[-len(sweep.members) :]
    for row, member, W in zip(final, sweep.members, parameters["weights"], strict=True):
        U, D = program(features, member.seed)
        Y = features["Y_train"]
        judged = certify(U, D, Y, member.beta, W.numpy())
        assert row["objective"] == pytest.approx(judged.objective, rel=1e-9)  # both in float64
        optimum = solve(U, D, Y, member.beta, tol=1e-6).certificate
        rows = [r for r in history if tuple(r.values())[:3] == member]
        assert all(r["objective"] >= optimum.dual_objective for r in rows)
        # And it is a descent: within some percent of the optimum, from five times as much.
        assert rows[0]["objective"] == pytest.approx(0.5 * (Y**2).sum())  # zero weights
        assert row["objective"] <= 1.05 * optimum.objective
        assert row["width"] == P * Y.shape[1]


def test_seeds_have_the_gates_of_a_solved_program_and_differ():
    features = make_features()
    data = whitened_features(features)
    for gates, seed in zip(data["gates"], SWEEP.seeds, strict=True):
        np.testing.assert_array_equal(gates, sample_gates(design_of(features).U, P, seed))
    history, _ = train(data, SWEEP)
    final = {tuple(row.values())[:3]: row["objective"] for row in history[-8:]}
    assert final[0, 0.05, 0.5] != final[1, 0.05, 0.5]


def test_a_networks_forward_pass_is_the_programs():
    features = make_features(np.float64)
    U, D = program(features, 0)
    network = ConvexNetwork(sample_gates(U, P, 0), 3, n).double()
    W = np.random.default_rng(0).standard_normal((U.shape[1], P, 3))
    network.W.data.copy_(torch.as_tensor(W / math.sqrt(n)).mT)
    np.testing.assert_allclose(network.weights, W, rtol=1e-12)
    scores = network(torch.as_tensor(math.sqrt(n) * U)).detach()
    np.testing.assert_allclose(scores, np.einsum("ni,na,aic->nc", D, U, W), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("spoil", [lambda gates: gates[:1], lambda gates: gates[:, 1:]])
def test_missing_gates_are_refused(spoil):
    data = whitened_features()
    with pytest.raises(ValueError, match=r"needs gates of shape \(2, 6, P\), one set for each"):
        train(data | {"gates": spoil(data["gates"])}, SWEEP)
    del data["gates"]
    with pytest.raises(ValueError, match=r"got none; make the features by pipeline\.designs\.whit"):
        train(data, SWEEP)
