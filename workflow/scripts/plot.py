"""Draw a figure from its table or tables."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.pipeline import artifacts
from convexbn.pipeline.names import named
from convexbn.reporting import plotting

function, settings = snakemake.params.function, snakemake.params.settings
tables = {
    key: artifacts.read_table(paths) if isinstance(paths, str) else artifacts.read_all(paths)
    for key, paths in snakemake.input.items()
}

figure = named(function)(**tables, **settings)

provenance = artifacts.provenance(figure=function, **settings)
provenance["unchecked"] = artifacts.unchecked(snakemake.input)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
