"""The solve of a run, from files to files: in one process, or in several that share its samples.

    torchrun --nproc-per-node 4 -m convexbn.experiments.headline.solving '{"features": ...}'

with the arguments of :func:`solve_files` as JSON, and the log if there is one; over nodes of Slurm
a torchrun on each.
"""

import json
import logging
import os
import random
import socket
import sys

import torch
import torch.distributed as dist

from convexbn.experiments.headline.run import Run
from convexbn.experiments.headline.shares import Share
from convexbn.experiments.headline.stages import solve_run
from convexbn.pipeline import logs
from convexbn.pipeline.artifacts import provenance, save_tensors, write_table
from convexbn.training.checkpoints import Parts

_PORTS = range(20000, 30000)  # below those that systems give out by themselves


def solve_files(
    *,
    features: str,
    whitening: str,
    gates: str,
    solutions: str,
    history: str,
    entry: dict,
    labels: dict,
    device: str,
) -> None:
    """Solve a run and write its solutions and their history.

    Parameters
    ----------
    features, whitening, gates : str
        Files of the run's artifacts.
    solutions, history : str
        Files to write. The first process writes them, and keeps what is solved beside them, where
        Snakemake does not remove it when a job is killed.
    entry : dict
        The run's entry in the config.
    labels : dict
        Columns of the history that tell its rows from those of other runs.
    device : str
    """
    import pandas as pd

    run = Run.read(features, whitening, gates, entry, device, Share.of_group())
    parts = Parts.beside(solutions)
    found, rows = solve_run(run, parts)
    if run.share.is_first:
        record = provenance(run.seeds, device, **entry)
        save_tensors(solutions, found, record)
        write_table(history, pd.DataFrame({**labels, **pd.DataFrame(rows)}), record)
        parts.remove()


def become(processes: int, nodes: int, threads: int, work: dict, log: str) -> None:
    """Go on as torchrun, with some processes that solve a run; never returns.

    What is said to this process, as a signal to end, is said to torchrun, or to srun, which tell
    the others.

    Parameters
    ----------
    processes : int
    nodes : int
        Of the Slurm job that this is, if above 1, with as many of the processes on each.
    threads : int
        Cores of a node.
    work : dict
        The arguments of :func:`solve_files`.
    log : str
        The log that this process writes to.
    """
    each = processes // nodes
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads // each))
    command = _torchrun(each, nodes, threads, os.environ.get("SLURM_JOB_ID", ""))
    sys.stdout.flush()
    os.execvp(command[0], [*command, "-m", __name__, json.dumps(work), log])


def _torchrun(each: int, nodes: int, threads: int, job: str) -> list[str]:
    """Return the command that starts some processes on each node, less what they do."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(each)]
    if nodes == 1:
        return [*torchrun, "--standalone"]
    # The node that the job began on is where they meet.
    place = f"{socket.gethostname()}:{random.choice(_PORTS)}"
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", place]
    meeting += ["--rdzv-id", job, "--nnodes", str(nodes)]
    steps = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    steps += [f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
    return ["srun", *steps, *torchrun, *meeting]


def main() -> None:
    """Be one of torchrun's processes."""
    work, is_first = json.loads(sys.argv[1]), os.environ["RANK"] == "0"
    logging.basicConfig(level=logging.INFO if is_first else logging.WARNING)
    on_gpu = work["device"].startswith("cuda")
    if on_gpu:
        rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if rank >= count:
            raise SystemExit(
                f"a run whose processes compute on CUDA needs a GPU for each on their machine, and "
                f"PyTorch finds {count} for {os.environ['LOCAL_WORLD_SIZE']}; lower `processes` in "
                "the config, or set device to 'cpu'"
            )
        torch.cuda.set_device(rank)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        solve_files(**work)
    finally:
        dist.destroy_process_group()
    if is_first and len(sys.argv) > 2:
        logs.end(sys.argv[2])


if __name__ == "__main__":
    main()
