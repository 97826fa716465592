"""Measure the SGD engine against a DataLoader loop and its matrix products."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import pandas as pd
import torch

from convexbn.experiments.benchmark.engine import compare
from convexbn.pipeline.artifacts import load_tensors, provenance, write_table

cases, counts = snakemake.params.cases, snakemake.params.counts
repeats, threads = counts["repeats"], counts["threads"]
torch.set_num_threads(threads)
data = map(load_tensors, snakemake.input.features)

tables = [
    compare(name, cases[name], features, repeats)
    for name, features in zip(cases, data, strict=True)
]

record = provenance(repeats=repeats, threads=threads, **cases)
write_table(snakemake.output[0], pd.concat(tables, ignore_index=True), record)
