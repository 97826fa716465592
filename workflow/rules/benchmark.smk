# This library against its peers. A config without it makes none of it.
from convexbn.experiments.benchmark import cases as sheet

BENCHMARK = config.get("benchmark", {})
CASES = BENCHMARK.get("problems", {}) | (
    sheet.scaling_cases(BENCHMARK["scaling"]) if BENCHMARK else {}
)
CONTESTANTS = ["convexbn", "pyscnn", "skglm", "celer", "clarabel", "scs"]


for name, case in CASES.items():
    check_dataset(f"problem '{name}'", case["dataset"], is_whole=True)
if "columns" in BENCHMARK:
    check_dataset("columns", BENCHMARK["columns"]["dataset"], is_whole=True)
for name, sweep in BENCHMARK.get("engine", {}).items():
    check_dataset(f"engine '{name}'", sweep["dataset"])


wildcard_constraints:
    case="|".join(CASES),
    solver="|".join(CONTESTANTS),


rule benchmark_problem:
    input:
        unpack(benchmark_inputs),
        code=rests_on("benchmark_problem"),
    output:
        "<results>/benchmark/problems/{case}.safetensors",
    log:
        "<logs>/benchmark_problem/{case}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wc: footprint.whitening(DATASETS[CASES[wc.case]["dataset"]]),
        runtime=60,
    params:
        entry=lambda wc: CASES[wc.case],
        seed=config["seed"],
    script:
        "../scripts/benchmark_problem.py"


rule benchmark_race:
    input:
        problem="<results>/benchmark/problems/{case}.safetensors",
        ours=ours_first,
        code=rests_on("benchmark_race"),
    output:
        "<results>/benchmark/races/{case}.{solver}.csv",
    log:
        "<logs>/benchmark_race/{case}.{solver}.log",
    conda:
        "../../environment.yml"
    # All cores, so that nothing runs beside it; the solver itself takes config["threads"].
    threads: workflow.cores
    resources:
        mem_mb=lambda wc: BENCHMARK["memory"],
        runtime=120,
    params:
        name="{case}",
        solver="{solver}",
        model=lambda wc: CASES[wc.case].get("model", "gated"),
        settings=lambda wc: {
            **sheet.race_of(BENCHMARK, wc.case),
            "threads": config["threads"],
        },
    script:
        "../scripts/benchmark_race.py"


rule benchmark_tables:
    input:
        problems=races_of(BENCHMARK.get("problems", {})),
        scaling=races_of(set(CASES) - set(BENCHMARK.get("problems", {}))),
        code=rests_on("benchmark_tables"),
    output:
        curves="<results>/benchmark/curves.csv",
        times="<results>/benchmark/times.csv",
        memory="<results>/benchmark/memory.csv",
        scaling="<results>/benchmark/scaling.csv",
    log:
        "<logs>/benchmark_tables.log",
    conda:
        "../../environment.yml"
    params:
        accuracies=BENCHMARK.get("accuracies"),
        scaling=BENCHMARK.get("scaling"),
    script:
        "../scripts/benchmark_tables.py"


rule benchmark_passes:
    input:
        problems=[
            f"<results>/benchmark/problems/{name}.safetensors"
            for name in BENCHMARK.get("passes", [])
        ],
        code=rests_on("benchmark_passes"),
    output:
        passes="<results>/benchmark/passes.csv",
        versions="<results>/benchmark/versions.csv",
    log:
        "<logs>/benchmark_passes.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        threads=config["threads"],
        names=BENCHMARK.get("passes"),
        repeats=BENCHMARK.get("repeats"),
    script:
        "../scripts/benchmark_passes.py"


rule plot_benchmark:
    input:
        table="<results>/benchmark/{figure}.csv",
        code=rests_on("plot_benchmark"),
    output:
        pdf="<results>/figures/benchmark/{figure}.pdf",
        png=report(
            "<results>/figures/benchmark/{figure}.png",
            caption="../report/benchmark.rst",
            category="Figures",
            subcategory="benchmark",
            labels={"figure": "{figure}"},
        ),
    log:
        "<logs>/plot_benchmark/{figure}.log",
    conda:
        "../../environment.yml"
    params:
        figure="{figure}",
    script:
        "../scripts/plot_benchmark.py"


rule benchmark_engine:
    input:
        features=[
            f"<results>/data/{case['dataset']}/features.safetensors"
            for case in BENCHMARK.get("engine", {}).values()
        ],
        code=rests_on("benchmark_engine"),
    output:
        "<results>/benchmark/engine.csv",
    log:
        "<logs>/benchmark_engine.log",
    conda:
        "../../environment.yml"
    # All cores, so that nothing runs beside it; everything itself takes config["threads"].
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cases=BENCHMARK.get("engine"),
        repeats=BENCHMARK.get("repeats"),
        threads=config["threads"],
    script:
        "../scripts/benchmark_engine.py"
