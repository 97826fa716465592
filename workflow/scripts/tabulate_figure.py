"""Make the small table that a figure is drawn from."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

from convexbn.experiments.headline.figures import FIGURES
from convexbn.experiments.studies import figures as studies
from convexbn.pipeline import artifacts

figures = FIGURES | {"studies": studies}
name, settings = snakemake.params.figure, snakemake.params.settings
read = {key: artifacts.read_all(paths) for key, paths in snakemake.input.items() if key != "code"}
table = figures[name].table(**read, **settings)

provenance = artifacts.provenance(figure=name, **settings)
artifacts.write_table(snakemake.output[0], artifacts.rounded(table), provenance)
