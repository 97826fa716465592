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
        mem_mb=2000,
        runtime=30,
    params:
        seed=config["seed"],
    script:
        "../scripts/measure.py"


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
