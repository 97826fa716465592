"""Collect the theorems' rows into one table."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, pages, tables

theorems = tables.read_all(snakemake.input.theorems)

artifacts.write_table(snakemake.output.theorems, theorems, artifacts.provenance())
with artifacts.atomic(snakemake.output.html) as partial:
    partial.write_text(pages.theorems_page(theorems), encoding="utf-8")
