"""Make the table of singular values, and of the ranks that are used."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.experiments.headline.figures import spectrum
from convexbn.pipeline import artifacts
from convexbn.pipeline.designs import truncated

dataset, runs = snakemake.params.dataset, snakemake.params.runs
whitening = artifacts.load_tensors(snakemake.input.whitening)
ranks = {name: truncated(whitening, run).rank for name, run in runs.items()}
table = spectrum.table(whitening["singular_values"], ranks)

provenance = artifacts.provenance(figure="spectrum", dataset=dataset, ranks=ranks)
artifacts.write_table(snakemake.output[0], artifacts.rounded(table), provenance)
