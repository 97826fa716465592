"""Solve the programs of sampled arrangements against that of all."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import torch

from convexbn.experiments.theory.sampling import sample
from convexbn.pipeline.artifacts import provenance, write_table

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = sample(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
