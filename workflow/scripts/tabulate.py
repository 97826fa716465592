"""Collect the runs into one table, and choose each method's setting on validation data."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.files import atomic
from convexbn.pipeline import artifacts
from convexbn.reporting import pages, selection

runs = selection.collect(
    evaluations=artifacts.read_all(snakemake.input.evaluations),
    sgd=artifacts.read_all(snakemake.input.sgd),
    aside=snakemake.params.aside,
)
methods = selection.methods(runs)

artifacts.write_table(snakemake.output.runs, runs, artifacts.provenance())
artifacts.write_table(snakemake.output.methods, methods, artifacts.provenance())
with atomic(snakemake.output.html) as partial:
    partial.write_text(pages.methods_page(methods), encoding="utf-8")
