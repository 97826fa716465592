# The exact program by itself: how many arrangements, how many are enough, and what it learns.


rule counting:
    input:
        code=rests_on("counting"),
    output:
        "<results>/theory/counting.csv",
    log:
        "<logs>/counting.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wc: theory_settings("counting", shared=[]),
        seed=config["seed"],
    script:
        "../scripts/counting.py"


rule sampling:
    input:
        code=rests_on("sampling"),
    output:
        "<results>/theory/sampling.csv",
    log:
        "<logs>/sampling.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wc: theory_settings("sampling", shared=["tolerance"]),
        seed=config["seed"],
    script:
        "../scripts/sampling.py"


rule interpolation:
    input:
        code=rests_on("interpolation"),
    output:
        "<results>/theory/interpolation.csv",
    log:
        "<logs>/interpolation.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wc: theory_settings("interpolation"),
        seed=config["seed"],
    script:
        "../scripts/interpolation.py"
