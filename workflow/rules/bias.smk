# The bias of gradient descent.
BIAS = section("bias")
checked(configs.check_names, "bias runs", BIAS)
BIAS_RUN = lambda wc: with_dataset(BIAS[wc.bias])
for NAME, ENTRY in BIAS.items():
    checked(checks.check_entry, DATASETS, f"bias run '{NAME}'", ENTRY)
if BIAS:
    OUTPUTS += figures(*(f"bias/{name}" for name in BIAS))
    CLAIMS["convexbn.experiments.bias.statements.bias"] = {
        "tables": {
            "histories": [f"<results>/bias/{name}.history.csv" for name in BIAS]
        },
        "settings": {},
    }


wildcard_constraints:
    bias="|".join(BIAS),


rule bias:
    input:
        unpack(lambda wc: sheet.data_of(BIAS[wc.bias]["dataset"])),
    output:
        cosines="<results>/bias/{bias}.csv",
        history="<results>/bias/{bias}.history.csv",
    log:
        "<logs>/bias/{bias}.log",
    benchmark:
        "<benchmarks>/bias/{bias}.tsv"
    priority: LONG
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(footprint.bias, BIAS_RUN),
        gpu=GPU,
        runtime=minutes(durations.bias, BIAS_RUN, GPU),
    params:
        code=code_of("bias"),
        entry=lambda wc: Unordered(BIAS[wc.bias]),
        seeds=lambda wc: sheet.seeds_of(config, BIAS[wc.bias]),
        device=config["device"],
    script:
        "../scripts/bias.py"


use rule plot as plot_bias with:
    input:
        cosines="<results>/bias/{bias}.csv",
        history="<results>/bias/{bias}.history.csv",
    output:
        **drawn("bias/{bias}", "bias", "bias of gradient descent", "{bias}"),
    log:
        "<logs>/plot_bias/{bias}.log",
    params:
        code=code_of("plot", "convexbn.experiments.bias.figures"),
        function="convexbn.experiments.bias.figures.bias",
        settings=lambda wc: {
            "title": titles.title_of(BIAS[wc.bias]["dataset"], DATASETS, BIAS, wc.bias)
        },
