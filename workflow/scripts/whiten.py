"""Whiten a data set: one SVD, of which every truncation and filter takes the columns."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import time

from convexbn.pipeline.artifacts import load_tensors, provenance, save_tensors
from convexbn.whitening import whiten

X = load_tensors(snakemake.input.features)["X_train"]
start = time.perf_counter()
tensors = whiten(X.reshape(-1, X.shape[-1])).tensors()  # (n, d), or the rows of all patches
tensors["seconds"] = time.perf_counter() - start
save_tensors(snakemake.output[0], tensors, provenance())
