"""Solve the exact ReLU problem by column generation, and over sampled gates."""

from convexbn import logs

logs.start(snakemake.log[0])

import torch

from convexbn.artifacts import load_tensors, provenance, write_table
from convexbn.benchmark.columns import compare

settings, seed = snakemake.params.settings, snakemake.params.seed
torch.set_num_threads(settings["threads"])
data = (load_tensors(snakemake.input[key]) for key in ("features", "whitening"))

table = compare(settings, *data, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
