# This library against its peers.
from convexbn.experiments.benchmark import cases

BENCHMARK = section("benchmark")
if BENCHMARK:
    SCALING = cases.scaling_cases(BENCHMARK["scaling"])
    checked(cases.check, BENCHMARK)
    checked(configs.check_names, "benchmark problems", BENCHMARK["problems"], SCALING)
    checked(configs.check_names, "sweeps of engine", BENCHMARK.get("engine", {}))
CASES = cases.all_cases(BENCHMARK)
# Nothing else runs beside a race, which itself takes config["threads"]; on a cluster others do.
ALL_CORES = lambda wc: config["threads"] if ON_CLUSTER else workflow.cores
# One parameter: Snakemake compares the values of several as a set, whatever their names.
COUNTS = Unordered(threads=config["threads"], repeats=BENCHMARK.get("repeats"))
BENCHMARK_FIGURES = cases.figures(BENCHMARK)
if BENCHMARK:
    OUTPUTS += [
        f"<results>/benchmark/{name}.csv" for name in [*BENCHMARK_FIGURES, "versions"]
    ]
    OUTPUTS += figures(*(f"benchmark/{name}" for name in BENCHMARK_FIGURES))
for WORDS, ENTRY, IS_WHOLE in cases.on_data(BENCHMARK):
    checked(checks.check_entry, DATASETS, WORDS, ENTRY, IS_WHOLE)


wildcard_constraints:
    case="|".join(CASES),
    solver="|".join(cases.CONTESTANTS),


rule benchmark_problem:
    input:
        unpack(lambda wc: sheet.data_of(CASES[wc.case]["dataset"])),
    output:
        "<results>/benchmark/problems/{case}.safetensors",
    log:
        "<logs>/benchmark_problem/{case}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(
            footprint.whitening, lambda wc: [DATASETS[CASES[wc.case]["dataset"]]]
        ),
        runtime=lambda wc, attempt: attempt * 60,
    params:
        code=code_of("benchmark_problem"),
        entry=lambda wc: Unordered(CASES[wc.case]),
        seed=config["seed"],
    script:
        "../scripts/benchmark_problem.py"


rule benchmark_race:
    input:
        problem="<results>/benchmark/problems/{case}.safetensors",
        ours=lambda wc: [
            f"<results>/benchmark/races/{race}.csv"
            for race in cases.races_before(wc.case, wc.solver)
        ],
    output:
        "<results>/benchmark/races/{case}.{solver}.csv",
    log:
        "<logs>/benchmark_race/{case}.{solver}.log",
    conda:
        "../../environment.yml"
    threads: ALL_CORES
    resources:
        # The solver's, and the judge's.
        mem_mb=lambda wc, attempt: attempt * (BENCHMARK["memory"] + 2000),
        runtime=lambda wc, attempt: attempt * 120,
    params:
        code=code_of("benchmark_race"),
        name="{case}",
        solver="{solver}",
        model=lambda wc: CASES[wc.case].get("model", "gated"),
        settings=lambda wc: {
            **cases.race_of(BENCHMARK, wc.case),
            "threads": config["threads"],
        },
    script:
        "../scripts/benchmark_race.py"


rule benchmark_tables:
    input:
        problems=[
            f"<results>/benchmark/races/{race}.csv"
            for race in cases.races(BENCHMARK, "problems")
        ],
        scaling=[
            f"<results>/benchmark/races/{race}.csv"
            for race in cases.races(BENCHMARK, "scaling")
        ],
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
        code=code_of("benchmark_tables"),
        accuracies=BENCHMARK.get("accuracies"),
        scaling=Unordered(BENCHMARK.get("scaling", {})),
    script:
        "../scripts/benchmark_tables.py"


rule benchmark_passes:
    input:
        problems=[
            f"<results>/benchmark/problems/{name}.safetensors"
            for name in BENCHMARK.get("passes", [])
        ],
    output:
        passes="<results>/benchmark/passes.csv",
        versions="<results>/benchmark/versions.csv",
    log:
        "<logs>/benchmark_passes.log",
    conda:
        "../../environment.yml"
    threads: ALL_CORES
    resources:
        mem_mb=lambda wc, attempt: attempt * 4000,
        runtime=lambda wc, attempt: attempt * 30,
    params:
        code=code_of("benchmark_passes"),
        names=BENCHMARK.get("passes"),
        counts=COUNTS,
    script:
        "../scripts/benchmark_passes.py"


rule benchmark_engine:
    input:
        features=[
            f"<results>/data/{case['dataset']}/features.safetensors"
            for case in BENCHMARK.get("engine", {}).values()
        ],
    output:
        "<results>/benchmark/engine.csv",
    log:
        "<logs>/benchmark_engine.log",
    conda:
        "../../environment.yml"
    threads: ALL_CORES
    resources:
        mem_mb=lambda wc, attempt: attempt * 4000,
        runtime=lambda wc, attempt: attempt * 60,
    params:
        code=code_of("benchmark_engine"),
        cases=Unordered(BENCHMARK.get("engine", {})),
        counts=COUNTS,
    script:
        "../scripts/benchmark_engine.py"


use rule measure as benchmark_columns with:
    input:
        unpack(lambda wc: sheet.data_of(BENCHMARK["columns"]["dataset"])),
    output:
        "<results>/benchmark/columns.csv",
    log:
        "<logs>/benchmark_columns.log",
    threads: ALL_CORES
    resources:
        mem_mb=lambda wc, attempt: attempt * BENCHMARK["memory"],
        runtime=lambda wc, attempt: attempt * 120,
    params:
        code=code_of("measure", "convexbn.experiments.benchmark.columns"),
        function="convexbn.experiments.benchmark.columns.compare",
        arguments=lambda wc: Unordered(settings=BENCHMARK["columns"]),
        counts={"threads": config["threads"]},


for NAME, FUNCTION in BENCHMARK_FIGURES.items():

    rule:
        name:
            f"plot_benchmark_{NAME}"
        input:
            table=f"<results>/benchmark/{NAME}.csv",
        output:
            **drawn(f"benchmark/{NAME}", f"benchmark/{NAME}", "benchmark", NAME),
        log:
            f"<logs>/plot_benchmark_{NAME}.log",
        conda:
            "../../environment.yml"
        params:
            code=code_of("plot", FUNCTION),
            function=FUNCTION,
            settings={},
        script:
            "../scripts/plot.py"
