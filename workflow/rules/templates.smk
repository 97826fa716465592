# Templates: `use rule measure as ...` and `use rule plot as ...` add input, output, log and params.
# Without an output they are never run themselves.


# A function of the settings (and of tensors, if the rule has any as inputs) and the seed: one table.
rule measure:
    log:
        "<logs>/measure.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wc, attempt: attempt * 2000,
        runtime=lambda wc, attempt: attempt * 30,
    params:
        seed=config["seed"],
    script:
        "../scripts/measure.py"


wildcard_constraints:
    seed=r"\d+",  # of a job for each


# A function of features, settings, seed, device and the parts that are finished: one table, with
# labels in front. A killed job goes on from there.
rule train_networks:
    log:
        "<logs>/train_networks.log",
    priority: LONG
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wc, attempt: attempt * 2000,
        gpu=GPU,
        runtime=lambda wc, attempt: attempt * 60,
    params:
        labels={},
        device=config["device"],
    script:
        "../scripts/train_networks.py"


# A figure from tables.
rule plot:
    log:
        "<logs>/plot.log",
    conda:
        "../../environment.yml"
    params:
        settings={},
    script:
        "../scripts/plot.py"
