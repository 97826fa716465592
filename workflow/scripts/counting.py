"""Count arrangements: enumerated, by the formula, and found by sampling."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

from convexbn.experiments.theory.counting import count
from convexbn.pipeline.artifacts import provenance, write_table

settings, seed = snakemake.params.settings, snakemake.params.seed

table = count(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
