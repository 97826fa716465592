# The bias of gradient descent. A config without it makes none of it.
BIAS = config.get("bias", {})


wildcard_constraints:
    bias="|".join(BIAS),


for name, entry in BIAS.items():
    check_dataset(f"bias run '{name}'", entry["dataset"], is_whole=True)


rule bias:
    input:
        features=lambda wc: f"<results>/data/{BIAS[wc.bias]['dataset']}/features.safetensors",
        whitening=lambda wc: f"<results>/whitening/{BIAS[wc.bias]['dataset']}.safetensors",
        code=rests_on("bias"),
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
        mem_mb=lambda wc: footprint.bias(
            DATASETS[BIAS[wc.bias]["dataset"]], BIAS[wc.bias]
        ),
        gpu=GPU,
        runtime=240,
    params:
        entry=lambda wc: BIAS[wc.bias],
        seeds=lambda wc: seeds_of(BIAS[wc.bias]),
        device=config["device"],
    script:
        "../scripts/bias.py"


rule plot_bias:
    input:
        cosines="<results>/bias/{bias}.csv",
        history="<results>/bias/{bias}.history.csv",
        code=rests_on("plot_bias"),
    output:
        pdf="<results>/figures/bias/{bias}.pdf",
        png=report(
            "<results>/figures/bias/{bias}.png",
            caption="../report/bias.rst",
            category="Figures",
            subcategory="bias of gradient descent",
            labels={"figure": "{bias}"},
        ),
    log:
        "<logs>/plot_bias/{bias}.log",
    conda:
        "../../environment.yml"
    params:
        dataset=lambda wc: BIAS[wc.bias]["dataset"],
    script:
        "../scripts/plot_bias.py"
