"""Writing a file: it is there whole or not at all, and a full disk is named."""

import errno
import os

import pytest

from convexbn.files import atomic


def break_off(path, error):
    with atomic(path) as partial:
        partial.write_text("half of it")
        assert not path.exists() or path.read_text() == "older"
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("older", [[], ["older"]])
def test_a_failed_write_leaves_things_as_they_were(tmp_path, error, older):
    path = tmp_path / "a.txt"
    for text in older:
        path.write_text(text)
    with pytest.raises(error):
        break_off(path, error)
    assert [file.read_text() for file in tmp_path.iterdir()] == older


def test_a_successful_write_replaces(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    with atomic(path) as partial:
        partial.write_text("newer")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "newer")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path, number):
    with pytest.raises(OSError, match=r"no space left to write .*a\.txt \(\d+ MiB free") as caught:
        break_off(tmp_path / "a.txt", OSError(number, os.strerror(number)))
    assert caught.value.errno == number
    assert not list(tmp_path.iterdir())


def test_other_system_errors_keep_their_words(tmp_path):
    with pytest.raises(PermissionError, match="not yours"), atomic(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "not yours")
