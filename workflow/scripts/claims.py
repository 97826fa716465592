"""Judge the paper's claims on the table of runs."""

from convexbn import logs

logs.start(snakemake.log[0])

from convexbn import artifacts, claims, pages

sources = snakemake.params.sources
table = claims.headline(artifacts.read_table(snakemake.input.runs), sources)

artifacts.write_table(snakemake.output.claims, table, artifacts.provenance(sources=sources))
with artifacts.atomic(snakemake.output.html) as partial:
    partial.write_text(pages.claims_page(table), encoding="utf-8")
