"""Judge the paper's claims on the tables of the theory and of the bias, if any, and of the runs."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0])

import pandas as pd

from convexbn.experiments.bias.statements import bias
from convexbn.experiments.headline.statements import headline
from convexbn.experiments.studies import statements as study
from convexbn.experiments.theory.statements import exactness
from convexbn.files import atomic
from convexbn.pipeline import artifacts
from convexbn.reporting import pages

datasets, studies = snakemake.params.datasets, snakemake.params.studies
given = snakemake.input
names = set(given.keys()) - {"bias", "runs", "code"}
theory = {name: artifacts.read_all(given[name]) for name in names}
runs = artifacts.read_all([given.runs])
parts = (
    exactness(theory),
    bias(artifacts.read_all(given.bias)),
    headline(runs, datasets),
    study.studies(runs, studies, datasets),
)
table = pd.concat(parts, ignore_index=True)

provenance = artifacts.provenance(datasets=datasets, studies=studies)
artifacts.write_table(snakemake.output.claims, table, provenance)
with atomic(snakemake.output.html) as partial:
    partial.write_text(pages.claims_page(table), encoding="utf-8")
