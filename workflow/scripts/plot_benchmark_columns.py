"""Draw column generation against sampled gates."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

from convexbn.experiments.benchmark.columns import draw
from convexbn.pipeline import artifacts
from convexbn.reporting import plotting

figure = draw(artifacts.read_table(snakemake.input.table))

provenance = artifacts.provenance(figure="columns")
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
