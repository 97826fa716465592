"""Draw one figure of the theory from its table."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, plotting, tables
from convexbn.theory import figures

name = snakemake.params.figure
figure = figures.FIGURES[name](tables.read_all(snakemake.input.tables))

provenance = artifacts.provenance(figure=name)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
