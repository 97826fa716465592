# The theorems of the paper, each tried on data small enough to be sure.

PROGRAMS = sorted({entry["program"] for entry in THEORY.get("theorems", {}).values()})


include: "theory_programs.smk"
include: "theory_figures.smk"


wildcard_constraints:
    problem="|".join(THEORY.get("duality", [])),
    program="|".join(PROGRAMS),


rule duality:
    input:
        code=rests_on("duality"),
    output:
        "<results>/theory/duality/{problem}.csv",
    log:
        "<logs>/duality/{problem}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        name="{problem}",
        settings=lambda wc: theory_settings("duality", wc.problem),
        seed=config["seed"],
    script:
        "../scripts/duality.py"


rule depth:
    input:
        code=rests_on("depth"),
    output:
        "<results>/theory/depth.csv",
    log:
        "<logs>/depth.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wc: theory_settings("depth", shared=["descent"]),
        seed=config["seed"],
    script:
        "../scripts/depth.py"


rule theorems:
    input:
        code=rests_on("theorems"),
    output:
        "<results>/theory/theorems/{program}.csv",
    log:
        "<logs>/theorems/{program}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        entries=theorems_of,
        common=lambda wc: theory_settings(),
        seed=config["seed"],
    script:
        "../scripts/theorems.py"
