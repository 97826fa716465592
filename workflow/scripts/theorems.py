"""Put numbers to the theorems of one program."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import torch

from convexbn.experiments.theory.theorems import theorems
from convexbn.pipeline.artifacts import provenance, write_table

torch.set_num_threads(snakemake.threads)
entries, common, seed = (snakemake.params[key] for key in ("entries", "common", "seed"))

table = theorems(entries, common, seed)

write_table(snakemake.output[0], table, provenance(seed, **common, theorems=entries))
