"""Draw which directions gradient descent turned, in a BN network and on whitened data."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

from convexbn.experiments.bias import figures as bias_figures
from convexbn.pipeline import artifacts
from convexbn.reporting import plotting

name, dataset = snakemake.wildcards.bias, snakemake.params.dataset
cosines, history = (artifacts.read_table(snakemake.input[key]) for key in ("cosines", "history"))
figure = bias_figures.bias(cosines, history, dataset if name == dataset else f"{dataset}, {name}")

provenance = artifacts.provenance(dataset=dataset, run=name)
plotting.save(figure, snakemake.output.pdf, snakemake.output.png, provenance)
