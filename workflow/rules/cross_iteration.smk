# Cross-iteration batch normalization against other normalizations: one job per seed and table.
CROSSED = section("cross_iteration")
checked(configs.check_names, "runs of cross_iteration", CROSSED)
CROSSED_RUN = lambda wc: with_dataset(CROSSED[wc.crossed])
for NAME, ENTRY in CROSSED.items():
    checked(checks.check_entry, DATASETS, f"run '{NAME}' of cross_iteration", ENTRY)
if CROSSED:
    OUTPUTS += figures(
        *(
            f"cross_iteration/{name}-{kind}"
            for name in CROSSED
            for kind in ("statistics", "accuracies")
        )
    )
    CLAIMS["convexbn.experiments.cross_iteration.statements.cross_iteration"] = {
        "tables": {
            f"cross_iteration_{kind}": [
                path
                for name in CROSSED
                for path in sheet.seed_tables(config, "cross_iteration", name, kind)
            ]
            for kind in ("statistics", "accuracies")
        },
        "settings": {"datasets": sheet.sized(DATASETS)},
    }


wildcard_constraints:
    crossed="|".join(CROSSED),


use rule train_networks as cross_iteration_statistics with:
    input:
        unpack(lambda wc: sheet.data_of(CROSSED[wc.crossed]["dataset"], "features")),
    output:
        "<results>/cross_iteration/{crossed}/{seed}.statistics.csv",
    log:
        "<logs>/cross_iteration_statistics/{crossed}.{seed}.log",
    benchmark:
        "<benchmarks>/cross_iteration_statistics/{crossed}.{seed}.tsv"
    resources:
        mem_mb=megabytes(footprint.networks, CROSSED_RUN),
        gpu=GPU,
        runtime=minutes(durations.cross_iteration, CROSSED_RUN, GPU),
    params:
        code=code_of("train_networks", "convexbn.experiments.cross_iteration.measure"),
        function="convexbn.experiments.cross_iteration.measure.statistics",
        settings=lambda wc: Unordered(
            sheet.of_one_seed(CROSSED[wc.crossed], "accuracies")
        ),
        seed=lambda wc: int(wc.seed),
        labels=lambda wc: {
            "dataset": CROSSED[wc.crossed]["dataset"],
            "run": wc.crossed,
        },


use rule cross_iteration_statistics as cross_iteration_accuracies with:
    output:
        "<results>/cross_iteration/{crossed}/{seed}.accuracies.csv",
    log:
        "<logs>/cross_iteration_accuracies/{crossed}.{seed}.log",
    benchmark:
        "<benchmarks>/cross_iteration_accuracies/{crossed}.{seed}.tsv"
    params:
        code=code_of("train_networks", "convexbn.experiments.cross_iteration.measure"),
        function="convexbn.experiments.cross_iteration.measure.accuracies",
        settings=lambda wc: Unordered(
            sheet.of_one_seed(CROSSED[wc.crossed], "statistics")
        ),
        seed=lambda wc: int(wc.seed),
        labels=lambda wc: {
            "dataset": CROSSED[wc.crossed]["dataset"],
            "run": wc.crossed,
        },


use rule plot as plot_cross_iteration_statistics with:
    input:
        table=lambda wc: sheet.seed_tables(
            config, "cross_iteration", wc.crossed, "statistics"
        ),
    output:
        **drawn(
            "cross_iteration/{crossed}-statistics",
            "cross_iteration/statistics",
            "cross-iteration normalization",
            "1 statistics, {crossed}",
        ),
    log:
        "<logs>/plot_cross_iteration_statistics/{crossed}.log",
    params:
        code=code_of("plot", "convexbn.experiments.cross_iteration.figures"),
        function="convexbn.experiments.cross_iteration.figures.statistics",
        settings=lambda wc: {
            "title": titles.title_of(
                CROSSED[wc.crossed]["dataset"], DATASETS, CROSSED, wc.crossed
            )
        },


use rule plot_cross_iteration_statistics as plot_cross_iteration_accuracies with:
    input:
        table=lambda wc: sheet.seed_tables(
            config, "cross_iteration", wc.crossed, "accuracies"
        ),
    output:
        **drawn(
            "cross_iteration/{crossed}-accuracies",
            "cross_iteration/accuracies",
            "cross-iteration normalization",
            "2 accuracies, {crossed}",
        ),
    log:
        "<logs>/plot_cross_iteration_accuracies/{crossed}.log",
    params:
        code=code_of("plot", "convexbn.experiments.cross_iteration.figures"),
        function="convexbn.experiments.cross_iteration.figures.accuracies",
        settings=lambda wc: {
            "title": titles.title_of(
                CROSSED[wc.crossed]["dataset"], DATASETS, CROSSED, wc.crossed
            )
        },
