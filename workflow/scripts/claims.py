"""Judge the claims: each experiment's own function, on the tables that it names."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import pandas as pd

from convexbn.files import atomic
from convexbn.pipeline import artifacts
from convexbn.pipeline.names import named
from convexbn.reporting import pages
from convexbn.reporting.claims import joined

settings = snakemake.params.settings
parts: dict[str, pd.DataFrame] = {}
for judge, names in snakemake.params.tables.items():
    read = {name: artifacts.read_all(snakemake.input[name]) for name in names}
    parts[judge] = named(judge)(**read, **settings[judge])
table = joined(parts)

judged = {judge: list(part["id"].unique()) for judge, part in parts.items()}
provenance = artifacts.provenance(judged=judged, **settings)
artifacts.write_table(snakemake.output.claims, table, provenance)
with atomic(snakemake.output.html) as partial:
    partial.write_text(pages.claims_page(table), encoding="utf-8")
