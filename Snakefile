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
include: "workflow/rules/drawn.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/convex.smk"
include: "workflow/rules/sgd.smk"
include: "workflow/rules/bias.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/studies.smk"
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
        figures=dataset_figures,
        studies=study_figures,
        bias=bias_outputs,
        theory=theory_outputs,
        benchmark=benchmark_outputs,


# Only draws: `make figures` allows no rule but this and the plots.
rule figures:
    input:
        lambda wc: [
            path
            for outputs in [
                dataset_figures,
                study_figures,
                bias_outputs,
                theory_outputs,
                benchmark_outputs,
            ]
            for path in outputs(wc)
            if path.endswith((".pdf", ".png"))
        ],
