"""The device that a config asks for, and the GPUs that a scheduler is asked for."""

import logging
import os
from pathlib import Path

LOGGER = logging.getLogger(__name__)
# Of a Slurm job that was given a GPU; the step that runs a script has some of them only.
_ALLOCATED = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")


def gpus_of(name: str, on_cluster: bool) -> int:
    """Return the number of GPUs that a job which computes on a config's `device` asks for.

    Without importing PyTorch, as every Snakemake process asks.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        "auto" is a GPU on a cluster, whose nodes cannot be seen from where jobs are submitted.
    on_cluster : bool
        Whether jobs run elsewhere; else "auto" is a GPU if this machine may have one.
    """
    if name == "auto":
        return int(on_cluster or _may_have_gpu())
    return int(name == "cuda")


def _may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Say whether a driver shows a GPU (/dev/dxg: under Windows), and the user does not hide it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(
        True for pattern in ("nvidia[0-9]*", "dxg") for _ in devices.glob(pattern)
    )


def pick_device(name: str) -> str:
    """Return the device that a config's `device` means on this machine.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        "auto" is a CUDA device where there is one.

    Raises
    ------
    ValueError
        If CUDA is asked for and there is none, or the name is unknown.
    """
    import torch

    from convexbn.choices import check_choice

    check_choice("device", name, ("auto", "cpu", "cuda"))
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError(
            "device is 'cuda', but PyTorch finds no CUDA device on this machine; run where there "
            "is one, or set device to 'auto' or 'cpu'"
        )
    if name == "auto" and not available and any(os.environ.get(key) for key in _ALLOCATED):
        LOGGER.warning(
            "Slurm gave this job a GPU, but PyTorch finds no CUDA device: computing on the CPU; "
            "set device to 'cuda' to stop here instead, or to 'cpu' to ask for no GPU"
        )
    return "cpu" if name == "cpu" or not available else "cuda"
