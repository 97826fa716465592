# The headline's network under the knobs of the companion papers: one job per seed.
KNOBS = section("knobs")
checked(configs.check_names, "runs of knobs", KNOBS)
KNOBS_RUN = lambda wc: with_dataset(KNOBS[wc.knobs])
for NAME, ENTRY in KNOBS.items():
    checked(checks.check_entry, DATASETS, f"run '{NAME}' of knobs", ENTRY)
if KNOBS:
    OUTPUTS += figures(*(f"knobs/{name}" for name in KNOBS))
    CLAIMS["convexbn.experiments.knobs.statements.knobs"] = {
        "tables": {
            "knobs": [
                path
                for name in KNOBS
                for path in sheet.seed_tables(config, "knobs", name)
            ],
            "runs": ["<results>/tables/runs.csv"],
        },
        "settings": {"datasets": sheet.sized(DATASETS)},
    }


wildcard_constraints:
    knobs="|".join(KNOBS),


use rule train_networks as train_knobs with:
    input:
        unpack(lambda wc: sheet.data_of(KNOBS[wc.knobs]["dataset"], "features")),
    output:
        "<results>/knobs/{knobs}/{seed}.csv",
    log:
        "<logs>/train_knobs/{knobs}.{seed}.log",
    benchmark:
        "<benchmarks>/train_knobs/{knobs}.{seed}.tsv"
    resources:
        mem_mb=megabytes(footprint.knobs, KNOBS_RUN),
        gpu=GPU,
        runtime=minutes(durations.knobs, KNOBS_RUN, GPU),
    params:
        code=code_of("train_networks", "convexbn.experiments.knobs.measure"),
        function="convexbn.experiments.knobs.measure.measure",
        settings=lambda wc: Unordered(sheet.of_one_seed(KNOBS[wc.knobs])),
        seed=lambda wc: int(wc.seed),
        labels=lambda wc: {"dataset": KNOBS[wc.knobs]["dataset"], "run": wc.knobs},


use rule plot as plot_knobs with:
    input:
        knobs=lambda wc: sheet.seed_tables(config, "knobs", wc.knobs),
        runs="<results>/tables/runs.csv",
    output:
        **drawn("knobs/{knobs}", "knobs", "the headline's network", "{knobs}"),
    log:
        "<logs>/plot_knobs/{knobs}.log",
    params:
        code=code_of("plot", "convexbn.experiments.knobs.figures"),
        function="convexbn.experiments.knobs.figures.knobs",
        settings=lambda wc: {
            "dataset": KNOBS[wc.knobs]["dataset"],
            "title": titles.title_of(
                KNOBS[wc.knobs]["dataset"], DATASETS, KNOBS, wc.knobs
            ),
        },
