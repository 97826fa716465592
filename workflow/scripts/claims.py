"""Judge the paper's claims on the tables of the theory, if there is one, and of the runs."""

from convexbn import logs

logs.start(snakemake.log[0])

import pandas as pd

from convexbn import artifacts, claims, pages, tables
from convexbn.theory.claims import exactness

sources, given = snakemake.params.sources, snakemake.input
names = set(given.keys()) - {"runs", "code"}
theory = {name: tables.read_all(given[name]) for name in names}
headline = claims.headline(artifacts.read_table(given.runs), sources)
table = pd.concat([exactness(theory), headline], ignore_index=True)

artifacts.write_table(snakemake.output.claims, table, artifacts.provenance(sources=sources))
with artifacts.atomic(snakemake.output.html) as partial:
    partial.write_text(pages.claims_page(table), encoding="utf-8")
