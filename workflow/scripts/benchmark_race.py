"""Measure one solver on one problem."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.experiments.benchmark.peers import check_installed
from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.experiments.benchmark.race import measure
from convexbn.pipeline.artifacts import provenance, read_all, write_table

params, path = snakemake.params, snakemake.input.problem
check_installed([params.solver])
problem = RaceProblem.read(path, params.model)
ours = read_all(snakemake.input.ours)
bound = ours["dual_objective"].max() if len(ours) else None

runs = measure(problem, path, params.name, params.solver, params.settings, bound)

write_table(snakemake.output[0], runs, provenance(solver=params.solver, **params.settings))
