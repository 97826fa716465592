# Batch normalization as a convex program: from images to figures. Start with README.md.
from snakemake.utils import min_version, validate

min_version("9.20")

# A config given with --configfile stands alone; without one, the embedded data are used.
if "datasets" not in config:

    configfile: "config/config.yaml"


validate(config, "workflow/schemas/config.schema.yaml")


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/convex.smk"
include: "workflow/rules/sgd.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/benchmark_columns.smk"


rule all:
    default_target: True
    input:
        tables=expand(
            "<results>/tables/{table}.csv",
            table=["runs", "methods", "claims"] if CONVEX else [],
        ),
        figures=expand(
            "<results>/figures/{dataset}/{figure}.{format}",
            dataset=DATASETS if CONVEX else [],
            figure=["accuracy", "rank", "certificates", "spectrum"],
            format=["pdf", "png"],
        ),
        theory=theory_outputs,
        benchmark=benchmark_outputs,
