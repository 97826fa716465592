# Batch normalization and large learning rates: one job per part and seed.
LEARNING_RATES = section("learning_rates")
NETWORKS_AT = {  # the parts in which residual networks see images
    NAME: ENTRY for NAME, ENTRY in LEARNING_RATES.items() if NAME != "matrices"
}
for NAME, ENTRY in NETWORKS_AT.items():
    checked(
        sheet.check_dataset,
        DATASETS,
        f"learning_rates: {NAME}",
        ENTRY["dataset"],
        True,
    )
LEARNING_RATES_TABLES = {
    NAME: sheet.seed_tables(config, "learning_rates", NAME) for NAME in NETWORKS_AT
}
if "matrices" in LEARNING_RATES:
    LEARNING_RATES_TABLES["matrices"] = ["<results>/learning_rates/matrices.csv"]
LEARNING_RATES_FIGURES = {  # by name: the parts that it is drawn from
    "rates": ["stability", "training"],
    "landscape": ["landscape"],
    "gradients": ["gradients"],
    "limits": ["matrices", "noise"],
}
if LEARNING_RATES:
    OUTPUTS += figures(
        *(
            f"learning_rates/{NAME}"
            for NAME, PARTS in LEARNING_RATES_FIGURES.items()
            if set(PARTS) <= set(LEARNING_RATES)
        )
    )
    CLAIMS["convexbn.experiments.learning_rates.statements.learning_rates"] = {
        "tables": {
            f"learning_rates_{NAME}": PATHS
            for NAME, PATHS in LEARNING_RATES_TABLES.items()
        },
        "settings": {"datasets": sheet.sized(DATASETS)},
    }


use rule train_networks as learning_rates with:
    input:
        unpack(lambda wc: sheet.data_of(LEARNING_RATES[wc.part]["dataset"], "features")),
    output:
        "<results>/learning_rates/{part}/{seed}.csv",
    log:
        "<logs>/learning_rates/{part}.{seed}.log",
    wildcard_constraints:
        part="|".join(NETWORKS_AT),
    resources:
        mem_mb=lambda wc: footprint.learning_rates(
            DATASETS[LEARNING_RATES[wc.part]["dataset"]], LEARNING_RATES[wc.part]
        ),
    params:
        code=lambda wc: code_of(
            "train_networks", f"convexbn.experiments.learning_rates.{wc.part}"
        ),
        function=lambda wc: f"convexbn.experiments.learning_rates.{wc.part}.measure",
        settings=lambda wc: Unordered(sheet.of_one_seed(LEARNING_RATES[wc.part])),
        seed=lambda wc: int(wc.seed),
        labels=lambda wc: {"dataset": LEARNING_RATES[wc.part]["dataset"]},


use rule measure as gaussian_matrices with:
    output:
        "<results>/learning_rates/matrices.csv",
    log:
        "<logs>/gaussian_matrices.log",
    params:
        code=code_of("measure", "convexbn.experiments.learning_rates.matrices"),
        function="convexbn.experiments.learning_rates.matrices.measure",
        arguments=lambda wc: Unordered(settings=LEARNING_RATES["matrices"]),


use rule plot as plot_learning_rates_rates with:
    input:
        stability=LEARNING_RATES_TABLES.get("stability", []),
        training=LEARNING_RATES_TABLES.get("training", []),
    output:
        **drawn(
            "learning_rates/rates",
            "learning_rates/rates",
            "batch normalization and learning rates",
            "1 learning rates",
        ),
    log:
        "<logs>/plot_learning_rates_rates.log",
    params:
        code=code_of("plot", "convexbn.experiments.learning_rates.figures"),
        function="convexbn.experiments.learning_rates.figures.rates",


use rule plot as plot_learning_rates_landscape with:
    input:
        landscape=LEARNING_RATES_TABLES.get("landscape", []),
    output:
        **drawn(
            "learning_rates/landscape",
            "learning_rates/landscape",
            "batch normalization and learning rates",
            "2 along the gradient",
        ),
    log:
        "<logs>/plot_learning_rates_landscape.log",
    params:
        code=code_of("plot", "convexbn.experiments.learning_rates.figures"),
        function="convexbn.experiments.learning_rates.figures.landscape",


use rule plot as plot_learning_rates_gradients with:
    input:
        gradients=LEARNING_RATES_TABLES.get("gradients", []),
    output:
        **drawn(
            "learning_rates/gradients",
            "learning_rates/gradients",
            "batch normalization and learning rates",
            "3 gradients",
        ),
    log:
        "<logs>/plot_learning_rates_gradients.log",
    params:
        code=code_of("plot", "convexbn.experiments.learning_rates.figures"),
        function="convexbn.experiments.learning_rates.figures.gradients",


use rule plot as plot_learning_rates_limits with:
    input:
        matrices=LEARNING_RATES_TABLES.get("matrices", []),
        noise=LEARNING_RATES_TABLES.get("noise", []),
    output:
        **drawn(
            "learning_rates/limits",
            "learning_rates/limits",
            "batch normalization and learning rates",
            "4 matrices and noise",
        ),
    log:
        "<logs>/plot_learning_rates_limits.log",
    params:
        code=code_of("plot", "convexbn.experiments.learning_rates.limits"),
        function="convexbn.experiments.learning_rates.limits.limits",
