"""Train networks of several depths against the closed form."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import torch

from convexbn.experiments.theory.depth import depths
from convexbn.pipeline.artifacts import provenance, write_table

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = depths(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
