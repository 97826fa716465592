"""Draw one figure of the theory from its table."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

from convexbn.experiments.theory import figures
from convexbn.pipeline import artifacts
from convexbn.reporting import plotting

name = snakemake.params.figure
figure = figures.FIGURES[name](artifacts.read_all(snakemake.input.tables))

provenance = artifacts.provenance(figure=name)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
