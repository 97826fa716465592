"""Count arrangements: enumerated, by the formula, and found by sampling."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn.artifacts import provenance, write_table
from convexbn.theory.counting import count

settings, seed = snakemake.params.settings, snakemake.params.seed

table = count(settings, seed)

write_table(snakemake.output[0], table, provenance(seed, **settings))
