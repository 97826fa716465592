"""Draw column generation against sampled gates."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, plotting
from convexbn.benchmark.columns import draw

figure = draw(artifacts.read_table(snakemake.input.table))

provenance = artifacts.provenance(figure="columns")
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
