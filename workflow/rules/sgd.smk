# The same network, trained non-convexly.


rule train_sgd:
    input:
        features=lambda wc: f"<results>/data/{SGD[wc.run]['dataset']}/features.safetensors",
        code=library(
            "devices",
            "evaluation",
            "inputs",
            "losses",
            "networks",
            "normalization",
            "training",
        ),
    output:
        parameters="<results>/sgd/{run}.safetensors",
        history="<results>/sgd/{run}.history.csv",
    log:
        "<logs>/train_sgd/{run}.log",
    benchmark:
        "<benchmarks>/train_sgd/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=sgd_memory,
        gpu=GPU,
        runtime=720,
    params:
        run=lambda wc: SGD[wc.run],
        seeds=lambda wc: seeds_of(SGD[wc.run]),
        labels=sgd_labels,
        device=config["device"],
    script:
        "../scripts/train_sgd.py"
