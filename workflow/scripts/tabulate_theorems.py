"""Collect the theorems' rows into one table."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.files import atomic
from convexbn.pipeline import artifacts
from convexbn.reporting import pages

theorems = artifacts.read_all(snakemake.input.theorems)

artifacts.write_table(snakemake.output.theorems, theorems, artifacts.provenance())
with atomic(snakemake.output.html) as partial:
    partial.write_text(pages.theorems_page(theorems), encoding="utf-8")
