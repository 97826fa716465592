"""Draw a figure from its table."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

from convexbn.experiments.headline.figures import FIGURES
from convexbn.experiments.studies import figures as studies
from convexbn.pipeline import artifacts
from convexbn.reporting import plotting

figures = FIGURES | {"studies": studies}
name, settings = snakemake.params.figure, snakemake.params.settings
figure = figures[name].draw(artifacts.read_table(snakemake.input.table), **settings)

provenance = artifacts.provenance(figure=name, **settings)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
