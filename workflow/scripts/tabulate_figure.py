"""Make the small table that a figure is drawn from."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, tables
from convexbn.figures import FIGURES

name, settings = snakemake.params.figure, snakemake.params.settings
read = {key: tables.read_all(paths) for key, paths in snakemake.input.items() if key != "code"}
table = FIGURES[name].table(**read, **settings)

provenance = artifacts.provenance(figure=name, **settings)
artifacts.write_table(snakemake.output[0], tables.rounded(table), provenance)
