"""What is refused of a config: entries that do not fit together."""

import pytest

from convexbn.pipeline import checks

DIGITS = {"source": "digits", "train": 300, "validation": 100, "test": None, "pool": 1}
DIGITS |= {"targets": "one_hot"}
TILES = DIGITS | {"patches": {"size": 4}}
DATASETS = {"digits": DIGITS, "tiles": TILES}
RUN = {"dataset": "digits", "seeds": 3}


def test_unknown_keys_are_refused_by_name():
    checks.check_keys({"seed": 0, "datasets": {}}, ["datasets"])
    with pytest.raises(ValueError, match=r"'epochs' was unexpected.*seed, .*, datasets"):
        checks.check_keys({"epochs": 1}, ["datasets"])


def test_a_dataset_that_is_missing_or_of_patches_is_refused():
    checks.check_dataset(DATASETS, "x", "tiles")
    with pytest.raises(ValueError, match=r"x names the dataset 'mnist'.* digits, tiles"):
        checks.check_dataset(DATASETS, "x", "mnist")
    with pytest.raises(ValueError, match="x names the dataset 'tiles' of patches"):
        checks.check_dataset(DATASETS, "x", "tiles", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "mnist"}, "run 'r' names the dataset 'mnist'"),
        ({"dataset": "tiles", "shift": 1}, "run 'r', with flip or shift, names the dataset"),
        ({"dataset": "tiles", "flip": True}, "run 'r', with flip or shift, names the dataset"),
        ({"tuning_seeds": 4}, "run 'r': tuning_seeds must be"),
        ({"tuning_seeds": 1, "dataset": "none"}, "run 'r': 1 of 3 seeds choose"),
        ({"processes": 4, "nodes": 3}, "run 'r': .* on each of 3 nodes, got 4 .* processes: 6"),
        ({"batch_size": 301}, "run 'r': batch_size must be at most 300, .* got 301"),
        ({"nodes": 2}, "run 'r': .* on each of 2 nodes, got 1 .* processes: 2"),
    ],
)
def test_a_run_that_cannot_be_made_is_refused(change, words):
    datasets = DATASETS | {"none": DIGITS | {"validation": 0}}
    checks.check_runs(datasets, {"r": RUN, "s": RUN | {"dataset": "tiles", "shift": 0}})
    with pytest.raises(ValueError, match=words):
        checks.check_runs(datasets, {"r": RUN | change})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"batch_sizes": [2, 300, 400]}, "batch_sizes must be at most 300, .* got 400"),
        ({"samples": 50, "batch_size": 51}, "batch_size must be at most 50, .* got 51"),
        ({"samples": 301}, "samples must be at most 300, .* got 301"),
        ({"statistics": {"images": 301}}, "images must be at most 300, .* got 301"),
        ({"n": 301}, "n must be at most 300, .* got 301"),
        ({"dataset": "tiles"}, "names the dataset 'tiles' of patches"),
    ],
)
def test_an_entry_that_asks_for_more_images_than_there_are_is_refused(entry, words):
    most = {"samples": 300, "batch_size": 300, "batch_sizes": [300], "part": {"images": 300}}
    checks.check_entry(DATASETS, "entry 'e'", {"dataset": "digits", **most})
    with pytest.raises(ValueError, match=f"entry 'e'.* {words}"):
        checks.check_entry(DATASETS, "entry 'e'", {"dataset": "digits", **entry})


def test_images_of_a_folder_are_counted_when_they_are_read():
    folder = {"source": "image_folder", "train": None, "validation": 0, "test": 0, "pool": 1}
    entry = {"dataset": "mine", "batch_size": 10**6}
    checks.check_entry({"mine": folder}, "entry 'e'", entry)
    with pytest.raises(ValueError, match="at most 10, "):
        checks.check_entry({"mine": folder | {"train": 10}}, "entry 'e'", entry)


IMAGES = DIGITS | {"test": 300, "targets": "one_hot"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pool": 3}, "pool must divide .* 8 x 8, got 3"),
        ({"patches": {"size": 9}}, "size of patches must be at most .* 8 x 8 pixels, got 9"),
        ({"patches": {"size": 5}, "pool": 2}, "4 x 4 pixels, got 5"),
        ({"train": 1500}, r"train \+ validation \+ test ask for 1900 images, .* has 1797"),
        ({"source": "cifar10", "train": 49_901}, r"train \+ validation ask for 50001 images"),
        ({"source": "cifar10", "test": 10_001}, "test ask for 10001 images, .* has 10000"),
        ({"source": "image_folder", "size": [8, 6], "pool": 4}, "8 x 6, got 4"),
    ],
)
def test_a_data_set_that_its_images_cannot_give_is_refused(change, words):
    checks.check_images("d", IMAGES)
    checks.check_images("d", IMAGES | {"patches": {"size": 9, "padding": 1}})
    checks.check_images("d", IMAGES | {"source": "image_folder", "pool": 7})  # known when read
    with pytest.raises(ValueError, match=f"dataset 'd': .*{words}"):
        checks.check_images("d", IMAGES | change)


@pytest.mark.parametrize(
    ("change", "targets", "words"),
    [
        ({"rank": 65}, "one_hot", "rank must be at most 64, as the whitened data have .* got 65"),
        ({"loss": "logistic"}, "one_hot", "loss logistic is for targets: plus_minus, and those"),
        ({"loss": "squared_hinge"}, "one_hot", "loss squared_hinge is for targets: plus_minus"),
        ({"loss": "cross_entropy"}, "plus_minus", "loss cross_entropy is for targets: one_hot"),
    ],
)
def test_a_program_that_is_not_for_its_data_is_refused(change, targets, words):
    datasets = {"digits": IMAGES | {"targets": targets}}
    checks.check_runs(datasets, {"r": RUN | {"rank": 64, "loss": "squared"}})
    with pytest.raises(ValueError, match=f"run 'r': {words}"):
        checks.check_runs(datasets, {"r": RUN | change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rank": 40}, "rank must be at most 39, as the whitened data have no more .* got 40"),
        ({"ranks": [2, 40]}, "rank must be at most 39, .* got 40"),
        ({"rank": 8, "ranks": [4, 16]}, "ranks must be at most its rank, 8, got 16; leave it out"),
        ({"dataset": "mine"}, "names the dataset 'mine', which is not in the config"),
    ],
)
def test_filters_are_learned_at_ranks_that_the_data_have(change, words):
    datasets, run = {"digits": IMAGES | {"train": 40}}, {"dataset": "digits", "ranks": [39]}
    checks.check_learned(datasets, "l", run)
    with pytest.raises(ValueError, match=f"run 'l' of learned_filters.* {words}"):
        checks.check_learned(datasets, "l", run | change)
