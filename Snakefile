# Batch normalization as a convex program: from images to figures. Start with README.md.
from snakemake.utils import min_version

min_version("9.20")

# A config given with --configfile stands alone; without one, the embedded data are used.
if "datasets" not in config and not workflow.configfiles:

    configfile: "config/config.yaml"


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


report: "workflow/report/workflow.rst"


include: "workflow/rules/environment.smk"  # what the workflow runs in
include: "workflow/rules/common.smk"
include: "workflow/rules/templates.smk"  # rules that others are made from
include: "workflow/rules/data.smk"  # images, features, whitened designs
include: "workflow/rules/convex.smk"  # gates, solutions, certificates, accuracies
include: "workflow/rules/sgd.smk"  # networks trained by SGD
# The experiments. Their claims are listed in this order.
include: "workflow/rules/theory.smk"
include: "workflow/rules/bias.smk"
include: "workflow/rules/convex_layers.smk"
include: "workflow/rules/ridge.smk"
include: "workflow/rules/learning_rates.smk"
include: "workflow/rules/cross_iteration.smk"
include: "workflow/rules/rescaling.smk"
include: "workflow/rules/headline.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/likeness.smk"
include: "workflow/rules/learned_filters.smk"
include: "workflow/rules/knobs.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/registered.smk"  # claims and figures of all


# Without `default_target`: the first rule of another workflow that imports this one stays its default.
rule all:
    input:
        OUTPUTS,
