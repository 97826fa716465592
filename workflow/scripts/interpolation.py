"""Learn a function of one feature by the convex program and by descents."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import torch

from convexbn.experiments.theory.interpolation import interpolate
from convexbn.pipeline.artifacts import provenance, write_table

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = interpolate(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
