"""Train networks of several depths against the closed form."""

from convexbn import logs

logs.start(snakemake.log[0])

import torch

from convexbn.artifacts import provenance, write_table
from convexbn.theory.depth import depths

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = depths(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
