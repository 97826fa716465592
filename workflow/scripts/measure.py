"""Measure: settings and a seed in, and tensors where there are any as inputs; one table out."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import sys

from convexbn.pipeline.artifacts import load_tensors, provenance, write_table
from convexbn.pipeline.names import named

params = snakemake.params
measure, counts = named(params.function), params.get("counts")
if counts or "torch" in sys.modules:  # what does not compute by it does not wait for it
    import torch

    torch.set_num_threads(counts["threads"] if counts else snakemake.threads)
data = {key: load_tensors(path) for key, path in snakemake.input.items()}

table = measure(**data, **params.arguments, seed=params.seed)

write_table(snakemake.output[0], table, provenance(params.seed, **params.arguments))
