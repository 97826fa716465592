"""Draw the singular values of the data and the energy that each rank keeps."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, figures, plotting
from convexbn.whitening import truncated

dataset, runs = snakemake.params.dataset, snakemake.params.runs
whitening = artifacts.load_tensors(snakemake.input.whitening)
ranks = {name: truncated(whitening, run).rank for name, run in runs.items()}
figure = figures.spectrum(whitening["singular_values"], ranks, dataset)

provenance = artifacts.provenance(dataset=dataset, ranks=ranks)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
