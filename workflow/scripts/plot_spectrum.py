"""Draw the singular values of the data and the energy that each rank keeps."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, figures, plotting

dataset, ranks = snakemake.params.dataset, snakemake.params.ranks
whitening = artifacts.load_tensors(snakemake.input.whitening)
figure = figures.spectrum(whitening["singular_values"], ranks, dataset)

provenance = artifacts.provenance(dataset=dataset, ranks=ranks)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
