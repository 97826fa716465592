# Implicit biases of SGD with batch normalization: identities in float64, and weight rescaling.
from convexbn.experiments.rescaling.settings import Identities

RESCALING = section("rescaling")
RESCALED = {name: run for name, run in RESCALING.items() if name != "identities"}
checked(configs.check_names, "runs of rescaling", RESCALED)
RESCALED_RUN = lambda wc: with_dataset(RESCALED[wc.rescaled])
for NAME, ENTRY in RESCALING.items():
    checked(checks.check_entry, DATASETS, f"rescaling: {NAME}", ENTRY)
if "identities" in RESCALING:
    checked(Identities.of, RESCALING["identities"])
if RESCALING:
    OUTPUTS += figures(*(f"rescaling/{name}" for name in RESCALING))
    CLAIMS["convexbn.experiments.rescaling.statements.rescaling"] = {
        "tables": {
            f"rescaling_{name}": (
                sheet.seed_tables(config, "rescaling", name)
                if name in RESCALED
                else ["<results>/rescaling/identities.csv"]
            )
            for name in RESCALING
        },
        "settings": {"datasets": sheet.sized(DATASETS)},
    }


wildcard_constraints:
    rescaled="|".join(RESCALED),


use rule measure as rescaling_identities with:
    input:
        unpack(lambda wc: sheet.data_of(RESCALING["identities"]["dataset"], "features")),
    output:
        "<results>/rescaling/identities.csv",
    log:
        "<logs>/rescaling_identities.log",
    resources:
        mem_mb=megabytes(
            footprint.networks, lambda wc: with_dataset(RESCALING["identities"])
        ),
        runtime=lambda wc, attempt: attempt * 30,
    params:
        code=code_of("measure", "convexbn.experiments.rescaling.measure"),
        function="convexbn.experiments.rescaling.measure.identities",
        arguments=lambda wc: Unordered(
            name=RESCALING["identities"]["dataset"], settings=RESCALING["identities"]
        ),


use rule train_networks as rescaling_runs with:
    input:
        unpack(lambda wc: sheet.data_of(RESCALED[wc.rescaled]["dataset"], "features")),
    output:
        "<results>/rescaling/{rescaled}/{seed}.csv",
    log:
        "<logs>/rescaling_runs/{rescaled}.{seed}.log",
    benchmark:
        "<benchmarks>/rescaling_runs/{rescaled}.{seed}.tsv"
    resources:
        mem_mb=megabytes(footprint.networks, RESCALED_RUN),
        gpu=GPU,
        runtime=minutes(durations.rescaling, RESCALED_RUN, GPU),
    params:
        code=code_of("train_networks", "convexbn.experiments.rescaling.measure"),
        function="convexbn.experiments.rescaling.measure.runs",
        settings=lambda wc: Unordered(sheet.of_one_seed(RESCALED[wc.rescaled])),
        seed=lambda wc: int(wc.seed),
        labels=lambda wc: {
            "dataset": RESCALED[wc.rescaled]["dataset"],
            "run": wc.rescaled,
        },


use rule plot as plot_rescaling_identities with:
    input:
        table="<results>/rescaling/identities.csv",
    output:
        **drawn(
            "rescaling/identities",
            "rescaling/identities",
            "weight rescaling",
            "1 identities",
        ),
    log:
        "<logs>/plot_rescaling_identities.log",
    params:
        code=code_of("plot", "convexbn.experiments.rescaling.figures"),
        function="convexbn.experiments.rescaling.figures.identities",
        settings=lambda wc: {
            "title": titles.data_words(RESCALING["identities"]["dataset"], DATASETS)
        },


use rule plot as plot_rescaling_run with:
    input:
        table=lambda wc: sheet.seed_tables(config, "rescaling", wc.rescaled),
    output:
        **drawn(
            "rescaling/{rescaled}",
            "rescaling/run",
            "weight rescaling",
            "2 {rescaled}",
        ),
    log:
        "<logs>/plot_rescaling_run/{rescaled}.log",
    params:
        code=code_of("plot", "convexbn.experiments.rescaling.figures"),
        function="convexbn.experiments.rescaling.figures.run",
        settings=lambda wc: {
            "title": titles.title_of(
                RESCALED[wc.rescaled]["dataset"], DATASETS, RESCALED, wc.rescaled
            )
        },
