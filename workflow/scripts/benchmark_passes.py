"""Time passes over the design, and say what everything ran on."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.experiments.benchmark.passes import passes
from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.experiments.benchmark.versions import versions
from convexbn.pipeline.artifacts import provenance, write_table

names, counts = snakemake.params["names"], snakemake.params.counts
repeats, threads = counts["repeats"], counts["threads"]
torch.set_num_threads(threads)
paths = zip(names, snakemake.input.problems, strict=True)
problems = {name: RaceProblem.read(path, "gated") for name, path in paths}

table = passes(problems, repeats)

record = provenance(problems=names, repeats=repeats, threads=threads)
write_table(snakemake.output.passes, table, record)
write_table(snakemake.output.versions, versions(), record)
