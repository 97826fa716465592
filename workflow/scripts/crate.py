"""Pack a run as an RO-Crate: its figures and tables, its config and what made them."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.reporting.crate import pack

pack(snakemake.output[0], snakemake.input, snakemake.config, snakemake.params.sources)
