"""Make one problem of the benchmark from its data set."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.experiments.benchmark.peers import check_installed
from convexbn.experiments.benchmark.problems import build
from convexbn.pipeline.artifacts import load_tensors, provenance, save_tensors

entry, seed = snakemake.params.entry, snakemake.params.seed
check_installed(entry["peers"])  # now, rather than after half of the races
data = (load_tensors(snakemake.input[key]) for key in ("features", "whitening"))

problem = build(entry, *data, seed)

save_tensors(snakemake.output[0], problem.tensors(), provenance(seed, **entry))
