"""Solve a run's convex programs: all seeds, all weight decays."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.experiments.headline.solving import become, solve_files
from convexbn.pipeline.devices import pick_device

work = {key: snakemake.input[key] for key in ("features", "whitening", "gates")}
work |= {key: snakemake.output[key] for key in ("solutions", "history")}
work |= {"entry": dict(snakemake.params.run), "labels": dict(snakemake.params.labels)}
work["device"] = pick_device(snakemake.params.device)

processes = work["entry"]["processes"]
if processes > 1:
    nodes = snakemake.resources.get("nodes", 1)
    become(processes, nodes, snakemake.threads, work, snakemake.log[0])
torch.set_num_threads(snakemake.threads)
solve_files(**work)
