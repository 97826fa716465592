"""Collect the races into the tables of the benchmark."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn.artifacts import provenance, write_table
from convexbn.benchmark import sheet, tables
from convexbn.tables import read_all

races, accuracies = read_all(snakemake.input.problems), snakemake.params.accuracies
scaling = snakemake.params.scaling
points = sheet.scaling_points(scaling)
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
