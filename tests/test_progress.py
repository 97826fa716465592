"""Progress of a long computation, without a terminal."""

import logging

import pytest

from convexbn.progress import progress


def test_progress_speaks_now_and_then(caplog, monkeypatch):
    clock = iter([0.0, 4.0, 8.0, 12.0, 12.0, 16.0, 23.0, 23.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress(total=None, desc="looks") as bar:
        for steps in (1, 1, 1, 5, 1):
            bar.step("on the way", steps)
    assert [record.getMessage() for record in caplog.records] == [
        "looks 3 on the way",
        "looks 9 on the way",
    ]


def test_progress_lets_errors_through():
    with pytest.raises(RuntimeError, match="mine"), progress(total=1, desc="x"):
        raise RuntimeError("mine")
