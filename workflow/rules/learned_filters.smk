# Weight decay and spectral filter, learned through the convex program: one job per seed of gates.
LEARNED = section("learned_filters")
checked(configs.check_names, "runs of learned_filters", LEARNED)
LEARNED_RUN = lambda wc: with_dataset(LEARNED[wc.learned])
for NAME, ENTRY in LEARNED.items():
    checked(checks.check_learned, DATASETS, NAME, ENTRY)
if LEARNED:
    OUTPUTS += figures(*(f"learned_filters/{name}" for name in LEARNED))
    CLAIMS["convexbn.experiments.learned_filters.statements.learned_filters"] = {
        "tables": {
            "learned": [
                path
                for name in LEARNED
                for path in sheet.seed_tables(config, "learned_filters", name, "solves")
            ]
        },
        "settings": {"datasets": sheet.sized(DATASETS)},
    }


wildcard_constraints:
    learned="|".join(LEARNED),


rule learn_filters:
    input:
        unpack(lambda wc: sheet.data_of(LEARNED[wc.learned]["dataset"])),
    output:
        solves="<results>/learned_filters/{learned}/{seed}.solves.csv",
        gains="<results>/learned_filters/{learned}/{seed}.gains.csv",
    log:
        "<logs>/learn_filters/{learned}.{seed}.log",
    benchmark:
        "<benchmarks>/learn_filters/{learned}.{seed}.tsv"
    priority: LONG
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(footprint.learned_filters, LEARNED_RUN),
        gpu=GPU,
        runtime=minutes(durations.learned_filters, LEARNED_RUN, GPU),
    params:
        code=code_of("learn_filters"),
        entry=lambda wc: Unordered(sheet.of_one_seed(LEARNED[wc.learned])),
        seed=lambda wc: int(wc.seed),
        device=config["device"],
    script:
        "../scripts/learn_filters.py"


use rule plot as plot_learned_filters with:
    input:
        solves=lambda wc: sheet.seed_tables(
            config, "learned_filters", wc.learned, "solves"
        ),
        gains=lambda wc: sheet.seed_tables(
            config, "learned_filters", wc.learned, "gains"
        ),
    output:
        **drawn(
            "learned_filters/{learned}",
            "learned_filters",
            "learned filters",
            "{learned}",
        ),
    log:
        "<logs>/plot_learned_filters/{learned}.log",
    params:
        code=code_of("plot", "convexbn.experiments.learned_filters.figures"),
        function="convexbn.experiments.learned_filters.figures.learned_filters",
        settings=lambda wc: {
            "title": titles.title_of(
                LEARNED[wc.learned]["dataset"], DATASETS, LEARNED, wc.learned
            )
        },
