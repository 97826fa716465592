"""Train the sweep of one run with SGD: all seeds, learning rates and weight decays."""

from convexbn import logs

logs.start(snakemake.log[0])

import pandas as pd
import torch

from convexbn.artifacts import load_tensors, provenance, save_tensors, write_table
from convexbn.devices import pick_device
from convexbn.training import Sweep, train

torch.set_num_threads(snakemake.threads)
entry, seeds = snakemake.params.run, snakemake.params.seeds
device = pick_device(snakemake.params.device)
sweep = Sweep(**{key: entry[key] for key in entry if key not in ("dataset", "seeds")}, seeds=seeds)

history, parameters = train(load_tensors(snakemake.input.features), sweep, device)

table = pd.DataFrame({**snakemake.params.labels, **pd.DataFrame(history)})
record = provenance(seeds, device, **entry)
write_table(snakemake.output.history, table, record)
save_tensors(snakemake.output.parameters, parameters, record)
