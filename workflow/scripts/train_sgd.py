"""Train the sweep of one run with SGD: all seeds, learning rates and weight decays."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from pathlib import Path

import pandas as pd
import torch

from convexbn.pipeline.artifacts import load_tensors, provenance, save_tensors, write_table
from convexbn.pipeline.designs import whitened_run
from convexbn.pipeline.devices import pick_device
from convexbn.training.engine import train
from convexbn.training.sweeps import Sweep

torch.set_num_threads(snakemake.threads)
entry, seeds = snakemake.params.run, snakemake.params.seeds
device = pick_device(snakemake.params.device)
features, sizes = load_tensors(snakemake.input.features), {}
if entry["network"] == "convex":
    tensors = load_tensors(snakemake.input.whitening)
    features, sizes = whitened_run(features, tensors, entry, seeds)
# Beside the outputs, which Snakemake removes when a job is killed; kept until these are written.
checkpoint = Path(snakemake.output.parameters).with_suffix(".checkpoint")

history, parameters = train(features, Sweep.of(entry, seeds), device, checkpoint)

table = pd.DataFrame({**snakemake.params.labels, **sizes, **pd.DataFrame(history)})
record = provenance(seeds, device, **entry)
write_table(snakemake.output.history, table, record)
save_tensors(snakemake.output.parameters, parameters, record)
checkpoint.unlink(missing_ok=True)
