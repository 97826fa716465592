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


rule all:
    default_target: True
    input:
        tables=multiext("<results>/tables/", "runs.csv", "methods.csv", "claims.csv"),
        figures=expand(
            "<results>/figures/{dataset}/{figure}.{format}",
            dataset=config["datasets"],
            figure=["accuracy", "rank", "certificates", "spectrum"],
            format=["pdf", "png"],
        ),
        theory=theory_outputs,
