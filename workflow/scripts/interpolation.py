"""Learn a function of one feature by the convex program and by descents."""

from convexbn import logs

logs.start(snakemake.log[0])

import torch

from convexbn.artifacts import provenance, write_table
from convexbn.theory.interpolation import interpolate

torch.set_num_threads(snakemake.threads)
settings, seed = snakemake.params.settings, snakemake.params.seed

table = interpolate(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
