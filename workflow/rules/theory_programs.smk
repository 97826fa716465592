# The exact program by itself: how many arrangements, how many are enough, and what it learns.

COUNTING_MODULES = [
    "arrangements",
    "gates",
    "hyperplanes",
    "inputs",
    "theory/data",
    "whitening",
]
PROGRAM_MODULES = [*SOLVER_MODULES, *COUNTING_MODULES]
INTERPOLATION_MODULES = [
    *PROGRAM_MODULES,
    "networks",
    "normalization",
    "schedules",
    "theory/__init__",
    "theory/descent",
]


rule counting:
    input:
        code=library(*COUNTING_MODULES, "theory/counting"),
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
        code=library(*PROGRAM_MODULES, "theory/sampling"),
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
        code=library(*INTERPOLATION_MODULES, "theory/interpolation"),
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
