"""Solve the programs of sampled arrangements against that of all."""

from convexbn import logs

logs.start(snakemake.log[0])

import torch

from convexbn.artifacts import provenance, write_table
from convexbn.theory.sampling import sample

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = sample(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
