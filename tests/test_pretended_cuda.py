"""Everything that takes a device: on one that only claims to be CUDA, and on a real one.

The pretended device (:mod:`pretended_cuda`) refuses what a real one would, computes what the CPU
computes, and counts how often the host waits for it. The same comparisons, marked `gpu`, run on a
real device (`make gpu`), on a machine with little besides PyTorch and pytest.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from on_devices import KINDS, ROUNDING, assert_same, both
from pretended_cuda import pretended_cuda
from sweep_features import SWEEP, make_features, make_images, whitened_features

from convexbn import (
    ConvexLayer,
    activation,
    certify,
    enumerate_arrangements,
    network_objective,
    recover_network,
    sample_gates,
    solve,
    solve_path,
    train_exact,
    whiten,
)
from convexbn.experiments.bias.measure import measure
from convexbn.experiments.headline.run import Run, Settings
from convexbn.experiments.headline.stages import certify_run, evaluate_run, solve_run
from convexbn.networks.cross_iteration import cross_iteration
from convexbn.networks.renormalization import batch_renormalization
from convexbn.networks.residual import ResidualNetwork
from convexbn.programs.instances import make_program
from convexbn.programs.penalties import PENALTIES
from convexbn.training import checkpoints, minibatches
from convexbn.training.descent import Descent
from convexbn.training.engine import train
from convexbn.training.samples import Samples, accuracy_of
from convexbn.training.stacks import Stack

# --- the device itself ----------------------------------------------------------------------------


def test_it_refuses_what_a_device_refuses():
    before = torch.cuda.is_available()
    with pretended_cuda() as device:
        assert torch.cuda.is_available()
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(RuntimeError, match="same device"):
            torch.mm(there[None], here[:, None])
        with pytest.raises(RuntimeError, match="same device"):
            torch.stack([there.sum(), here.sum()])
        with pytest.raises(TypeError, match="can't convert cuda"):
            np.asarray(there)
        with pytest.raises(RuntimeError, match="generator"):
            torch.randn(3, device="cuda", generator=torch.Generator())
        with pytest.raises(RuntimeError, match="deterministic"):
            there.cumsum(0)
        with pytest.raises(RuntimeError, match="deterministic"):
            torch.zeros_like(there).scatter_add_(0, there.long(), there)
        assert not device.waits.total()
        assert (there * torch.tensor(2.0)).tolist() == [2.0] * 3  # a number may meet it
        assert there[torch.tensor([0, 1])].is_cuda  # an index, too
        assert float(there.sum()) == 3.0
        assert there[there > 0].device == torch.device("cuda", 0)
        assert device.waits == {"to the host": 1, "_local_scalar_dense": 1, "index by a mask": 1}
    assert torch.cuda.is_available() == before


def test_its_derivatives_are_those_of_the_cpu():
    def gradients(device):
        torch.manual_seed(0)
        w, b = (torch.randn(4, n, dtype=torch.float64) for n in (3, 1))
        w, b = (torch.nn.Parameter(value.to(device)) for value in (w, b))
        inner = (w + b).tanh()
        value = (inner.T @ w).square().sum() + w.flip(0)[1:].exp().sum()
        direct = torch.autograd.grad(value, [w, b], retain_graph=True)
        inner.retain_grad()
        value.backward()
        return [*direct, w.grad, b.grad, inner.grad]

    assert_same(*both("pretended", gradients), tolerance=1e-15)


# --- solvers --------------------------------------------------------------------------------------

N, P = 14, 4
GATED = [
    ("gated", loss, penalty)
    for loss in ("squared", "logistic", "squared_hinge", "cross_entropy")
    for penalty in ("group", "nuclear")
]
EXACT = [
    (model, loss, "group")
    for model in ("relu", "relu_bn")
    for loss in ("squared", "logistic", "squared_hinge")
]
CNNS = [(model, "squared", "group", 2) for model in ("gated", "relu")]


def targets(y, loss):
    if loss == "cross_entropy":
        return np.eye(y.shape[1])[y.argmax(axis=1)]
    return y if loss == "squared" else np.where(y >= 0, 1.0, -1.0)


def problem(model="gated", loss="squared", patches=1, n=N, gates=P, C=2, seed=1):
    """Return U, D and Y of normal data, and a beta that leaves some blocks other than zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((patches * n, 2))
    U = X if model == "relu_bn" else whiten(X).U
    D = activation(U, rng.standard_normal((U.shape[1], gates)))
    Y = targets(rng.standard_normal((n, C if model == "gated" else 1)), loss)
    size = np.linalg.norm(np.tile(Y, (patches, 1)).T @ U)
    if patches > 1:
        U, D = (a.reshape(patches, n, -1) for a in (U, D))
    return U, D, Y, 0.1 * float(size)


@pytest.mark.parametrize(
    ("model", "loss", "penalty", "patches"), [*((*terms, 1) for terms in GATED + EXACT), *CNNS]
)
def test_solvers_and_referee(kind, model, loss, penalty, patches):
    U, D, Y, beta = problem(model, loss, patches)
    terms = {"model": model, "loss": loss, "penalty": penalty, "tol": 1e-6}
    # A few rounds tell on the pretended device. On a real one rounding makes other iterates, but
    # both come to optima whose objectives are within the gap.
    few = {"max_iterations": 3} if kind == "pretended" else {}
    tolerance = ROUNDING if kind == "pretended" else 2e-6

    def solved(device):
        data = [torch.as_tensor(a, device=device) for a in (U, D, Y)]
        found = solve(*data, beta, **terms, **few)
        assert found.weights.device.type == device
        assert model == "relu_bn" or found.predict(*data[:2]).device.type == device
        witness = {name: getattr(found, name) for name in ("dual", "multipliers")}
        witness = {name: value for name, value in witness.items() if value is not None}
        again = certify(*data, beta, found.weights, **terms, **witness)
        assert again.objective == pytest.approx(found.certificate.objective, rel=1e-9)
        numbers = ["objective"] if kind == "real" else ["objective", "dual_objective", "iterations"]
        assert kind == "pretended" or again.converged
        weights = found.weights if kind == "pretended" else []
        return [weights, *(asdict(found.certificate)[name] for name in numbers)]

    assert_same(*both(kind, solved), tolerance)


def test_multipliers_of_facets(kind):
    """Cones with fewer facets than others have their first one several times, and its sum."""
    X = np.random.default_rng(3).standard_normal((7, 3))
    D = enumerate_arrangements(X)

    def spread(device):
        data = (torch.as_tensor(a, device=device) for a in (X, D, X[:, :1]))
        program = make_program(*data, 0.1, model="relu_bn", loss="squared", penalty="group")
        shape = (2, *program.reduced().K.shape[:2])
        lam = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        full = program.all_multipliers(lam.to(device))
        assert full.shape == (2, *program.K.shape[:2]) != shape
        return full

    # Sums of a few numbers between 0 and 1.
    assert_same(*both(kind, spread), tolerance=1e-14)


def test_paths_from_arrays_return_arrays(kind):
    U, D, Y, beta = problem(C=1)
    tolerance = ROUNDING if kind == "pretended" else 0.1  # optima to 1e-3, their distance its root

    def solved(device):
        found = list(solve_path(U, D, Y, [beta, beta / 2], tol=1e-3, device=device))
        assert all(isinstance(solution.weights, np.ndarray) for solution in found)
        return [solution.predict(U, D) for solution in found]

    assert_same(*both(kind, solved), tolerance)


def test_neurons_on_demand_and_their_network(kind):
    X = np.random.default_rng(0).standard_normal((8, 1))
    whitening, y = whiten(X), np.sin(3 * X[:, 0])

    def trained(device):
        U, Y = (torch.as_tensor(a, device=device) for a in (whitening.U, y))
        found = train_exact(U, Y, 0.3, starts=1, tol=1e-2)
        assert found.weights.device.type == device
        network = recover_network(found, whitening).to(device)
        data = (torch.as_tensor(X, device=device), Y)
        value = network_objective(network, *data, 0.3)
        assert value == pytest.approx(found.certificate.objective, rel=1e-9)
        return [value, network(data[0]).detach() if kind == "pretended" else []]

    assert_same(*both(kind, trained), ROUNDING if kind == "pretended" else 2e-2)


@pytest.mark.parametrize("gates", ["sampled", "all", "columns"])
def test_estimators(kind, gates):
    """Of one weight decay and, where gates are drawn, of one that is chosen."""
    pytest.importorskip("sklearn")
    from convexbn import estimators

    X = np.random.default_rng(0).standard_normal((16, 2))
    y = np.sin(3 * X[:, 0])

    def predicted(device):
        terms = {"gates": gates, "n_gates": 4, "random_state": 0, "device": device}
        fitted = [estimators.ConvexBNRegressor(beta=0.3, tol=1e-6, **terms)]
        if gates == "sampled":
            options = {"betas": [1.0, 0.1], "cv": 2, "tol": 1e-6, **terms}
            fitted += [estimators.ConvexBNRegressorCV(**options)]
        return [estimator.fit(X, y).predict(X) for estimator in fitted]

    # Two optima to 1e-6: predictions differ by the root of their gap.
    assert_same(*both(kind, predicted), tolerance=ROUNDING if kind == "pretended" else 1e-2)


@pytest.mark.parametrize(("loss", "penalty"), [("squared", "group"), ("logistic", "nuclear")])
def test_layer_and_its_derivative(kind, loss, penalty):
    U, D, Y, beta = problem(loss=loss, n=8, gates=3, C=1)

    def derived(device):
        data = [torch.as_tensor(a, device=device) for a in (U, Y, beta)]
        data = [
            value.double().requires_grad_(loss == "squared" or i != 1)
            for i, value in enumerate(data)
        ]
        layer = ConvexLayer(torch.as_tensor(D, device=device), loss=loss, penalty=penalty, tol=1e-6)
        W = layer(*data)
        (layer.predict(W, data[0], layer.D) - 1).square().sum().backward()
        return [W, *(value.grad for value in data if value.requires_grad)]

    # Both are within rounding of the optimum, as the layer polishes.
    assert_same(*both(kind, derived), tolerance=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_penalties(kind, name, dtype):
    W = torch.as_tensor(np.random.default_rng(0).standard_normal((50, 40, 10)), dtype=dtype)
    penalty = PENALTIES[name]

    def computed(device):
        there = W.to(device)
        of_all = [penalty.value(there), penalty.dual_norm(there), penalty.prox(there, 5.0)]
        return [*of_all, penalty.neurons(there)]

    # Sums of 50 terms, in another order on a real device.
    assert_same(*both(kind, computed), tolerance=100 * torch.finfo(dtype).eps)


# --- runs and trainings ---------------------------------------------------------------------------


def test_stages_of_a_run(kind):
    features = make_features()
    whitening = whiten(features["X_train"])
    gates = np.stack([sample_gates(whitening.U, 4, seed) for seed in (7, 3)])
    settings = Settings(betas=(2.0, 1.0), tolerance=1e-2, tuning_seeds=1)

    def staged(device):
        run = Run(settings, features, whitening, [7, 3], gates, np.zeros(2), device)
        solutions, history = solve_run(run)
        assert solutions["weights.0.0"].device.type == "cpu"  # as they are saved
        certificates, rows = certify_run(run, solutions), evaluate_run(run, solutions)
        chosen = [row["beta"] for row in rows]
        return chosen if kind == "real" else [solutions, history, certificates, rows]

    assert_same(*both(kind, staged), tolerance=1e-4)  # losses of float32 weights


TRAININGS = {
    "bn": ({"network": "bn"}, make_features),
    "images": ({"network": "bn", "flip": True, "shift": 1}, make_images),
    "plain, Adam": ({"network": "plain", "optimizer": "adam"}, make_features),
    "convex": ({"network": "convex", "width": None}, whitened_features),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_sweeps(kind, name):
    options, make = TRAININGS[name]
    sweep, features = replace(SWEEP, epochs=2, betas=(0.1,), **options), make()

    def trained(device):
        history, parameters = train(features, sweep, device=device)
        assert {values.device.type for values in parameters.values()} == {"cpu"}
        return [row["objective"] for row in history], parameters

    # Some steps of float32; on a real device its products are in another order.
    assert_same(*both(kind, trained), ROUNDING if kind == "pretended" else 1e-3)


def test_a_killed_sweep_goes_on_from_its_file(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)
    features, sweep = make_features(), replace(SWEEP, betas=(0.1,), optimizer="adam")
    take_epoch = Stack.train_epoch

    def take_one_epoch(stack):
        if stack.epoch == 1:
            raise KeyboardInterrupt
        take_epoch(stack)

    with KINDS[kind]():
        _, expected = train(features, sweep, device="cuda")
        monkeypatch.setattr(Stack, "train_epoch", take_one_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(features, sweep, device="cuda", checkpoint=tmp_path / "state")
        monkeypatch.setattr(Stack, "train_epoch", take_epoch)
        assert (tmp_path / "state").exists()
        _, found = train(features, sweep, device="cuda", checkpoint=tmp_path / "state")
    assert_same(expected, found)


def test_bias_of_gradient_descent(kind):
    features = make_features(dtype=np.float64)
    descent = Descent(iterations=4, learning_rate=0.05, optimizer="gd", evaluations=2)
    whitening = whiten(features["X_train"])

    def measured(device):
        cosines, history = measure(features, whitening, descent, 6, [0], device)
        return [cosines, history.drop(columns="identity_error")]  # which is rounding alone

    # Float64, a few steps.
    assert_same(*both(kind, measured), tolerance=1e-9)


def _minibatches(device, rate, epochs=2, checkpoint=None):
    """Train a small residual network on augmented images; return history and parameters."""
    generator = torch.Generator().manual_seed(5)
    X = torch.randn(24, 1, 4, 4, generator=generator)
    samples = Samples(X.to(device), torch.randint(3, (24,), generator=generator).to(device))
    network = ResidualNetwork(8, 3, width=2, channels=1, generator=generator).to(device)
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9)
    settings = minibatches.Settings(epochs, 4, seed=1, flip=True, shift=1, evaluations=2)
    kept = {"measure": lambda network: {"accuracy": accuracy_of(network, samples)}}
    history = minibatches.train(
        network, optimizer, samples, settings, **kept, checkpoint=checkpoint
    )
    return history, list(network.parameters())


def test_minibatches(kind):
    def trained(device):
        history, parameters = _minibatches(device, 0.05)
        return [row["train_loss"] for row in history[1:]], parameters

    # A dozen steps in float32, on a real device in another order; without TF32, which would move
    # the parameters by more than they are.
    assert_same(*both(kind, trained), ROUNDING if kind == "pretended" else 1e-2)


def test_minibatches_repeat_bit_for_bit(kind):
    """On a real device, too: kernels that add in any order are not taken."""
    with KINDS[kind]():
        (first, parameters), (again, same) = (_minibatches("cuda", 0.05) for _ in range(2))
        pairs = [
            (a.detach().cpu(), b.detach().cpu()) for a, b in zip(parameters, same, strict=True)
        ]
    losses = [[row["train_loss"] for row in history] for history in (first, again)]
    np.testing.assert_array_equal(*losses)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_minibatches_go_on_from_no_other_device(kind, tmp_path, monkeypatch):
    """A file of a training on the CPU is not one of a training on the GPU."""
    taken, steps = [], minibatches._Training.take_epoch
    monkeypatch.setattr(
        minibatches._Training, "take_epoch", lambda run: (taken.append(run), steps(run))
    )
    _minibatches("cpu", 0.05, checkpoint=tmp_path / "state")
    with KINDS[kind]():
        for _ in range(2):
            _minibatches("cuda", 0.05, checkpoint=tmp_path / "state")
    devices = [run.samples.X.device.type for run in taken]
    assert devices == ["cpu", "cpu", "cuda", "cuda"]  # and the third time from its own file


def test_minibatches_that_diverge_have_the_same_losses_wherever_they_are_looked_at(kind):
    def trained(device):
        history, _ = _minibatches(device, 1e20)
        return [(row["epoch"], row["diverged"], row["train_loss"]) for row in history[1:]]

    here, there = both(kind, trained)
    assert here[0][1]
    assert [row[:2] for row in here] == [tuple(row[:2]) for row in there]
    # Up to the loss that says so, which is not finite.
    assert all(math.isfinite(a[2]) == math.isfinite(b[2]) for a, b in zip(here, there, strict=True))


# --- how often the host waits ---------------------------------------------------------------------


def waits_of_rounds(n, gates, C=1, penalty="group") -> Iterable[int]:
    """Return how often the host waits in each round of a solve, without the first and the last."""
    U, D, Y, beta = problem(n=n, gates=gates, C=C)
    seen = []
    with pretended_cuda() as device:
        solve(
            *(U, D, Y, beta),
            penalty=penalty,
            tol=1e-4,
            device="cuda",
            callback=lambda snapshot: seen.append(device.waits.total()),
        )
    return np.diff(seen)


@pytest.mark.parametrize("penalty", ["group", "nuclear"])
def test_a_round_of_the_solver_waits_for_its_scalars_alone(penalty):
    # A round is one Newton step, of all classes at once: conjugate gradients, a dozen iterations of
    # a number each; a line search and the sizes of the sets of blocks, of a few numbers each.
    small, large = (waits_of_rounds(n, gates, 10, penalty) for n, gates in ((10, 3), (30, 20)))
    assert max(small.mean(), large.mean()) <= 40
    assert large.max() <= 80


def test_an_iteration_of_the_exact_program_waits_for_its_scalars_alone():
    U, D, y, beta = problem("relu", n=20, gates=8)
    with pretended_cuda() as device:
        found = solve(U, D, y, beta, model="relu", tol=1e-6, device="cuda")
        # A Newton iteration evaluates the dual once or twice; each time a few sweeps of the
        # projections say which blocks go on, and an iteration of a solve bears its share of the
        # referee and of the numbers of the proximal steps.
        assert device.waits.total() <= 60 * found.certificate.iterations


def test_epochs_of_sgd_wait_at_evaluations_and_three_times_besides():
    features = make_features()

    def waits(epochs):
        # Evaluated at the start, after the first epoch and at the end.
        sweep = replace(SWEEP, epochs=epochs, evaluations=1)
        with pretended_cuda() as device:
            return device.counted(train, features, sweep, device="cuda")

    # For the order of the samples on its way to the device, and for the clock at either end.
    assert waits(4) - waits(2) == 2 * 3
    assert waits(2) <= 40  # scores, penalties, widths, and the final networks


VARIANTS = {
    "cross-iteration": cross_iteration(3, burn_in=1),
    "naive": cross_iteration(3, burn_in=1, compensated=False),
    "renormalization": batch_renormalization(burn_in=1, ramp=2),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_bn_wait_for_their_first_iteration_alone(name):
    """For the number of iterations so far, which others may have set, and whether it is finite."""
    with pretended_cuda() as device:
        layer = torch.nn.Linear(4, 3).to("cuda")
        norm, X = VARIANTS[name](layer), torch.randn(6, 4, device="cuda")
        step = lambda: norm(layer(X)).square().sum().backward()  # noqa: E731
        assert device.counted(step) <= 3
        assert [device.counted(step) for _ in range(4)] == [0] * 4
        norm.load_state_dict(norm.state_dict())
        assert device.counted(step) == 1
        assert (int(norm.iterations), device.counted(step)) == (6, 0)


@pytest.mark.parametrize("window", [2, 3, 4])
def test_a_batch_that_is_not_finite_does_not_spoil_the_next_one(kind, window):
    X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))

    def outputs(device):
        layer = torch.nn.Linear(4, 3).to(device)
        with torch.no_grad():
            layer.weight.copy_(weights)
            layer.bias.zero_()
        norm, rows = cross_iteration(window)(layer), X.to(device)
        batches = [rows / 0, rows, 2 * rows, rows / 0]
        for batch in batches:
            norm(layer(batch))
        return [norm.past_iteration.tolist(), norm(layer(3 * rows)), norm.past_iteration.tolist()]

    here, there = both(kind, outputs)
    assert there[1].isfinite().all()
    if window == 4:  # which is not full: the one before the last batch stands in for it
        assert (here[0], there[0]) == ([0, 1, -1], [0, 1, 1])
        return
    assert_same(here[:2], there[:2], tolerance=ROUNDING)
    # On the device the last batch has been counted.
    assert here[2] == {2: [2], 3: [2, 1]}[window]
    assert there[2] == {2: [3], 3: [0, 3]}[window]


def test_minibatches_wait_once_in_many_steps(monkeypatch):
    def waits(epochs):
        with pretended_cuda() as device:
            return device.counted(_minibatches, "cuda", 0.05, epochs)

    evaluated = 4  # numbers of an evaluation: the accuracy is of scores and labels
    assert waits(2) - waits(1) <= 1 + evaluated  # 6 steps, at whose end the losses are read
    monkeypatch.setattr(minibatches, "UNREAD", 1)
    assert waits(2) - waits(1) >= 6
