"""Fingerprints of folders of images: the same for the same images, and for no others."""

import os
import shutil

import pytest

from convexbn.pipeline import fingerprints


@pytest.fixture
def folder(tmp_path):
    for name in ("train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "test/cat/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "images"


def replace(folder):
    (folder / "train/cat/1.png").write_bytes(b"TRAIN/CAT/1.PNG")  # as long as before


CHANGES = {
    "replaced": replace,
    "added": lambda folder: (folder / "train/dog/2.png").write_bytes(b"new"),
    "removed": lambda folder: (folder / "test/cat/1.png").unlink(),
    "renamed": lambda folder: (folder / "train/cat/1.png").rename(folder / "train/cat/0.png"),
    "of another class": lambda folder: (folder / "train/cat").rename(folder / "train/cow"),
    "of another split": lambda folder: shutil.move(folder / "test/cat", folder / "train/bat"),
    "swapped": lambda folder: (
        (folder / "train/cat/1.png").write_bytes(b"train/cat/2.png"),
        (folder / "train/cat/2.png").write_bytes(b"train/cat/1.png"),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_images_have_another_fingerprint(change, folder):
    before = fingerprints.of_images(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    change(folder)
    for path, time in times.items():
        if path.exists():
            os.utime(path, ns=(time, time))
    assert fingerprints.of_images(folder) != before


def test_the_same_images_have_the_same_wherever_and_whenever(folder, tmp_path):
    before = fingerprints.of_images(folder)
    (folder / "notes.txt").write_text("not read")
    (folder / "train/cat/.DS_Store").write_bytes(b"not read")
    (folder / "train/cat/Thumbs.db").write_bytes(b"not read")
    for path in folder.rglob("*.png"):
        os.utime(path, (1, 1))
    moved = folder.rename(tmp_path / "moved")
    assert fingerprints.of_images(moved) == fingerprints.of_images(f"{moved}/") == before
    linked = tmp_path / "linked"
    linked.symlink_to(moved)
    assert fingerprints.of_images(linked) == before


def test_images_that_are_not_there_are_missed_before_what_was_made_from_them_is_lost(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"drive/train is missing; .* holds nothing"):
        fingerprints.of_images(tmp_path / "drive")
    assert fingerprints.of_images(None) is None


def test_a_name_in_another_form_of_unicode_is_the_same(folder):
    composed, decomposed = folder / "train/caf\u00e9", folder / "train/cafe\u0301"
    (folder / "train/cat").rename(decomposed)
    before = fingerprints.of_images(folder)
    decomposed.rename(composed)
    assert fingerprints.of_images(folder) == before


def test_a_file_is_told_by_its_content(tmp_path):
    for name, text in {"a": "x", "b": "x", "c": "y"}.items():
        (tmp_path / name).write_text(text)
    a, b, c = (fingerprints.of_file(tmp_path / name) for name in "abc")
    assert a == b != c


def test_names_need_not_be_text(folder):
    before = fingerprints.of_images(folder)
    with open(os.fsencode(folder) + b"/train/cat/\xff.png", "wb") as file:
        file.write(b"x")
    assert fingerprints.of_images(folder) != before
