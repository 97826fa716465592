"""Estimates of memory against the sizes of real data sets and the peak of real work."""

import subprocess
import sys

import pytest
from footprints import CIFAR, check, measured

from convexbn.pipeline import footprint
from convexbn.pipeline.footprint import Size, size_of

DIGITS = {"source": "digits", "train": None, "validation": 200, "test": 300, "pool": 1}
TILES = {"patches": {"size": 4, "stride": 4}}


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        (CIFAR, Size(45_000, 15_000, 3072, 10)),
        (CIFAR | {"validation": 0}, Size(50_000, 10_000, 3072, 10)),
        (CIFAR | {"train": 500, "validation": 0, "test": 1000}, Size(500, 1000, 3072, 10)),
        (CIFAR | {"color": "gray", "pool": 2}, Size(45_000, 15_000, 256, 10)),
        (CIFAR | {"color": "rgb", "pool": 4}, Size(45_000, 15_000, 192, 10)),
        (CIFAR | {"classes": ["cat", "dog"]}, Size(45_000, 15_000, 3072, 2)),
        (CIFAR | {"source": "cifar100"}, Size(45_000, 15_000, 3072, 100)),
        (CIFAR | {"source": "cifar100", "labels": "fine"}, Size(45_000, 15_000, 3072, 100)),
        (CIFAR | {"source": "cifar100", "labels": "coarse"}, Size(45_000, 15_000, 3072, 20)),
        (CIFAR | {"source": "image_folder", "size": [16, 8]}, Size(45_000, 15_000, 384, 100)),
        (DIGITS | {"train": 1000}, Size(1000, 500, 64, 10)),
        (DIGITS | {"train": 1000, "pool": 2}, Size(1000, 500, 16, 10)),
        (CIFAR | {"pool": 2} | TILES, Size(45_000, 15_000, 48, 10, 16)),
        (
            CIFAR | {"pool": 2, "patches": {"size": 3, "stride": 3}},
            Size(45_000, 15_000, 27, 10, 25),
        ),
        (CIFAR | {"color": "gray", "patches": {"size": 3}}, Size(45_000, 15_000, 9, 10, 900)),
        (
            DIGITS | {"train": 1000, "patches": {"size": 3, "stride": 2, "padding": 2}},
            Size(1000, 500, 9, 10, 25),
        ),
    ],
)
def test_sizes(entry, size):
    assert size_of(entry) == size


FOLDER = CIFAR | {"source": "image_folder"}
FEW = CIFAR | {"train": 40}


@pytest.mark.parametrize(
    ("entry", "n", "directions"),
    [
        (CIFAR, 45_000, 3072),
        (FEW, 40, 39),  # one is lost by centring
        (FEW | {"pool": 2} | TILES, 40, 48),
        (FEW | {"pool": 4, "patches": {"size": 8}}, 40, 39),
        # Before images are read nobody knows how many there are, or how large.
        (CIFAR | {"classes": ["cat", "dog"]}, None, 3072),
        (FOLDER, None, None),
        (FOLDER | {"size": [16, 8]}, None, 384),
        (FOLDER | {"train": 40}, 40, 39),
        (DIGITS, 1297, 64),
        (DIGITS | {"test": None}, None, 64),
    ],
)
def test_what_is_known_before_images_are_read(entry, n, directions):
    assert footprint.samples_of(entry) == n
    assert footprint.directions_of(entry) == directions


def test_digits_without_a_split_are_not_more_than_all():
    """The number of remaining samples is not known here; an upper estimate is enough."""
    size = size_of(DIGITS)
    assert 1797 - 200 - 300 <= size.n <= 1797
    assert size.m == 500


@pytest.mark.parametrize("more", [{"gates": 256}, {"seeds": 20}, {"betas": [1.0] * 20}])
def test_more_work_takes_more_memory(more):
    run = {"gates": 128, "seeds": 5, "betas": [1.0]}
    assert footprint.convex(CIFAR, run | more) > footprint.convex(CIFAR, run)
    assert footprint.convex(CIFAR, run | {"rank": 100}) < footprint.convex(CIFAR, run)


def test_each_of_several_processes_has_its_share_of_the_training_samples():
    run = {"gates": 4096, "seeds": 5, "betas": [1.0], "rank": 100}
    one, four = (footprint.convex(CIFAR, run | {"processes": k}) for k in (1, 4))
    assert footprint.convex(CIFAR, run) == one
    assert four / 4 < one < four
    shared = run | {"processes": 4, "nodes": 2}
    assert footprint.of_node(CIFAR, shared) == -(-footprint.convex(CIFAR, shared) // 2)
    assert footprint.judged(CIFAR, shared) == one
    # One run after the other, and copies of the test images.
    solved = [run | {"rank": 10}, shared]
    assert one < footprint.likeness(CIFAR, solved, []) < one + 600
    # torchrun is there once on each node.
    assert footprint.convex(CIFAR, shared) - four == footprint._INTERPRETER


def test_likeness_holds_all_networks_of_a_sweep():
    small = {"gates": 64, "seeds": 1, "betas": [1.0], "rank": 20}
    sweep = {"width": 4096, "learning_rates": [0.1] * 3, "betas": [1.0] * 4, "seeds": 5}
    networks = 4 * 60 * 4096 * (3072 + 10) // 10**6
    features = 4 * 60_000 * 3072 // 10**6
    assert footprint.likeness(CIFAR, [small], [sweep]) > networks + features + 700


def test_deep_networks_take_the_memory_of_their_data_and_of_what_they_compare():
    entry = {"width": 16, "statistics": {"images": 5000}}
    large = CIFAR | {"source": "image_folder", "size": [64, 64], "train": 50_000, "test": 10_000}
    with_statistics, without = (footprint.networks(CIFAR, e) for e in (entry, {"width": 16}))
    values = 4 * 5000 * 16 * 32**2 // 10**6  # of one layer
    assert with_statistics > without + 2 * values
    assert footprint.networks(large, {}) > 4 * 65_000 * 64 * 64 * 3 // 10**6


def test_tuning_with_some_seeds_takes_less_memory():
    run = {"gates": 128, "seeds": 20, "betas": [1.0] * 20}
    sweep = {"network": "bn", "width": 2048, "batch_size": 100, "learning_rates": [0.1] * 20} | run
    tuned = {"tuning_seeds": 1}
    assert footprint.convex(CIFAR, run | tuned) < footprint.convex(CIFAR, run)
    assert footprint.sgd(CIFAR, sweep | tuned) < footprint.sgd(CIFAR, sweep)


def test_augmented_batches_and_their_table_take_memory():
    run = {"network": "bn", "width": 64, "batch_size": 1000, "learning_rates": [0.1]}
    run |= {"betas": [1.0], "seeds": 1}
    more = footprint.sgd(CIFAR, run | {"shift": 4}) - footprint.sgd(CIFAR, run)
    # A batch of places and of images, padded and not, and 162 rows of places: 16 and 8 bytes each.
    assert more == pytest.approx(3072 * (16 * 1000 + 8 * 162) / 1e6, abs=1)


@pytest.mark.parametrize("stage", ["features", "whitening", "gates", "convex"])
def test_patches_take_memory_as_their_rows_do(stage):
    """Overlapping patches hold every pixel nine times; every row has its activations."""
    run = {"gates": 128, "seeds": 1, "betas": [1.0]}
    arguments = [run] if stage in ("gates", "convex") else []
    estimate = getattr(footprint, stage)
    small, whole, cut = (
        estimate(entry, *arguments)
        for entry in (CIFAR | {"train": 10}, CIFAR, CIFAR | {"patches": {"size": 3}})
    )
    assert cut > 2 * whole
    assert whole >= small


def test_import_is_light():
    """Every Snakemake process reads this module."""
    program = (
        "import sys, convexbn.pipeline.footprint; print({'torch', 'numpy'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"


# In each: `base` MB with all imports, `peak` MB after the work.
CONVEX = """
features = {{"Y_train": np.eye(C, dtype=np.float32)[np.arange(n) % C]}}
for split, rows in (("train", n), ("validation", 0), ("test", m)):
    shape = (rows, d) if K == 1 else (K, rows, d)
    features["X_" + split] = rng.standard_normal(shape, dtype=np.float32)
    features["labels_" + split] = np.arange(rows) % C
whitening = whiten(features["X_train"].reshape(K * n, d))
if {filter}:
    whitening = whitening.filtered(**{filter})
gates = np.stack([sample_gates(whitening.U, {gates}, seed) for seed in range({seeds})])
settings = Settings(tuple({betas}), 1e-9, max_iterations=10, allow_uncertified=True)
run = Run(settings, features, whitening, list(range({seeds})), gates, np.zeros({seeds}))
solutions, history = solve_run(run)
certify_run(run, solutions)
evaluate_run(run, solutions)
"""


def test_estimate_for_whitening_holds():
    entry = CIFAR | {"train": 2500, "validation": 0, "test": 10, "pool": 2}  # d = 768
    base, peak = measured(size_of(entry), "whiten(rng.standard_normal((n, d), dtype=np.float32))")
    check(footprint.whitening(entry), base, peak)


def test_estimate_for_gates_holds():
    entry = CIFAR | {"train": 4000, "validation": 0, "test": 10, "pool": 2}  # d = 768
    # A design of the right shape is enough: with this many samples no two patterns are equal.
    work = "sample_gates(rng.standard_normal((n, d + 1)), 2048, 0)"
    base, peak = measured(size_of(entry), work)
    check(footprint.gates(entry, {"gates": 2048, "seeds": 1}), base, peak)


RUN = {"gates": 256, "seeds": 1, "betas": [30.0, 20.0, 10.0]}


@pytest.mark.parametrize("run", [RUN, RUN | {"filter": {"kind": "ridge", "value": 0.1}}])
def test_estimate_for_a_run_holds(run):
    entry = CIFAR | {"train": 1500, "validation": 0, "test": 200, "color": "gray", "pool": 2}
    entry |= {"classes": list("abcd")}
    work = CONVEX.format(**{"filter": None} | run)
    base, peak = measured(size_of(entry), work)
    check(footprint.convex(entry, run), base, peak)


def test_estimate_for_a_run_on_patches_holds():
    entry = CIFAR | {"train": 2000, "validation": 0, "test": 1000, "pool": 2} | TILES
    entry |= {"classes": list("abcd")}
    run = {"gates": 128, "seeds": 1, "betas": [1.0, 0.5]}
    base, peak = measured(size_of(entry), CONVEX.format(**run, filter=None))
    check(footprint.convex(entry, run), base, peak)


PREPARE = """
from convexbn.data.images import Images
from convexbn.data.preprocessing import prepare
images = rng.integers(0, 256, (60000, 32, 32, 3), dtype=np.uint8)
labels, classes = np.arange(60000) % 10, "abcdefghij"
images = Images(images[:50000], labels[:50000], images[50000:], labels[50000:], tuple(classes))
features = prepare(images, **{options}, seed=0)
X = [features.X_train.tobytes(), features.X_test.tobytes()]  # as they are written
"""


def test_estimate_for_features_holds():
    options = {"train": 5000, "validation": 0, "test": None, "pool": 2, "patches": {"size": 3}}
    entry = {"source": "cifar10"} | options
    base, peak = measured(size_of(entry), PREPARE.format(options=options))
    check(footprint.features(entry), base, peak)
