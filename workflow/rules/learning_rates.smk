# Batch normalization and large learning rates: one job per part and seed.
LEARNING_RATES = section("learning_rates")
LEARNING_RATES_PART = lambda part: lambda wc: with_dataset(LEARNING_RATES[part])
LEARNING_RATES_FIGURES = (
    {  # by name: the parts that it is drawn from, module, place and label
        "rates": (["stability", "training"], "figures", "1 learning rates"),
        "landscape": (["landscape"], "figures", "2 along the gradient"),
        "gradients": (["gradients"], "figures", "3 gradients"),
        "limits": (["matrices", "noise"], "limits", "4 matrices and noise"),
    }
)
LEARNING_RATES_TABLES = {
    PART: (
        ["<results>/learning_rates/matrices.csv"]
        if PART == "matrices"
        else sheet.seed_tables(config, "learning_rates", PART)
    )
    for PART in LEARNING_RATES
}
if LEARNING_RATES:
    CLAIMS["convexbn.experiments.learning_rates.statements.learning_rates"] = {
        "tables": {
            f"learning_rates_{PART}": PATHS
            for PART, PATHS in LEARNING_RATES_TABLES.items()
        },
        "settings": {"datasets": sheet.sized(DATASETS)},
    }


# The parts in which residual networks see images.
for PART, ENTRY in LEARNING_RATES.items():
    if PART != "matrices":
        checked(checks.check_entry, DATASETS, f"learning_rates: {PART}", ENTRY)

        rule:
            name:
                f"learning_rates_{PART}"
            input:
                **sheet.data_of(ENTRY["dataset"], "features"),
            output:
                f"<results>/learning_rates/{PART}/{{seed}}.csv",
            log:
                f"<logs>/learning_rates_{PART}/{{seed}}.log",
            benchmark:
                f"<benchmarks>/learning_rates_{PART}/{{seed}}.tsv"
            priority: LONG
            conda:
                "../../environment.yml"
            threads: config["threads"]
            resources:
                mem_mb=megabytes(footprint.learning_rates, LEARNING_RATES_PART(PART)),
                gpu=GPU,
                runtime=minutes(
                    durations.learning_rates, LEARNING_RATES_PART(PART), GPU
                ),
            params:
                code=code_of(
                    "train_networks", f"convexbn.experiments.learning_rates.{PART}"
                ),
                function=f"convexbn.experiments.learning_rates.{PART}.measure",
                settings=Unordered(sheet.of_one_seed(ENTRY)),
                seed=lambda wc: int(wc.seed),
                labels={"dataset": ENTRY["dataset"]},
                device=config["device"],
            script:
                "../scripts/train_networks.py"


use rule measure as learning_rates_matrices with:
    output:
        "<results>/learning_rates/matrices.csv",
    log:
        "<logs>/learning_rates_matrices.log",
    params:
        code=code_of("measure", "convexbn.experiments.learning_rates.matrices"),
        function="convexbn.experiments.learning_rates.matrices.measure",
        arguments=lambda wc: Unordered(settings=LEARNING_RATES["matrices"]),


for NAME, (PARTS, MODULE, LABEL) in LEARNING_RATES_FIGURES.items():
    if set(PARTS) <= set(LEARNING_RATES):
        OUTPUTS += figures(f"learning_rates/{NAME}")

        rule:
            name:
                f"plot_learning_rates_{NAME}"
            input:
                **{PART: LEARNING_RATES_TABLES[PART] for PART in PARTS},
            output:
                **drawn(
                    f"learning_rates/{NAME}",
                    f"learning_rates/{NAME}",
                    "batch normalization and learning rates",
                    LABEL,
                ),
            log:
                f"<logs>/plot_learning_rates_{NAME}.log",
            conda:
                "../../environment.yml"
            params:
                code=code_of("plot", f"convexbn.experiments.learning_rates.{MODULE}"),
                function=f"convexbn.experiments.learning_rates.{MODULE}.{NAME}",
                settings={
                    "title": titles.all_words(
                        [LEARNING_RATES[PART].get("dataset") for PART in PARTS],
                        DATASETS,
                    )
                },
            script:
                "../scripts/plot.py"
