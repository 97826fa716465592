"""The device that a run computes on, and the GPUs that its job asks for."""

import logging
from pathlib import Path

import pytest
import torch

from convexbn.pipeline import devices
from convexbn.pipeline.devices import gpus_of, pick_device


@pytest.mark.parametrize(
    ("name", "available", "expected"),
    [
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cuda", True, "cuda"),
    ],
)
def test_device(monkeypatch, name, available, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert pick_device(name) == expected


def test_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device on this machine; run where"):
        pick_device("cuda")
    with pytest.raises(ValueError, match="device must be one of 'auto', 'cpu', 'cuda', got 'tpu'"):
        pick_device("tpu")


@pytest.mark.parametrize("name", ["SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE"])
def test_a_gpu_that_was_given_and_is_not_seen_is_told(name, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        pick_device("auto")
        monkeypatch.setenv(name, "0")
        pick_device("cpu")
    assert not caplog.messages
    assert pick_device("auto") == "cpu"
    (words,) = caplog.messages
    assert "Slurm gave this job a GPU, but PyTorch finds no CUDA device" in words


@pytest.mark.parametrize(
    ("name", "on_cluster", "here", "expected"),
    [
        ("cpu", False, True, 0),
        ("cpu", True, True, 0),
        ("cuda", False, False, 1),
        ("auto", False, True, 1),
        ("auto", False, False, 0),
        ("auto", True, False, 1),
    ],
)
def test_a_gpu_is_asked_for_where_one_computes(name, on_cluster, here, expected, monkeypatch):
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: here)
    assert gpus_of(name, on_cluster) == expected


def test_a_gpu_is_there_where_its_driver_shows_one(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidiactl").touch()  # is there without one, too
    assert not devices._may_have_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert devices._may_have_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not devices._may_have_gpu(tmp_path)
    assert not devices._may_have_gpu(Path("/nowhere"))
