"""Measure one solver on one problem."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn.artifacts import provenance, write_table
from convexbn.benchmark.peers import check_installed
from convexbn.benchmark.problems import Problem
from convexbn.benchmark.race import measure
from convexbn.tables import read_all

params, path = snakemake.params, snakemake.input.problem
check_installed([params.solver])
problem = Problem.read(path, params.model)
ours = read_all(snakemake.input.ours)
bound = ours["dual_objective"].max() if len(ours) else None

runs = measure(problem, path, params.name, params.solver, params.settings, bound)

write_table(snakemake.output[0], runs, provenance(solver=params.solver, **params.settings))
