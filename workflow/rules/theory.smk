# The theorems of the paper, each tried on data small enough to be sure.
THEORY = section("theory")
COMMON = {key: THEORY[key] for key in ("tolerance", "descent") if THEORY}
THEOREMS = sheet.by_program(THEORY.get("theorems", {}))
for KIND in ("duality", "theorems"):
    checked(configs.check_names, f"problems of {KIND}", THEORY.get(KIND, {}))
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
    output:
        "<results>/theory/duality/{problem}.csv",
    log:
        "<logs>/duality/{problem}.log",
    params:
        code=code_of("measure", "convexbn.experiments.theory.duality"),
        function="convexbn.experiments.theory.duality.duality",
        arguments=lambda wc: Unordered(
            name=wc.problem, settings=COMMON | THEORY["duality"][wc.problem]
        ),


use rule plot as plot_duality with:
    input:
        table=DUALITY_TABLES,
    output:
        **drawn("theory/duality", "theory/duality", "theory", "1 strong duality"),
    log:
        "<logs>/plot_duality.log",
    params:
        code=code_of("plot", "convexbn.experiments.theory.figures"),
        function="convexbn.experiments.theory.figures.duality",


use rule measure as depth with:
    output:
        "<results>/theory/depth.csv",
    log:
        "<logs>/depth.log",
    params:
        code=code_of("measure", "convexbn.experiments.theory.depth"),
        function="convexbn.experiments.theory.depth.depths",
        arguments=lambda wc: Unordered(
            settings={"descent": THEORY["descent"]} | THEORY["depth"]
        ),


use rule plot as plot_depth with:
    input:
        table="<results>/theory/depth.csv",
    output:
        **drawn("theory/depth", "theory/depth", "theory", "2 closed form, depths"),
    log:
        "<logs>/plot_depth.log",
    params:
        code=code_of("plot", "convexbn.experiments.theory.figures"),
        function="convexbn.experiments.theory.figures.depth",


use rule measure as counting with:
    output:
        "<results>/theory/counting.csv",
    log:
        "<logs>/counting.log",
    threads: 1
    params:
        code=code_of("measure", "convexbn.experiments.theory.counting"),
        function="convexbn.experiments.theory.counting.count",
        arguments=lambda wc: Unordered(settings=THEORY["counting"]),


use rule plot as plot_counting with:
    input:
        table="<results>/theory/counting.csv",
    output:
        **drawn("theory/counting", "theory/counting", "theory", "3 arrangements"),
    log:
        "<logs>/plot_counting.log",
    params:
        code=code_of("plot", "convexbn.experiments.theory.figures"),
        function="convexbn.experiments.theory.figures.counting",


use rule measure as sampling with:
    output:
        "<results>/theory/sampling.csv",
    log:
        "<logs>/sampling.log",
    params:
        code=code_of("measure", "convexbn.experiments.theory.sampling"),
        function="convexbn.experiments.theory.sampling.sample",
        arguments=lambda wc: Unordered(
            settings={"tolerance": THEORY["tolerance"]} | THEORY["sampling"]
        ),


use rule plot as plot_sampling with:
    input:
        table="<results>/theory/sampling.csv",
    output:
        **drawn(
            "theory/sampling", "theory/sampling", "theory", "4 sampled arrangements"
        ),
    log:
        "<logs>/plot_sampling.log",
    params:
        code=code_of("plot", "convexbn.experiments.theory.figures"),
        function="convexbn.experiments.theory.figures.sampling",


use rule measure as interpolation with:
    output:
        "<results>/theory/interpolation.csv",
    log:
        "<logs>/interpolation.log",
    params:
        code=code_of("measure", "convexbn.experiments.theory.interpolation"),
        function="convexbn.experiments.theory.interpolation.interpolate",
        arguments=lambda wc: Unordered(settings=COMMON | THEORY["interpolation"]),


use rule plot as plot_interpolation with:
    input:
        table="<results>/theory/interpolation.csv",
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
        code=code_of("plot", "convexbn.experiments.theory.figures"),
        function="convexbn.experiments.theory.figures.interpolation",


# One job per program.
use rule measure as theorems with:
    output:
        "<results>/theory/theorems/{program}.csv",
    log:
        "<logs>/theorems/{program}.log",
    params:
        code=code_of("measure", "convexbn.experiments.theory.theorems"),
        function="convexbn.experiments.theory.theorems.theorems",
        arguments=lambda wc: Unordered(entries=THEOREMS[wc.program], common=COMMON),


rule tabulate_theorems:
    input:
        theorems=[f"<results>/theory/theorems/{name}.csv" for name in THEOREMS],
    output:
        **tabled("theorems"),
    log:
        "<logs>/tabulate_theorems.log",
    conda:
        "../../environment.yml"
    params:
        code=code_of("tabulate_theorems"),
    script:
        "../scripts/tabulate_theorems.py"
