"""Make the small table that a figure is drawn from."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.pipeline import artifacts
from convexbn.pipeline.names import named

function, settings = snakemake.params.function, snakemake.params.settings
read = {key: artifacts.read_all(paths) for key, paths in snakemake.input.items()}
if path := snakemake.params.get("published"):
    read["published"] = artifacts.read_table(path)

table = named(function)(**read, **settings)

provenance = artifacts.provenance(figure=function, **settings)
artifacts.write_table(snakemake.output[0], artifacts.rounded(table), provenance)
