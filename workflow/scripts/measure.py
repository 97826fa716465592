"""Measure: settings and a seed in, and tensors where there are any as inputs; one table out."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.pipeline.artifacts import load_tensors, provenance, write_table
from convexbn.pipeline.names import named

params = snakemake.params
torch.set_num_threads(params.get("counts", {}).get("threads", snakemake.threads))
data = {key: load_tensors(path) for key, path in snakemake.input.items()}

table = named(params.function)(**data, **params.arguments, seed=params.seed)

write_table(snakemake.output[0], table, provenance(params.seed, **params.arguments))
