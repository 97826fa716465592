"""Train networks of several widths against the convex optimum of one problem."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import torch

from convexbn.experiments.theory.duality import duality
from convexbn.pipeline.artifacts import provenance, write_table

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = duality(settings, seed, snakemake.params.name)

write_table(snakemake.output[0], table, provenance(seed, **settings))
