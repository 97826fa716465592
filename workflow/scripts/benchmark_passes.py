"""Time passes over the design, and say what everything ran on."""

from convexbn import logs

logs.start(snakemake.log[0])

import torch

from convexbn.artifacts import provenance, write_table
from convexbn.benchmark.passes import passes
from convexbn.benchmark.problems import Problem
from convexbn.benchmark.versions import versions

names, repeats, threads = (snakemake.params[key] for key in ("names", "repeats", "threads"))
torch.set_num_threads(threads)
paths = zip(names, snakemake.input.problems, strict=True)
problems = {name: Problem.read(path, "gated") for name, path in paths}

table = passes(problems, repeats)

record = provenance(problems=names, repeats=repeats, threads=threads)
write_table(snakemake.output.passes, table, record)
write_table(snakemake.output.versions, versions(), record)
