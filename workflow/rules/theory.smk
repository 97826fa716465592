# The theorems of the paper, each tried on data small enough to be sure.
THEORY = section("theory")
COMMON = {key: THEORY[key] for key in ("tolerance", "descent") if THEORY}
THEOREMS = sheet.by_program(THEORY.get("theorems", {}))
DUALITY_TABLES = [
    f"<results>/theory/duality/{name}.csv" for name in THEORY.get("duality", [])
]
THEORY_FIGURES = ["duality", "depth", "counting", "sampling", "interpolation"]
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
    program="|".join(THEOREMS),


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


use rule plot as plot_duality with:
    input:
        table=DUALITY_TABLES,
        code=rests_on("plot", "convexbn.experiments.theory.figures"),
    output:
        **drawn("theory/duality", "theory/duality", "theory", "1 strong duality"),
    log:
        "<logs>/plot_duality.log",
    params:
        function="convexbn.experiments.theory.figures.duality",


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


use rule plot as plot_depth with:
    input:
        table="<results>/theory/depth.csv",
        code=rests_on("plot", "convexbn.experiments.theory.figures"),
    output:
        **drawn("theory/depth", "theory/depth", "theory", "2 closed form, depths"),
    log:
        "<logs>/plot_depth.log",
    params:
        function="convexbn.experiments.theory.figures.depth",


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


use rule plot as plot_counting with:
    input:
        table="<results>/theory/counting.csv",
        code=rests_on("plot", "convexbn.experiments.theory.figures"),
    output:
        **drawn("theory/counting", "theory/counting", "theory", "3 arrangements"),
    log:
        "<logs>/plot_counting.log",
    params:
        function="convexbn.experiments.theory.figures.counting",


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


use rule plot as plot_sampling with:
    input:
        table="<results>/theory/sampling.csv",
        code=rests_on("plot", "convexbn.experiments.theory.figures"),
    output:
        **drawn(
            "theory/sampling", "theory/sampling", "theory", "4 sampled arrangements"
        ),
    log:
        "<logs>/plot_sampling.log",
    params:
        function="convexbn.experiments.theory.figures.sampling",


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


use rule plot as plot_interpolation with:
    input:
        table="<results>/theory/interpolation.csv",
        code=rests_on("plot", "convexbn.experiments.theory.figures"),
    output:
        **drawn(
            "theory/interpolation",
            "theory/interpolation",
            "theory",
            "5 functions learned",
        ),
    log:
        "<logs>/plot_interpolation.log",
    params:
        function="convexbn.experiments.theory.figures.interpolation",


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
            "entries": THEOREMS[wc.program],
            "common": COMMON,
        },


rule tabulate_theorems:
    input:
        theorems=[f"<results>/theory/theorems/{name}.csv" for name in THEOREMS],
        code=rests_on("tabulate_theorems"),
    output:
        **tabled("theorems"),
    log:
        "<logs>/tabulate_theorems.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/tabulate_theorems.py"
