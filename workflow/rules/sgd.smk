# The same network, trained non-convexly, and the convex program, trained as the paper does.

SGD_MODULES = [
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
    "sweeps",
    "training",
    "training_data",
    "whitening",
]


def sgd_inputs(wildcards):
    """Return the data that a run is trained on; the convex program sees them whitened."""
    run = SGD[wildcards.run]
    features = f"<results>/data/{run['dataset']}/features.safetensors"
    whitening = f"<results>/whitening/{run['dataset']}.safetensors"
    needed = {"whitening": whitening} if run["network"] == "convex" else {}
    return {"features": features} | needed


def sgd_labels(wildcards):
    """Return the columns that tell a run's rows from those of others."""
    run = SGD[wildcards.run]
    reduced = "-truncated" if {"rank", "energy", "filter"} & run.keys() else ""
    methods = {
        "bn": "SGD",
        "relu": "SGD without BN",
        "convex": f"convex{reduced} by SGD",
    }
    settings = {key: run[key] for key in ("candidate", "optimizer", "batch_size")}
    return labels_of(wildcards.run, run, methods[run["network"]]) | settings


def sgd_memory(wildcards):
    run = SGD[wildcards.run]
    return footprint.sgd(DATASETS[run["dataset"]], run)


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
