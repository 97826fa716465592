"""Solve a run's convex programs: all seeds, all weight decays."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from pathlib import Path

import pandas as pd
import torch

from convexbn.experiments.headline.run import Run
from convexbn.experiments.headline.stages import solve_run
from convexbn.pipeline.artifacts import provenance, save_tensors, write_table
from convexbn.pipeline.devices import pick_device
from convexbn.training.checkpoints import Parts

torch.set_num_threads(snakemake.threads)
entry = snakemake.params.run
device = pick_device(snakemake.params.device)
data = (snakemake.input[key] for key in ("features", "whitening", "gates"))
run = Run.read(*data, entry, device)
# Beside the outputs, which Snakemake removes when a job is killed.
parts = Parts(Path(snakemake.output.solutions).with_suffix(".parts"))

solutions, history = solve_run(run, parts)

table = pd.DataFrame({**snakemake.params.labels, **pd.DataFrame(history)})
record = provenance(run.seeds, device, **entry)
save_tensors(snakemake.output.solutions, solutions, record)
write_table(snakemake.output.history, table, record)
parts.remove()
