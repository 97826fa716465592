"""Titles of figures say what the data are, in words and not in keys of a config."""

import pytest
import yaml
from workflow_runs import ROOT

from convexbn.pipeline import titles

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
DEFAULTS = {"pool": 1, "color": "rgb", "label_noise": 0, "draw": 0}
CIFAR = {**DEFAULTS, "source": "cifar10", "train": 10_000, "validation": 5_000, "test": None}


def datasets_of(config) -> dict:
    """Return a config's data sets with the defaults that titles read."""
    found = yaml.safe_load(config.read_text(encoding="utf-8"))["datasets"]
    return {name: DEFAULTS | entry for name, entry in found.items()}


@pytest.mark.parametrize("config", CONFIGS, ids=[config.stem for config in CONFIGS])
def test_no_title_is_a_key_of_a_config(config):
    datasets = datasets_of(config)
    found = {name: titles.data_words(name, datasets) for name in datasets}
    for name, title in found.items():
        assert title != name
        assert " pixels, " in title
        assert "$n$ = " in title
    assert len(set(found.values())) == len(found)  # different data, different words


def words(name, datasets) -> str:
    """Return the words for a data set, with a letter as the sign of multiplication."""
    return titles.data_words(name, datasets).replace("\u00d7", "x")


def test_data_in_words():
    digits = {**CIFAR, "source": "digits", "train": 1_000, "validation": 300}
    hundred = {**CIFAR, "source": "cifar100", "labels": "coarse", "label_noise": 0.2, "draw": 2}
    folder = {**CIFAR, "source": "image_folder", "train": None}
    datasets = {
        "a": {**CIFAR, "pool": 2},
        "b": digits,
        "c": {**hundred, "classes": ["fish", "people"], "patches": {"size": 4}},
        "d": folder,
        "e": {**folder, "train": 40, "size": [8, 12], "color": "gray"},
        "f": {**CIFAR, "train": None, "classes": ["cat", "dog"]},
    }
    assert [words(name, datasets) for name in datasets] == [
        "CIFAR-10, 16 x 16 colour pixels, $n$ = 10,000",
        "handwritten digits, 8 x 8 gray pixels, $n$ = 1,000",
        "CIFAR-100, superclasses, 2 classes, 32 x 32 colour pixels, convolution 4 x 4, "
        "$n$ = 10,000, 20% wrong labels, draw 2",
        "images 'd'",
        "images 'e', 8 x 12 gray pixels, $n$ = 40",
        "CIFAR-10, 2 classes, 32 x 32 colour pixels",
    ]


def test_a_title_has_the_number_of_seeds_and_a_run_where_there_are_several():
    datasets = {"a": CIFAR, "b": CIFAR}
    runs = {"x": {"dataset": "a", "seeds": 5}, "y": {"dataset": "b", "seeds": 1}}
    words = titles.data_words("a", datasets)
    assert titles.title_of("a", datasets, runs) == f"{words}, 5 seeds"
    assert titles.title_of("b", datasets, runs, "y") == f"{words}, 1 seed"
    runs["z"] = {"dataset": "a", "seeds": 2}
    assert titles.title_of("a", datasets, runs) == f"{words}, 2 to 5 seeds"
    assert titles.title_of("a", datasets, runs, "z") == f"{words}, 2 seeds (z)"


def test_a_study_is_named_by_what_its_data_sets_share():
    datasets = {"a": CIFAR, "b": {**CIFAR, "train": 500}, "c": {**CIFAR, "label_noise": 0.2}}
    assert titles.study_words(["a", "b"], datasets).endswith("32 colour pixels")
    assert titles.study_words(["a", "c"], datasets).endswith("colour pixels, $n$ = 10,000")


def test_panels_of_different_data_name_each_once():
    datasets = {"a": CIFAR, "b": {**CIFAR, "pool": 2}}
    a, b = (titles.data_words(name, datasets) for name in "ab")
    assert titles.all_words(["a", None, "a"], datasets) == a
    assert titles.all_words(["a", "b"], datasets) == f"{a}; {b}"
