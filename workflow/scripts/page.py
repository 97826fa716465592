"""Write the report of what has been made."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from pathlib import Path

from convexbn.files import atomic
from convexbn.reporting.report import report

params = snakemake.params
sources = {Path(path).name: Path(path).read_text(encoding="utf-8") for path in params.sources}
page = report(
    snakemake.output[0], params.figures, params.asked, params.texts, snakemake.config, sources
)
with atomic(snakemake.output[0]) as partial:
    partial.write_text(page, encoding="utf-8")
