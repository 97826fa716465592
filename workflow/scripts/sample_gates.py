"""Sample the gates of a run, one set per seed."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import time

import numpy as np

from convexbn.arrangements.gates import sample_gates
from convexbn.pipeline.artifacts import load_tensors, provenance, save_tensors
from convexbn.pipeline.designs import truncated

run, seeds = snakemake.params.run, snakemake.params.seeds
U = truncated(load_tensors(snakemake.input.whitening), run).U
gates, seconds = [], []
for seed in seeds:
    start = time.perf_counter()
    gates.append(sample_gates(U, run["gates"], seed))
    seconds.append(time.perf_counter() - start)
tensors = {"seeds": np.array(seeds), "gates": np.stack(gates), "seconds": np.array(seconds)}
save_tensors(snakemake.output[0], tensors, provenance(seeds, **run))
