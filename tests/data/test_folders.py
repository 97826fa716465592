"""Folders of images as users and their systems leave them."""

import logging
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from convexbn.data.folders import read_folder
from convexbn.data.preprocessing import prepare

SPLIT = {"train": 2, "validation": 1, "test": 1}


def picture(path, value=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), (value, 0, 0)).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path):
    for i, name in enumerate("ab"):
        picture(tmp_path / "train" / name / "1.png", 10 * i)
        picture(tmp_path / "train" / name / "2.png", 10 * i + 1)
    return tmp_path


def reds(images):
    return images.train_images[:, 0, 0, 0].tolist()


# --- names of classes -----------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_class_is_found_in_either_form_of_unicode(root, stored, wanted):
    """In the test split it may be in the other one."""
    other = "NFD" if stored == "NFC" else "NFC"
    picture(root / "train" / unicodedata.normalize(stored, "café") / "1.png", 7)
    picture(root / "train" / unicodedata.normalize(stored, "café") / "2.png", 7)
    picture(root / "test" / unicodedata.normalize(other, "café") / "1.png", 7)
    picture(root / "test/a/1.png", 0)
    images = read_folder(root)
    assert images.classes == ("a", "b", unicodedata.normalize("NFC", "café"))
    assert images.test_labels.tolist() == [0, 2]
    classes = ["a", unicodedata.normalize(wanted, "café")]
    sizes = {"train": 2, "validation": 2, "test": 2}
    features = prepare(images, **sizes, classes=classes, normalize="none", seed=0)
    assert features.labels_train.tolist() == [int(round(255 * x[0]) == 7) for x in features.X_train]


def test_the_order_of_classes_is_that_of_composed_names(root):
    """In bytes, a decomposed e with an accent comes before f, and a composed one after z."""
    for name in (unicodedata.normalize("NFD", "é"), "f"):
        picture(root / "train" / name / "1.png")
    assert read_folder(root).classes == ("a", "b", "f", "é")


def test_two_folders_in_two_forms_are_refused(root):
    for form in ("NFC", "NFD"):
        picture(root / "train" / unicodedata.normalize(form, "café") / "1.png")
    if len(list((root / "train").iterdir())) < 4:
        pytest.skip("this file system has one folder for both forms")
    message = r"two folders for the class 'café'.*'cafe\\u0301' and 'caf\\xe9'; put their images"
    with pytest.raises(ValueError, match=message):
        read_folder(root)


def test_the_same_class_asked_for_in_both_forms_is_one_class(root):
    picture(root / "train/café/1.png")
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    with pytest.raises(ValueError, match="at least two different names"):
        prepare(read_folder(root), **SPLIT, classes=forms, seed=0)


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_class_whose_name_is_no_text_is_refused(root):
    try:
        picture(root / "train" / os.fsdecode(b"caf\xe9") / "1.png")
    except OSError:
        pytest.skip("this file system refuses such names itself")
    with pytest.raises(ValueError, match=r"a class 'caf\\udce9' whose name is not UTF-8; rename"):
        read_folder(root)


# --- what lies beside -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("Test", "TEST", "tests", "testing", "val", "valid", "validation", "Validation", "dev"),
        *("Train", "training", "train_2", "val-images", "test1", "eval", "hold-out", "holdout"),
    ],
)
def test_a_split_that_nobody_reads_is_refused(root, name):
    picture(root / name / "a/1.png")
    if (root / name).samefile(root / "train"):
        pytest.skip("this file system does not tell upper from lower case")
    with pytest.raises(ValueError, match=rf"{name} would not be read: .* from test/.*; rename it"):
        read_folder(root)


@pytest.mark.parametrize("name", ["raw", "values", "developers", "testimonials"])
def test_any_other_folder_is_warned_of(root, name, caplog):
    picture(root / name / "1.png")
    assert len(read_folder(root).train_images) == 4
    assert f"{name} is not read" in caplog.text


def test_a_split_in_upper_case_alone_is_named(root):
    (root / "train").rename(root / "Train")
    if (root / "train").exists():
        pytest.skip("this file system does not tell upper from lower case")
    with pytest.raises(FileNotFoundError, match=r"train is missing; .* holds Train; correct path"):
        read_folder(root)


def test_a_file_in_place_of_a_split_is_refused(root):
    (root / "test").write_text("")
    with pytest.raises(ValueError, match="test must hold one folder per class"):
        read_folder(root)
    (root / "test").unlink()
    (root / "test").symlink_to("nowhere")
    with pytest.raises(ValueError, match="test must hold one folder per class"):
        read_folder(root)


def test_what_systems_leave_is_ignored(root, caplog):
    (root / "README.txt").write_text("about")
    for folder in (root, root / "train", root / "train/a"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.png"):
            (folder / name).write_text("")
        for name in ("__MACOSX", ".ipynb_checkpoints", "@eaDir"):
            picture(folder / name / "1.png")
    images = read_folder(root)
    assert (images.classes, reds(images)) == (("a", "b"), [0, 1, 10, 11])
    assert not caplog.records


# --- what lies inside -----------------------------------------------------------------------------


def test_a_folder_in_a_class_is_named(root):
    picture(root / "train/a/more/1.png")
    with pytest.raises(ValueError, match=r"a/more is a folder; expected the images of a class dir"):
        read_folder(root)


@pytest.mark.parametrize("place", ["train/loop", "train/a/loop"])
def test_a_link_to_itself_is_named(root, place):
    (root / place).symlink_to(root / place)
    with pytest.raises(ValueError, match=r"broken link"):
        read_folder(root)


def test_a_link_to_a_folder_above_is_named(root):
    (root / "train/loop").symlink_to(root / "train")
    with pytest.raises(ValueError, match=r"train/loop/a is a folder"):
        read_folder(root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_named_and_not_waited_for(root):
    os.mkfifo(root / "train/a/3.png")
    with pytest.raises(ValueError, match=r"3\.png is a broken link or no ordinary file"):
        read_folder(root)


def test_links_to_images_and_classes_are_followed(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    picture(elsewhere / "c/1.png", 20)
    (root / "train/c").symlink_to(elsewhere / "c")
    (root / "train/a/3.png").symlink_to(elsewhere / "c/1.png")
    assert reds(read_folder(root)) == [0, 1, 20, 10, 11, 20]


def test_remarks_are_logged_once_each_with_the_first_image(root, caplog):
    frames = {"save_all": True, "append_images": [Image.new("RGB", (3, 2), "blue")]}
    for name in ("3.gif", "4.gif", "5.gif"):
        picture(root / "train/b" / name, 12, **frames)
    with caplog.at_level(logging.WARNING):
        assert len(read_folder(root).train_images) == 7
    (message,) = (record.getMessage() for record in caplog.records)
    assert "b/3.gif (and 2 other images): it has several frames" in message


@pytest.mark.parametrize("size", [[8], [0, 8], [8, 8, 3], [8.0, 8], [True, 8], "88"])
def test_a_size_that_is_none_is_refused(root, size):
    with pytest.raises(ValueError, match="size must be"):
        read_folder(root, size)


def test_images_of_this_folder_come_as_before(root):
    images = read_folder(root)
    assert reds(images) == [0, 1, 10, 11]
    np.testing.assert_array_equal(images.train_labels, [0, 0, 1, 1])
    assert images.train_images.shape == (4, 2, 3, 3)
