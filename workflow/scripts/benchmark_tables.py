"""Collect the races into the tables of the benchmark."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.experiments.benchmark import cases, tables
from convexbn.pipeline.artifacts import provenance, read_all, write_table

races, accuracies = read_all(snakemake.input.problems), snakemake.params.accuracies
scaling = snakemake.params.scaling
points = cases.scaling_points(scaling)
scaled = read_all(snakemake.input.scaling)

made = {
    "curves": tables.curves(races),
    "times": tables.times(races, accuracies),
    "memory": tables.memory(races),
    "scaling": tables.scaling(scaled, points, scaling["accuracy"]),
}

record = provenance(accuracies=accuracies, scaling=scaling)
for name, table in made.items():
    write_table(snakemake.output[name], table, record)
