"""Draw test and train accuracy against the truncation rank."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, figures, plotting

dataset = snakemake.params.dataset
figure = figures.rank(
    runs=artifacts.read_table(snakemake.input.runs),
    published=artifacts.read_table(snakemake.input.published),
    dataset=dataset,
)
provenance = artifacts.provenance(dataset=dataset)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
