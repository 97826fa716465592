"""The interpreter in command lines."""

import os
import subprocess

import pytest
from snakemake.utils import format as snakemake_format

from convexbn.pipeline.interpreters import Quoted, find_first


@pytest.mark.parametrize("name", ["my repo", "it's", "$HOME", "a#b", "a;b", "a&b(c)", "plain"])
def test_a_path_is_one_word_of_the_shell(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "python").write_text("#!/bin/sh\necho ran $1\n")
    (folder / "python").chmod(0o755)
    python = Quoted(folder / "python")
    for line in (f"{python} -m x", snakemake_format("{py_exec} -m x", py_exec=python)):
        run = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
        assert run.stdout == "ran -m\n"


def test_it_is_the_path_itself_otherwise():
    python = Quoted("/my repo/bin/python")
    assert python == "/my repo/bin/python"
    assert Quoted(Quoted(python)) == python
    assert f"{Quoted('/bin/python')}" == "/bin/python"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "/our src"),
        ("/other:/third", "/our src:/other:/third"),
        ("/other:/our src:", "/our src:/other"),
    ],
)
def test_a_folder_is_looked_into_first(before, after, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", before)
    find_first("/our src")
    find_first("/our src")
    assert os.environ["PYTHONPATH"] == after
