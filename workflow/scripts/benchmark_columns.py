"""Solve the exact ReLU problem by column generation, and over sampled gates."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import torch

from convexbn.experiments.benchmark.columns import compare
from convexbn.pipeline.artifacts import load_tensors, provenance, write_table

settings, seed = snakemake.params.settings, snakemake.params.seed
torch.set_num_threads(settings["threads"])
data = (load_tensors(snakemake.input[key]) for key in ("features", "whitening"))

table = compare(settings, *data, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
