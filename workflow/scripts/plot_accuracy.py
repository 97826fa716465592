"""Draw test accuracy against training time and against beta."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, figures, plotting, tables

dataset = snakemake.params.dataset
figure = figures.accuracy(
    runs=artifacts.read_table(snakemake.input.runs),
    convex=tables.read_all(snakemake.input.convex),
    sgd=tables.read_all(snakemake.input.sgd),
    published=artifacts.read_table(snakemake.input.published),
    dataset=dataset,
)
provenance = artifacts.provenance(dataset=dataset)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
