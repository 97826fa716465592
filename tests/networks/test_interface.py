"""A network that has its statistics is one function of a sample, wherever it goes."""

import copy
import io
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from network_kinds import KINDS, ROUNDING, C, K, build, d, data, draw, generator, m, n

from convexbn.networks.architectures import BNLayer, DeepBNNetwork
from convexbn.networks.gated_program import ConvexNetwork
from convexbn.networks.objectives import batch_objective, network_objective
from convexbn.networks.two_layer import BNNetwork, stack
from convexbn.training.descent import unstack

ROWS = 7  # new samples

kinds = pytest.mark.parametrize("kind", KINDS)
with_bn = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plain"])


def new_data(kind, seed=9):
    """New samples, whose own statistics are others than those of the training samples."""
    return 2 * data(kind, seed)[..., :ROWS, :] + 1


def trained(kind, seed=1):
    return build(kind, seed).set_statistics(data(kind)).eval()


def convex_network():
    network = ConvexNetwork(draw(d, m, seed=3), C, n).double()
    network.W.data.copy_(draw(d, C, m, seed=4))
    return network.eval()


def exported():
    """Each kind, and the gated convex program, with new samples."""
    return {kind: (trained(kind), new_data(kind)) for kind in KINDS} | {
        "convex": (convex_network(), draw(ROWS, d))
    }


@kinds
def test_a_sample_has_the_same_scores_alone_and_in_every_batch(kind):
    network, X = trained(kind), new_data(kind)
    with torch.no_grad():
        together = network(X)
        assert together.shape == (ROWS, C)
        for i in range(ROWS):
            torch.testing.assert_close(network(X[..., [i], :]), together[[i]], **ROUNDING)
        torch.testing.assert_close(network(X.flip(-2)), together.flip(0), **ROUNDING)
        assert network(X[..., :0, :]).shape == network.predict(X[..., :0, :]).shape == (0, C)
    torch.testing.assert_close(network.predict(X.numpy()), together, **ROUNDING)


@kinds
def test_on_the_training_samples_both_modes_are_the_same(kind):
    network, X = trained(kind), data(kind)
    evaluated = network(X)
    torch.testing.assert_close(network.train()(X), evaluated, **ROUNDING)


@with_bn
def test_training_mode_normalizes_by_the_batch(kind):
    network, X = build(kind), new_data(kind)
    by_batch = network(X)
    network.set_statistics(data(kind))
    torch.testing.assert_close(network(X), by_batch, rtol=0, atol=0)
    assert not torch.allclose(network.eval()(X), by_batch, atol=1e-2)
    torch.testing.assert_close(network.set_statistics(X)(X), by_batch, **ROUNDING)


def reloaded(network, fresh):
    return fresh.load_state_dict(network.state_dict()) and fresh


def through_safetensors(network, fresh):
    state = safetensors.torch.load(safetensors.torch.save(network.state_dict()))
    return fresh.load_state_dict(state) and fresh


def through_torch(network, fresh):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    return fresh.load_state_dict(torch.load(file, weights_only=True)) and fresh


WAYS = {
    "load_state_dict": reloaded,
    "torch.save": through_torch,
    "safetensors": through_safetensors,
    "deepcopy": lambda network, _: copy.deepcopy(network),
    "pickle": lambda network, _: pickle.loads(pickle.dumps(network)),
}


@pytest.mark.parametrize(
    "way", ["load_state_dict", "torch.save", "safetensors", "deepcopy", "pickle"]
)
@kinds
def test_statistics_go_where_the_network_goes(kind, way):
    network, X = trained(kind), new_data(kind)
    found = WAYS[way](network, KINDS[kind](77).double()).eval()
    torch.testing.assert_close(found(X), network(X), rtol=0, atol=0)


@kinds
def test_stacks_take_the_statistics_of_their_members_and_give_them_back(kind):
    members, X = [trained(kind, seed) for seed in (1, 20)], new_data(kind)
    stacked = stack(members)
    assert not stacked.training
    fresh = [KINDS[kind](seed).eval() for seed in (5, 6)]
    for scores, member, back in zip(stacked(X), members, unstack(stacked, fresh), strict=True):
        torch.testing.assert_close(scores, member(X), **ROUNDING)
        torch.testing.assert_close(back(X), member(X), rtol=0, atol=0)


@with_bn
def test_a_stack_of_networks_with_and_without_statistics_is_refused(kind):
    for networks in ([trained(kind), build(kind)], [build(kind), trained(kind)]):
        with pytest.raises(ValueError, match="that all have none, got both"):
            stack(networks)


@kinds
def test_statistics_are_cast_with_the_network(kind):
    network, X = trained(kind), new_data(kind)
    expected = network.predict(X)
    found = network.float().predict(X).double()
    # A few hundred roundings of 6e-8.
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5 * float(expected.abs().max()))
    with pytest.raises(TypeError, match=r"of the network's torch\.float32, got torch\.float64"):
        network(X)


@with_bn
def test_a_network_without_statistics_says_what_to_do(kind):
    network, X = build(kind).eval(), data(kind)
    for call in (network, network.predict):
        with pytest.raises(RuntimeError, match=r"call network\.set_statistics\(X_train\), or netw"):
            call(X)
    assert network.train()(X).isfinite().all()


def test_a_network_on_top_of_new_layers_is_in_its_mode():
    """In evaluation, as closed forms come: its layers have no statistics, which is said."""
    X, layers = data("bn"), [BNLayer(d, m, generator(0)).double()]
    top = BNNetwork(m, m, C, n, generator(1)).double().set_statistics(torch.relu(draw(n, m))).eval()
    network = DeepBNNetwork(layers, top)
    with pytest.raises(RuntimeError, match="this BNLayer has no statistics"):
        network(X)
    scores = network.set_statistics(X)(X)
    torch.testing.assert_close(network.train()(X), scores, **ROUNDING)


@kinds
def test_objectives_are_of_the_samples_batch_and_leave_the_network_as_it_is(kind):
    network, X, Y = trained(kind), data(kind, seed=5), draw(n, C, seed=2)
    before = copy.deepcopy(network.state_dict())
    found = network_objective(network, X, Y, 0.7), batch_objective(network, X, Y, 0.7).item()
    assert not any(module.training for module in network.modules())
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    expected = batch_objective(network.train(), X, Y, 0.7).item()
    assert found == pytest.approx((expected, expected), rel=1e-12)
    assert network_objective(network, X, Y, 0.7) == found[0]
    network.predict(X)
    assert all(module.training for module in network.modules())


def test_a_constant_neuron_is_its_shift_in_both_modes():
    network, X = build("bn"), data("bn")
    X[:, 0] = 3.7
    with torch.no_grad():
        network.w[:, 0] = 0.0
        network.w[0, 0] = 1.3  # the first neuron sees the constant feature alone
        network.w[:, 1] = 0.0
    expected = network.bias[:2].expand(n, 2)
    network.set_statistics(X)
    for training in (True, False):
        normalized = network.train(training).normalized(X)[:, :2]
        torch.testing.assert_close(normalized, expected, **ROUNDING)


@pytest.mark.parametrize(
    ("kind", "X", "error", "message"),
    [
        ("bn", draw(ROWS, d - 1), ValueError, r"shape \(n, 5\), got shape \(7, 4\)"),
        ("deep", draw(ROWS, d + 1), ValueError, r"shape \(n, 5\), got shape \(7, 6\)"),
        ("plain", draw(d), ValueError, r"got shape \(5,\).* a single one with n = 1"),
        ("cnn", draw(ROWS, d), ValueError, r"shape \(4, n, 5\), got shape \(7, 5\)"),
        ("cnn", draw(2 * K, ROWS, d), ValueError, r"shape \(4, n, 5\), got shape \(8, 7, 5\)"),
        ("gated", draw(ROWS, d).float(), TypeError, "of the network's torch.float64, got torch.fl"),
        (
            "bn",
            draw(ROWS, d).numpy(),
            TypeError,
            r"a tensor .*, got ndarray; .*network\.predict\(X\)",
        ),
    ],
)
def test_samples_that_do_not_fit_are_refused(kind, X, error, message):
    network = trained(kind)
    with pytest.raises(error, match=message):
        network(X)
    if error is ValueError:
        for call in (network.predict, network.set_statistics):
            with pytest.raises(error, match=message):
                call(X)


def test_the_gated_program_refuses_what_does_not_fit_it():
    network = convex_network()
    with pytest.raises(ValueError, match=r"shape \(n, 5\), got shape \(7, 4\)"):
        network(draw(ROWS, d - 1))
    with pytest.raises(TypeError, match=r"got torch\.float32"):
        network(draw(ROWS, d).float())


@with_bn
def test_statistics_need_samples_that_are_numbers(kind):
    network, X = build(kind), data(kind)
    with pytest.raises(ValueError, match="X holds no samples"):
        network.set_statistics(X[..., :0, :])
    with pytest.raises(ValueError, match="X must be finite"):
        network.set_statistics(X.log())


@kinds
def test_samples_come_in_any_layout_and_precision(kind):
    network, X = trained(kind), new_data(kind).float().double()
    expected = network.predict(X)
    array = X.numpy()
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    for given in (array.astype(">f8"), strided, array.astype("f4"), array.tolist(), X.float()):
        torch.testing.assert_close(network.predict(given), expected, rtol=0, atol=0)
    torch.testing.assert_close(network(X.mT.contiguous().mT), expected, **ROUNDING)


@pytest.mark.parametrize("kind", [*KINDS, "convex"])
def test_export_has_the_function_for_every_number_of_samples(kind):
    network, X = exported()[kind]
    found = torch.export.export(network, (X,), dynamic_shapes=batched(X)).module()
    for rows in (ROWS, 1, 4):
        part = X[..., :rows, :]
        torch.testing.assert_close(found(part), network(part), **ROUNDING)


def batched(X):
    """Say that the number of samples may change."""
    return ({X.ndim - 2: torch.export.Dim("samples")},)


@pytest.mark.parametrize("kind", [*KINDS, "convex"])
def test_onnxruntime_has_the_function_for_every_number_of_samples(kind):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript, which torch exports with, is missing")
    network, X = exported()[kind]
    program = torch.onnx.export(
        network, (X,), dynamo=True, dynamic_shapes=batched(X), input_names=["X"], verbose=False
    )
    file = io.BytesIO()
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for rows in (ROWS, 1, 4):
        part = X[..., :rows, :]
        (scores,) = session.run(None, {"X": part.numpy()})
        np.testing.assert_allclose(scores, network(part).detach(), **ROUNDING)


def test_a_network_without_statistics_is_not_exported():
    with pytest.raises(Exception, match="has no statistics of a training set"):
        torch.export.export(build("bn").eval(), (data("bn"),))


@pytest.mark.parametrize("setting", ["device", "dtype"])
@kinds
def test_torchs_defaults_do_not_leak_in(kind, setting):
    expected, X, new = trained(kind), data(kind), new_data(kind)
    try:
        if setting == "device":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(torch.float16)
        network = KINDS[kind](1)
        found = copy.deepcopy(expected).set_statistics(X.numpy())
        objective = network_objective(found, X.numpy(), np.zeros((n, C)), 0.1)
        scores = found.predict(new.numpy())
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert objective == network_objective(expected, X, torch.zeros(n, C), 0.1)
    torch.testing.assert_close(scores, expected.predict(new), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["gated cnn", "deep"])
def test_compile_takes_the_network_in_one_graph(kind):
    network, X = exported()[kind]
    # The backend that needs no compiler: what is asked here is whether there is one graph.
    found = torch.compile(network, fullgraph=True, backend="eager")
    for rows in (ROWS, 1):
        part = X[..., :rows, :]
        torch.testing.assert_close(found(part), network(part), **ROUNDING)


def test_samples_beyond_the_networks_precision_are_refused():
    network = BNNetwork(3, 4, 1, 9, torch.Generator().manual_seed(0))
    X = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network.set_statistics(X)
    for call in (network.predict, network.set_statistics):
        with pytest.raises(ValueError, match="within the range of"):
            call(1e39 * X)


def test_a_network_of_half_precision_takes_samples_of_any():
    network = BNNetwork(3, 4, 1, 9, torch.Generator().manual_seed(0))
    X = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    half = network.set_statistics(X).bfloat16()
    assert half.predict(X).dtype == torch.bfloat16
    # Eight bits, through three products.
    torch.testing.assert_close(
        half.predict(X).float(), network.float().predict(X), rtol=0.1, atol=0.1
    )


def test_an_objective_is_of_one_network():
    networks = [BNNetwork(3, 4, 1, 9, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    with pytest.raises(ValueError, match="got a stack of 2; give one network of it"):
        network_objective(stack(networks), np.eye(9, 3), np.ones(9), 0.1)
