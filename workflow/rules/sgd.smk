# The same network, trained non-convexly, and the convex program, trained as the paper does.

SGD_MODULES = [
    "augmentation",
    "checkpoints",
    "convex_network",
    "courses",
    "evaluation",
    "gates",
    "gradients",
    "inputs",
    "losses",
    "memory",
    "networks",
    "normalization",
    "optimizers",
    "schedules",
    "sweeps",
    "training",
    "training_data",
    "tuning",
    "whitening",
]


rule train_sgd:
    input:
        unpack(sgd_inputs),
        code=library(*SGD_MODULES, "devices"),
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
