"""The embedded sample: what is in its file, and that it is what the official files make."""

import bz2
import tomllib

import numpy as np
import pytest

from convexbn.data import cifar_sample
from convexbn.data.images import Images
from convexbn.data.preprocessing import prepare
from convexbn.data.sources import SOURCES, load_images
from convexbn.imports import PACKAGE

SIZES = {"train": None, "validation": 500, "test": None, "seed": 0}


@pytest.fixture(scope="module")
def sample():
    return load_images("cifar10_sample")


@pytest.fixture(scope="module")
def cifar10(cifar_dir):
    return load_images("cifar10", folder=cifar_dir)


def test_the_sample_has_the_sizes_of_its_row_and_balanced_classes(sample):
    row = SOURCES["cifar10_sample"]
    assert sample.train_images.shape == (row.train, *row.shape)
    assert sample.test_images.shape == (row.test, *row.shape)
    assert np.bincount(sample.train_labels).tolist() == 10 * [row.train // 10]
    assert np.bincount(sample.test_labels).tolist() == 10 * [row.test // 10]
    assert 0 <= sample.train_images.min() < sample.train_images.max() <= sample.white


def test_the_file_is_small_and_a_wheel_has_it():
    assert cifar_sample.FILE.stat().st_size < 5e6
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())
    path = cifar_sample.FILE.relative_to(PACKAGE).as_posix()
    assert path in project["tool"]["setuptools"]["package-data"]["convexbn"]


def test_the_official_files_make_the_sample_byte_for_byte(cifar10):
    """Compared is the content, as how bzip2 compresses it may depend on its version."""
    remade = cifar_sample.packed(cifar_sample.drawn(cifar10))
    assert remade == bz2.decompress(cifar_sample.FILE.read_bytes())


def test_its_features_are_those_of_the_official_images_averaged(sample, cifar10):
    """To the last bit those that `pool: 2` makes of these images, as in cifar-small.yaml."""
    assert sample.classes == cifar10.classes
    small, pooled = prepare(sample, **SIZES), prepare(_official(sample, cifar10), pool=2, **SIZES)
    for name, value in vars(pooled).items():
        np.testing.assert_array_equal(getattr(small, name), value, err_msg=name)


def test_images_come_back_from_their_differences():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 1021, size=(5, *cifar_sample.SHAPE)).astype(np.uint16)
    images[0], images[1, ::2] = 0, 1020  # the largest differences of both signs
    differences = cifar_sample.encoded(images)
    assert differences.min() >= 0
    assert differences.max() < 1024
    np.testing.assert_array_equal(cifar_sample.decoded(differences), images)


def test_a_damaged_file_is_not_read(monkeypatch, tmp_path):
    content = bytearray(cifar_sample.FILE.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "damaged.bz2"
    path.write_bytes(content)
    monkeypatch.setattr(cifar_sample, "FILE", path)
    with pytest.raises(OSError, match="Invalid data stream"):
        cifar_sample.read_cifar_sample()


def _official(sample: Images, cifar10: Images) -> Images:
    """Return the official images that the sample was made from, found by their pixels."""
    tensors = {}
    for split in ("train", "test"):
        official = getattr(cifar10, f"{split}_images")
        corners = (official[:, i::2, j::2].astype(np.uint16) for i in (0, 1) for j in (0, 1))
        place = {image.tobytes(): i for i, image in enumerate(sum(corners))}
        rows = [place[image.tobytes()] for image in getattr(sample, f"{split}_images")]
        tensors[f"{split}_images"] = official[rows]
        tensors[f"{split}_labels"] = getattr(cifar10, f"{split}_labels")[rows]
    return Images.from_tensors(tensors, cifar10.classes)
