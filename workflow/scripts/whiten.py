"""Whiten a data set: one SVD, of which every truncation takes its leading columns."""

from convexbn import logs

logs.start(snakemake.log[0])

import time

from convexbn.artifacts import load_tensors, provenance, save_tensors
from convexbn.whitening import whiten

X = load_tensors(snakemake.input.features)["X_train"]
start = time.perf_counter()
tensors = whiten(X).tensors()
tensors["seconds"] = time.perf_counter() - start
save_tensors(snakemake.output[0], tensors, provenance())
