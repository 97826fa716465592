# The theorems of the paper, each tried on data small enough to be sure.
THEORY = section("theory")
COMMON = {key: THEORY[key] for key in ("tolerance", "descent") if THEORY}
PROGRAMS = sorted({entry["program"] for entry in THEORY.get("theorems", {}).values()})
DUALITY_TABLES = [
    f"<results>/theory/duality/{name}.csv" for name in THEORY.get("duality", [])
]
THEORY_FIGURES = {  # table(s), label in the report
    "duality": (DUALITY_TABLES, "1 strong duality"),
    "depth": ("<results>/theory/depth.csv", "2 closed form, depths"),
    "counting": ("<results>/theory/counting.csv", "3 arrangements"),
    "sampling": ("<results>/theory/sampling.csv", "4 sampled arrangements"),
    "interpolation": ("<results>/theory/interpolation.csv", "5 functions learned"),
}
if THEORY:
    OUTPUTS += ["<results>/tables/theorems.csv"]
    OUTPUTS += figures(*(f"theory/{name}" for name in THEORY_FIGURES))
    CLAIMS["convexbn.experiments.theory.statements.exactness"] = {
        "tables": {
            "theorems": ["<results>/tables/theorems.csv"],
            "duality": DUALITY_TABLES,
            "depth": ["<results>/theory/depth.csv"],
            "counting": ["<results>/theory/counting.csv"],
        },
        "settings": {},
    }


wildcard_constraints:
    problem="|".join(THEORY.get("duality", [])),
    program="|".join(PROGRAMS),


use rule measure as duality with:
    input:
        code=rests_on("measure", "convexbn.experiments.theory.duality"),
    output:
        "<results>/theory/duality/{problem}.csv",
    log:
        "<logs>/duality/{problem}.log",
    params:
        function="convexbn.experiments.theory.duality.duality",
        arguments=lambda wc: {
            "name": wc.problem,
            "settings": COMMON | THEORY["duality"][wc.problem],
        },


use rule measure as depth with:
    input:
        code=rests_on("measure", "convexbn.experiments.theory.depth"),
    output:
        "<results>/theory/depth.csv",
    log:
        "<logs>/depth.log",
    params:
        function="convexbn.experiments.theory.depth.depths",
        arguments=lambda wc: {
            "settings": {"descent": THEORY["descent"]} | THEORY["depth"]
        },


use rule measure as counting with:
    input:
        code=rests_on("measure", "convexbn.experiments.theory.counting"),
    output:
        "<results>/theory/counting.csv",
    log:
        "<logs>/counting.log",
    threads: 1
    params:
        function="convexbn.experiments.theory.counting.count",
        arguments=lambda wc: {"settings": THEORY["counting"]},


use rule measure as sampling with:
    input:
        code=rests_on("measure", "convexbn.experiments.theory.sampling"),
    output:
        "<results>/theory/sampling.csv",
    log:
        "<logs>/sampling.log",
    params:
        function="convexbn.experiments.theory.sampling.sample",
        arguments=lambda wc: {
            "settings": {"tolerance": THEORY["tolerance"]} | THEORY["sampling"]
        },


use rule measure as interpolation with:
    input:
        code=rests_on("measure", "convexbn.experiments.theory.interpolation"),
    output:
        "<results>/theory/interpolation.csv",
    log:
        "<logs>/interpolation.log",
    params:
        function="convexbn.experiments.theory.interpolation.interpolate",
        arguments=lambda wc: {"settings": COMMON | THEORY["interpolation"]},


# One job per program.
use rule measure as theorems with:
    input:
        code=rests_on("measure", "convexbn.experiments.theory.theorems"),
    output:
        "<results>/theory/theorems/{program}.csv",
    log:
        "<logs>/theorems/{program}.log",
    params:
        function="convexbn.experiments.theory.theorems.theorems",
        arguments=lambda wc: {
            "entries": {
                name: entry
                for name, entry in THEORY["theorems"].items()
                if entry["program"] == wc.program
            },
            "common": COMMON,
        },


rule tabulate_theorems:
    input:
        theorems=[f"<results>/theory/theorems/{name}.csv" for name in PROGRAMS],
        code=rests_on("tabulate_theorems"),
    output:
        theorems="<results>/tables/theorems.csv",
        html=report(
            "<results>/tables/theorems.html",
            caption="../report/theorems.rst",
            category="Tables",
            labels={"table": "theorems"},
        ),
    log:
        "<logs>/tabulate_theorems.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/tabulate_theorems.py"


for NAME, (TABLE, LABEL) in THEORY_FIGURES.items():

    rule:
        name:
            f"plot_{NAME}"
        input:
            table=TABLE,
            code=rests_on("plot", "convexbn.experiments.theory.figures"),
        output:
            **drawn(f"theory/{NAME}", f"theory/{NAME}", "theory", LABEL),
        log:
            f"<logs>/plot_{NAME}.log",
        conda:
            "../../environment.yml"
        params:
            function=f"convexbn.experiments.theory.figures.{NAME}",
            settings={},
        script:
            "../scripts/plot.py"
