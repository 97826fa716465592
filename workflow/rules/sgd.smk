# Networks trained by SGD, and the convex program trained by SGD as in the paper.
SGD = section("sgd")
checked(checks.check_runs, DATASETS, SGD)
checked(configs.check_names, "sgd runs", SGD)
SGD_RUN = lambda wc: with_dataset(SGD[wc.run])


rule train_sgd:
    input:
        unpack(
            lambda wc: sheet.data_of(
                SGD[wc.run]["dataset"], *sheet.trained_on(SGD[wc.run])
            )
        ),
    output:
        parameters="<results>/sgd/{run}.safetensors",
        history="<results>/sgd/{run}.history.csv",
    log:
        "<logs>/train_sgd/{run}.log",
    benchmark:
        "<benchmarks>/train_sgd/{run}.tsv"
    priority: LONG
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(footprint.sgd, SGD_RUN),
        gpu=GPU,
        runtime=minutes(durations.sgd, SGD_RUN, GPU),
    params:
        code=code_of("train_sgd"),
        run=lambda wc: Unordered(sheet.lasting(SGD[wc.run])),
        seeds=lambda wc: sheet.seeds_of(config, SGD[wc.run]),
        labels=lambda wc: labels_of(wc.run, SGD[wc.run], "optimizer", "batch_size")
        | {"recipe": sheet.recipe_of(SGD[wc.run])},
        device=config["device"],
    script:
        "../scripts/train_sgd.py"
