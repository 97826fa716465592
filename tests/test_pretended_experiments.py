"""The experiments that take a device: on one that only claims to be CUDA, and on a real one.

As in `test_pretended_cuda.py`, where the headline's runs and the bias are. On a real device, whose
sums come in another order, some numbers are not compared, as rounding may move them by more than
itself: accuracies, of which a sample is a large share, densities, and the later points of descents.
"""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import small_images
import torch
from headline_runs import make_run
from learned_cases import SETTINGS as LEARNED
from learned_cases import features as learned_features
from on_devices import KINDS, ROUNDING, assert_same, both
from pretended_cuda import pretended_cuda
from sweep_features import SWEEP, make_features, make_patches

from convexbn.experiments.cross_iteration import measure as cross_iteration
from convexbn.experiments.headline.likeness import images
from convexbn.experiments.headline.stages import solve_run
from convexbn.experiments.knobs import measure as knobs
from convexbn.experiments.learned_filters import measure as learned_filters
from convexbn.experiments.learned_filters.settings import GRID
from convexbn.experiments.learning_rates import gradients, landscape, noise, stability, training
from convexbn.experiments.learning_rates.summaries import DENSITY
from convexbn.experiments.rescaling import measure as rescaling
from convexbn.training.checkpoints import Parts
from convexbn.training.engine import train
from convexbn.training.trained import scores_by_seed
from convexbn.whitening import whiten

SECONDS = ["seconds", "backward_seconds"]


# --- learned filters ------------------------------------------------------------------------------


def learned(device, parts=None, tolerance=1e-5):
    """Return the tables of solves and gains of a few solves."""
    settings = replace(LEARNED, evaluations=2, tolerance=tolerance)
    features = learned_features()
    return learned_filters.measure(
        features, whiten(features["X_train"]), settings, 0, device, parts
    )


def test_learned_filters(kind):
    def measured(device):
        # On a real device both are optima, 1e-8 from the least objective at most.
        solves, gains = learned(device, tolerance=1e-5 if kind == "pretended" else 1e-8)
        if kind == "pretended":
            return [solves.drop(columns=SECONDS), gains]
        is_first = solves["method"].isin(GRID) | (solves["step"] == 1)
        return [solves.loc[is_first, ["method", "step", "beta", "validation_loss"]]]

    # Solves round to float32 until the gap asks for more, and a step of a descent is longer by some
    # factor than the gradient; predictions of two optima differ by the root of their gap.
    assert_same(*both(kind, measured), 10 * ROUNDING if kind == "pretended" else 1e-3)


def test_learned_filters_go_on_from_their_parts(kind, tmp_path):
    """Gains of the device come back to it from the files of the grid and of the descents."""
    parts = Parts(tmp_path / "parts")
    with KINDS[kind]():
        first, again = learned("cuda", parts), learned("cuda", parts)
    assert first[0]["seconds"].tolist() == again[0]["seconds"].tolist()  # nothing is solved again
    assert_same(list(first), list(again), tolerance=0)


# --- the comparison image by image ----------------------------------------------------------------


@pytest.mark.parametrize("patches", [1, 3])
def test_likeness(kind, monkeypatch, patches):
    monkeypatch.setattr(images, "BLOCK", 4)  # the last block has three images
    rng = np.random.default_rng(0)
    shapes = [(7, 12), (11, 12)] if patches == 1 else [(patches, 7, 4), (patches, 11, 4)]
    X, others = (rng.standard_normal(shape) for shape in shapes)
    # Sums of twelve products in float32.
    assert_same(*both(kind, partial(images.likeness, X, others)), tolerance=1e-6)


def test_which_images_solutions_have_right(kind):
    run = make_run(betas=(2.0, 1.0))
    solutions, _ = solve_run(run)

    def judged(device):
        return images.correct_of_solutions(replace(run, device=device), solutions, 1.0)

    here, there = both(kind, judged)
    assert list(here) == run.seeds
    assert_same(here, there, tolerance=0)


@pytest.mark.parametrize("make", [make_features, make_patches])
def test_which_images_networks_have_right(kind, make):
    features, sweep = make(), replace(SWEEP, epochs=1)
    _, parameters = train(features, sweep)  # as they are saved

    def judged(device):
        there = parameters, 0.1, 0.01, device
        scores = scores_by_seed(features, sweep, *there)
        assert {values.device.type for values in scores.values()} == {"cpu"}
        return [scores, images.correct_of_networks(features, sweep, *there)]

    (scores, right), (same, still) = both(kind, judged)
    assert list(right) == [0, 1]
    assert_same(scores, same, tolerance=ROUNDING)
    assert_same(right, still, tolerance=0)


# --- trainings of networks ------------------------------------------------------------------------

IMAGES = small_images.features(n=12)
TARGETS = np.eye(small_images.CLASSES, dtype=np.float32)[IMAGES["labels_train"]]
RATES = {"learning_rates": [0.02]}
RUN = {"epochs": 1, "batch_size": 6, "weight_decays": [0.01], "classifier_decay": 0.001, **RATES}
CROSSED = {"depth": 8, "width": 2, "window": 3, "burn_in": 0.25, "learning_rate": 0.1}
ACCURACIES = {"accuracies": {"batch_sizes": [3], "epochs": 1}}
STATISTICS = {
    **{"batch_size": 4, "iterations": 5, "points": 1, "ages": [1], "windows": [1, 2]},
    "images": 12,
}
NETWORK = {"depth": 8, "depths": [8], "width": 2, **RATES}
# What is measured, of which images, and with which settings.
EXPERIMENTS = {
    "knobs": (
        knobs.measure,
        IMAGES | {"Y_train": TARGETS},
        {
            **{"width": 5, "epochs": 1, "momentum": 0.9, "beta": 0.5, "window": 2, **RATES},
            **{"burn_in": 0.5, "batch_size": 3, "batch_sizes": [3]},
        },
    ),
    "rescaling": (rescaling.runs, IMAGES, {**RUN, "widths": [5], "samples": 12}),
    "cross-iteration BN": (cross_iteration.accuracies, IMAGES, CROSSED | ACCURACIES),
    "its statistics": (cross_iteration.statistics, IMAGES, CROSSED | {"statistics": STATISTICS}),
    "learning rates": (
        training.measure,
        IMAGES,
        {**NETWORK, "epochs": 1, "batch_size": 6, "momentum": 0.9, "weight_decay": 5e-4},
    ),
    "stability": (stability.measure, IMAGES, {**NETWORK, "batch_size": 6, "updates": 2}),
    "gradients": (gradients.measure, IMAGES, {**NETWORK, "batch_size": 6}),
    "landscape": (landscape.measure, IMAGES, {**NETWORK, "batch_size": 6, "steps": [0.02]}),
    "noise": (noise.measure, IMAGES, {**NETWORK, "images": 6, "batch_sizes": [3], "draws": 3}),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments(kind, name):
    compare(kind, *EXPERIMENTS[name])


def test_a_vgg_with_adam(kind):
    pytest.importorskip("torchvision")
    settings = {**RUN, "plan": [4, "M", 4], "optimizer": "adam"}
    compare(kind, rescaling.runs, small_images.features(n=12, channels=3), settings)


@contextmanager
def no_tf32():
    """Fail where a network computes on the device in TF32, or by what does not repeat."""

    def check(module, inputs, output):
        if isinstance(output, torch.Tensor) and output.is_cuda:  # not while it is traced
            convolutions = torch.backends.cudnn
            assert (convolutions.deterministic, convolutions.allow_tf32) == (True, False)

    handle = torch.nn.modules.module.register_module_forward_hook(check)
    try:
        yield
    finally:
        handle.remove()


def compare(kind, measure, features, settings):
    """Compare the table of one seed."""

    def measured(device):
        with no_tf32():
            table = measure(features, settings, 0, device).drop(columns="seconds", errors="ignore")
        if kind == "pretended":
            return table
        if "quantity" in table:
            table = table[table["quantity"] != DENSITY]
        return table[[name for name in table if not name.endswith("accuracy")]]

    # At most four steps in float32; on a real device in another order, through BN of small batches.
    assert_same(*both(kind, measured), ROUNDING if kind == "pretended" else 1e-2)


# --- how often the host waits ---------------------------------------------------------------------


def waits(measure, settings):
    with pretended_cuda() as device:
        return device.counted(measure, IMAGES, settings, 0, "cuda")


def test_draws_of_minibatches_wait_for_none_of_their_gradients():
    _, _, settings = EXPERIMENTS["noise"]
    assert waits(noise.measure, settings | {"draws": 6}) == waits(noise.measure, settings)


def test_steps_between_measured_ones_do_not_wait():
    few, more = (CROSSED | {"statistics": STATISTICS | {"iterations": k}} for k in (5, 9))
    assert waits(cross_iteration.statistics, more) == waits(cross_iteration.statistics, few)
