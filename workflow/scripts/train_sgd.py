"""Train the sweep of one run with SGD."""

from convexbn import logs

logs.start(snakemake.log[0])

import pandas as pd
import torch

from convexbn.artifacts import load_tensors, provenance, save_tensors, write_table
from convexbn.training import Sweep, train

torch.set_num_threads(snakemake.threads)
device, name, seed = (snakemake.params[key] for key in ("device", "name", "seed"))
if device == "auto":
    device = "cuda" if torch.cuda.is_available() else "cpu"
run = dict(snakemake.params.run)
dataset, repetitions = run.pop("dataset"), run.pop("seeds")
# Repetition i of a run has seed `seed + i`: more repetitions leave the earlier ones as they are.
sweep = Sweep(**run, seeds=range(seed, seed + repetitions))

history, parameters = train(load_tensors(snakemake.input.features), sweep, device)

method = {"bn": "SGD", "relu": "SGD without BN"}[sweep.network]
labels = {"dataset": dataset, "run": name, "method": method}
table = pd.DataFrame([labels | row for row in history])
record = provenance(
    list(sweep.seeds), device, run=name, members=sweep.members, **snakemake.params.run
)
write_table(snakemake.output.history, table, record)
save_tensors(snakemake.output.parameters, parameters, record)
