# The same network, trained non-convexly, and the convex program, trained as the paper does.


rule train_sgd:
    input:
        unpack(sgd_inputs),
        code=rests_on("train_sgd"),
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
