"""Draw objective, dual bound and duality gap of each solve against time."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, figures, plotting, tables

dataset, tolerance = snakemake.params.dataset, snakemake.params.tolerance
figure = figures.certificates(
    histories=tables.read_all(snakemake.input.histories),
    runs=artifacts.read_table(snakemake.input.runs),
    dataset=dataset,
    tolerance=tolerance,
)
provenance = artifacts.provenance(dataset=dataset, tolerance=tolerance)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
